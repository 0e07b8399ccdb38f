"""The strict standard for notebooks, as a tool: `icrl-teach validate`, or `validate` from Python.

A stored output is a test, and nothing passes by not being compared. nbval compares text; round it stand guards for
what nbval lets through. See docs/validation.md.
"""

import lazy_loader

# On first use: the command line's help would wait a second for what runs notebooks.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "config": ["Settings", "load"],
        "engine": ["Outcome", "Report", "validate"],
        "findings": ["RULES", "Finding"],
    },
)

"""The strict standard for notebooks, as a tool: `icrl-teach validate`, or `validate` from Python.

A stored output is a test, and nothing passes by not being compared. nbval compares text; round it stand guards for
what nbval lets through. See docs/validation.md.
"""

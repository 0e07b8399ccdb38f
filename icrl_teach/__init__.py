"""In-context reinforcement learning, taught: softmax attention that does temporal difference learning.

Names load on first use, so that `import icrl_teach` stays light: torch, matplotlib and ipywidgets come only with
the names that need them. Which name lives where stands in `__init__.pyi`, for Python and for editors alike.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

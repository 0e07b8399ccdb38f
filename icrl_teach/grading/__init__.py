"""Grades that can be trusted: a learner's functions run in a sandbox, and are judged from outside on fresh cases.

`grade_submission` is the way in. What the sandbox protects, and what it does not, is told in docs/teaching/grading.md.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

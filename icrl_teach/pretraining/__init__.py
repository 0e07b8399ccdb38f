"""Pretraining: could training find the weights of Theorem 1? Tasks, answers, losses, the loop, its files.

A file for each: `config` (free of torch), `batches`, `stock`, `answers`, `losses`, `training`, `checkpoints`,
`weights`, `processes`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

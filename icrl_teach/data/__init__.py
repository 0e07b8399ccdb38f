"""A user's own files as trajectories: CSV and its relatives, event logs, Parquet, Minari data sets.

`files` turns bytes into bounded lines of text, `sources` gives a file's header and its rows in chunks, `columns`
says which column means what, `table` collects the columns in use, `log` makes walks of them and judges them.
pandas, and what the extra `data` brings, load with the first file that is read.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["LogError", "LogWarning"],
        "log": ["Log", "read_log", "read_trajectory", "restarted", "unused_columns"],
        "features": ["read_features"],
        "writing": ["write_trajectory"],
    },
)

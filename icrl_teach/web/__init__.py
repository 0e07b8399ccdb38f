"""What lives in a browser without a kernel: JavaScript, its styles, and the widgets made of them."""

from pathlib import Path


def read(name: str) -> str:
    """The text of one of this folder's files."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")

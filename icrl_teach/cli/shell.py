"""What all commands share: every failure is one line on stderr and exit code 2, never a traceback."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from icrl_teach._files import try_writing
from icrl_teach.cli.text import fold, styled


class _Interrupted(Exception):
    """Ctrl-C inside a command."""


class OneLineErrors(click.Group):
    """A group of commands in which every failure is one line on stderr, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C is told apart from click's own Abort."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # caught here, because click would print an empty line first
            raise _Interrupted from None

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command and exit: with its code, 2 after a failure, 130 after Ctrl-C."""
        kwargs["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):  # a console that lacks a state's letters shows their codes
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            code = super().main(*args, **kwargs)
        except (_Interrupted, click.Abort):
            click.echo("icrl-teach: interrupted", err=True)
            sys.exit(130)
        except Exception as error:
            if os.environ.get("ICRL_TEACH_DEBUG"):
                raise
            _tell("error", _message(error), fg="red")
            sys.exit(2)
        sys.exit(code if isinstance(code, int) else 0)


LONGEST = 470  # with "icrl-teach: warning: " before it, less than 500
_NO_MEMORY = "not enough memory; use fewer --steps, --layers, --tasks or states, or a shorter log"


def _message(error: Exception) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{error.format_message()} Try '{error.ctx.command_path} --help'."
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    if isinstance(error, RuntimeError) and re.search(r"can't allocate memory|out of memory", str(error)):  # torch's
        return _NO_MEMORY
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; check the path, its permissions and the free space"
    if isinstance(error, OSError) and error.strerror is not None:  # no name: it was the output itself
        return f"{error.strerror}; check where the output goes, and the free space there"
    if isinstance(error, ValueError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}; ICRL_TEACH_DEBUG=1 shows where; please report it"


def one_line(text: str) -> str:
    """Control characters, which a log's labels may hold, are shown escaped: they could rewrite the terminal."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in words)


def short_line(text: str) -> str:
    """One line of less than LONGEST characters: long words, which a user or a file wrote, are cut; then the middle."""
    words = (word if len(word) <= 200 else f"{word[:40]}...{word[-40:]}" for word in one_line(text).split())
    text = " ".join(words)
    return text if len(text) < LONGEST else f"{text[:250]} ... {text[-200:]}"


def warn(text: str) -> None:
    """One line on stderr that does not end the command."""
    _tell("warning", text, fg="yellow")


def _tell(kind: str, text: str, **look: str) -> None:
    """One line on stderr, which a terminal shows broken between words and with its kind in colour."""
    head = f"icrl-teach: {kind}:"
    line = fold(f"{head} {short_line(text)}", sys.stderr)
    click.echo(styled(head, **look) + line.removeprefix(head), err=True)


def given(ctx: click.Context, name: str) -> bool:
    """Whether the user wrote the option, as opposed to its default."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


layers_option = click.option(
    "--layers", type=click.IntRange(1), default=64, show_default=True, help="Depth of the Transformer."
)
tau_option = click.option(
    "--tau",
    type=float,
    default=12.0,
    show_default=True,
    help="Sharpness of one-hot features: large means 'learn from the same state only'.",
)


def check_writable(folder: Path) -> None:
    """Refuse, before any work, a folder that can be neither written to nor made."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        try_writing(existing)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None

"""What scripts say on the screen. The only module that prints."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, TextIO, TypeVar

from tqdm import tqdm

from utils.errors import UserError, reason
from utils.text import printable

Item = TypeVar("Item")

VERBOSE = "--verbose"


def say(text: str, quiet: bool = False) -> None:
    """Print a line, above a progress bar if there is one. Where nobody can read it, it is lost and nothing else is."""
    if not quiet:
        _write("stdout", text)


def complain(text: str) -> None:
    """Print a line on stderr: what went wrong, whether or not the script is quiet."""
    _write("stderr", text)


def ask(question: str) -> str:
    """A line that is typed in answer on the terminal; "" without a terminal, and where Ctrl-C is the answer."""
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        return ""
    complain(question)
    try:
        return sys.stdin.readline()
    except KeyboardInterrupt:
        return ""


def is_terminal(stream: TextIO | None) -> bool:
    """Whether people look at what is written to `stdout` or `stderr`, which are None where they are closed."""
    return stream is not None and not stream.closed and stream.isatty()


def progress(items: Iterable[Item], text: str, count: int, quiet: bool = False) -> Iterator[Item]:
    """`items` one by one behind a bar; without a terminal only `text` is said."""
    if quiet or is_terminal(sys.stderr):
        yield from tqdm(items, desc=text, total=count, disable=quiet, dynamic_ncols=True, leave=False)
    else:
        say(f"{text} ({count})")
        yield from items


class Parser(argparse.ArgumentParser):
    """argparse's, with what people have typed shown like everything else: it moves no cursor."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message, getattr(sys.stderr, "encoding", None) or "ascii"))


def run_script(main: Callable[[], None]) -> None:
    """Run a script's `main`; what its user did wrong, and what the system refuses, becomes one line and exit code 2,
    Ctrl-C exit code 130. With --verbose on the command line, a traceback precedes the line: of a file that no reader
    foresaw it shows where."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: complain(f"warning: {message}")
            main()
    except (UserError, OSError, MemoryError) as error:
        if VERBOSE in sys.argv:
            complain("".join(traceback.format_exception(error)))
        complain(f"error: {reason(error)}")
        sys.exit(2)
    except KeyboardInterrupt:
        complain("stopped")
        sys.exit(130)


def _write(name: str, text: str) -> None:
    """Write a line to sys.stdout or sys.stderr; one that is closed, full or without a reader is given up for good."""
    stream = getattr(sys, name)
    if stream is None or stream.closed:
        return
    try:
        tqdm.write(printable(text, stream.encoding or "ascii"), file=stream)
        stream.flush()
    except OSError as error:
        _give_up(name, stream)
        if name == "stdout":
            complain(f"warning: nothing more is printed, since stdout cannot be written to ({error.strerror or error})")


def _give_up(name: str, stream: Any) -> None:
    """What is left in the stream's buffer must not fail once more when the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    except (OSError, ValueError):  # a stream of a test has no file behind it
        setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    finally:
        os.close(nowhere)

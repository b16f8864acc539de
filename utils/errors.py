"""The one exception that people, not programmers, are meant to read, and others in a sentence."""

from __future__ import annotations

import os


class UserError(ValueError):
    """Bad input: the message names the file or argument, what was found and what is accepted, in one sentence."""


class DamagedFile(UserError):
    """A file that is there, but cannot be decoded: it costs what it shows, and no run."""


def reason(error: BaseException) -> str:
    """An error in a line: what the system or the project says, or the type of what nobody expected."""
    if isinstance(error, OSError) and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return "out of memory"
    text = str(error).strip()
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}".rstrip(": ")

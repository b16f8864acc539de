"""How a setting is declared: as a field of a frozen dataclass, with all that the command line and config.json need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any


def option(
    default: Any,
    help: str,
    *flags: str,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] | None = None,
    follows: str | None = None,
    check: Callable[[Any, str], object] | None = None,
) -> Any:
    """A setting with its help text (unit included), extra `flags` beside `--<name>`, and what values it accepts.

    `follows` says in words what the value is where none is given, if the default alone does not tell. `check(value,
    place)` raises a UserError, which begins with the place, for a value that is not accepted.
    """
    limits = dict(minimum=minimum, maximum=maximum, choices=choices, check=check)
    return field(default=default, metadata=dict(help=help, flags=flags, follows=follows, **limits))

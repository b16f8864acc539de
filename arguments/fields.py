"""How a group is made from plain values: each is checked against the field's type and limits."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, TypeVar

from utils.errors import UserError

Group = TypeVar("Group")

MAX_NUMBER = 1e12  # of settings that have no other limit: what float32 still computes with
MAX_COUNT = 2**31 - 1


def build(group: type[Group], values: Any, where: str) -> Group:
    """An instance of `group` from plain values, each checked; a field that is left out has its default.

    UserError, which begins with `where`, for an unknown name and for a value that is not accepted.
    """
    hints = typing.get_type_hints(group)
    if not isinstance(values, Mapping) or not values.keys() <= hints.keys():
        unknown = sorted(values.keys() - hints.keys()) if isinstance(values, Mapping) else values
        raise UserError(f"{where}: {title(group)!r} does not know {unknown}; it knows {', '.join(hints)}")
    known = {item.name: item for item in fields(typing.cast(Any, group))}
    return group(**{name: _checked(known[name], hints[name], value, where) for name, value in values.items()})


def _checked(item: Field[Any], hint: Any, value: Any, where: str) -> Any:
    """`value` as the field's type. UserError when it is of another type or out of range."""
    kind, many, optional = kind_of(hint)
    if value is None and optional:
        return None
    if many:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{where}: {item.name} must be a list of {kind.__name__}, not {value!r}")
        return tuple(_checked_one(item, kind, each, where) for each in value)
    return _checked_one(item, kind, value, where)


def _checked_one(item: Field[Any], kind: type, value: Any, where: str) -> Any:
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{where}: {item.name} must be of type {kind.__name__}, not {value!r}")
    limits = item.metadata
    if limits["choices"] is not None and value not in limits["choices"]:
        raise UserError(f"{where}: {item.name} must be one of {', '.join(limits['choices'])}, not {value!r}")
    if limits["check"] is not None:
        limits["check"](value, f"{where}: --{item.name}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where}: {item.name} must be a finite number, not {value}")
    if limits["minimum"] is not None and not value >= limits["minimum"]:
        raise UserError(f"{where}: {item.name} must be at least {limits['minimum']}, not {value}")
    maximum: Any = limits["maximum"]
    if maximum is None:
        maximum = MAX_NUMBER if kind is float else MAX_COUNT if kind is int else None
    if maximum is not None and not value <= maximum:
        raise UserError(f"{where}: {item.name} must be at most {maximum}, not {value}")
    return kind(value)


def kind_of(hint: Any) -> tuple[type, bool, bool]:
    """(type of one value, whether there may be many, whether None is a value) of a field's type."""
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True, False
    if isinstance(hint, types.UnionType):
        return next(each for each in typing.get_args(hint) if each is not type(None)), False, True
    return hint, False, False


def title(group: type) -> str:
    """The heading of a group in the help: its docstring."""
    return (group.__doc__ or group.__name__).strip()

"""JSON that others wrote, decoded into a typed schema: types, ranges and unknown keys are decided in one place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from utils.errors import UserError

Schema = TypeVar("Schema")

LARGEST = 1e7  # pixels: of focal lengths and principal points
Positive = Annotated[float, Meta(gt=0, le=LARGEST)]
Finite = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
Pixels = Annotated[float, Meta(ge=1, le=100_000, multiple_of=1)]  # a whole number, which some tools write as 320.0
SHOWN = 60  # characters of a bad value


def read_json(path: Path) -> Any:
    """What a JSON file holds; NaN and Infinity, which JSON has not but Python writes, are numbers, and file names in it
    may be of any bytes.

    Raises: UserError, naming the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig", errors="surrogateescape"))
    except RecursionError:
        raise UserError(f"{path} cannot be read as JSON: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from None


def decoded(content: Any, schema: type[Schema], path: Path) -> Schema:
    """`content`, which `path` holds, as `schema`. Raises: UserError, naming file, key, value and what is right."""
    try:
        return msgspec.convert(content, schema)
    except UnicodeEncodeError as error:  # of a key, or where no text is right
        raise UserError(f"{path}: {error.object!r} is no text: it holds what is no Unicode") from None
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        place = place.rstrip("`").removeprefix(".")
        if not place:
            raise UserError(f"{path}: {_accepted(message)}") from None
        if "[...]" in place:  # which stands for the key of an entry: of which one is not said
            raise UserError(f"{path}: in {place}: {_accepted(message)}") from None
        raise UserError(f"{path}: {place} is {_shown(_at(content, place))}; {_accepted(message)}") from None


def unknown_keys(entries: Iterable[Mapping[str, Any]], schema: type, harmless: Iterable[str]) -> list[str]:
    """The keys of `entries` that the schema does not have, beside those that are known to change nothing."""
    known = {field.encode_name for field in msgspec.structs.fields(schema)} | set(harmless)
    return sorted({key for entry in entries for key in entry} - known)


def _at(content: Any, place: str) -> Any:
    """The value at a path as msgspec writes it, such as "frames[0].fl_x"."""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", place):
        try:
            content = content[int(index)] if index else content[name]
        except (KeyError, IndexError, TypeError):
            return content
    return content


def _accepted(message: str) -> str:
    """msgspec's "Expected `float` > 0.0, got `str`" as a sentence of ours."""
    words = {"float": "a number", "int": "a whole number", "str": "a text", "bool": "true or false"}
    words |= {"array": "a list", "object": "an object"}
    text = re.sub(r"`(\w+)( \| null)?`", lambda found: words.get(found[1], found[1]), message)
    text = text.replace("Object missing required field", "it lacks").split(", got ")[0]
    return text.replace("Expected", "it must be", 1).replace("Number out of range", "it is too large")


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = repr(type(value))
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."

"""Damage: what bits, tools and people do to files, from a seed."""

from __future__ import annotations

import json
import random
import re
import struct
from typing import Any

NUMBERS = (
    "nan -nan inf -inf 1e400 -1e300 1e39 1e-320 0 -0.0 -1 0.5 4294967296 9223372036854775808 1e5 x ² ٣ 1:nan".split()
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "x", "../../x", "/etc/passwd", "a" * 400, "\0", "\udcff", [], {}, [[]], -1, 0, 1, 1.5, 3),
    *(1e308, -1e300, 1e39, float("nan"), float("inf"), 10**400, 2**63, [1, 2], {"a": 1}, "²", "1:nan"),
)
WORDS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**61, 2**63 - 1, 2**63, 2**64 - 1)


def mutated(data: bytes, seed: int, suffix: str) -> bytes:
    """`data` with one to three changes that fit the kind of file."""
    rng = random.Random(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kinds = [_bits, _cut, _word, _spread, _again]
        if suffix in (".txt", ".json", ".ply", ".ppm", ".log", ".csv"):
            kinds += [_number] * 4 + [_line] * 2
        if suffix == ".json":
            kinds += [_tree] * 12
        data = rng.choice(kinds)(data, rng)
    return data


def _bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 16))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _word(data: bytes, rng: random.Random) -> bytes:
    """A length or a number of eight or four bytes, in either order."""
    value, order = rng.choice(WORDS), rng.choice("<>")
    word = rng.choice(
        (struct.pack(order + "Q", value), struct.pack(order + "I", value % 2**32),
         struct.pack(order + "d", float("nan")), struct.pack(order + "d", 1e300),
         struct.pack(order + "f", float("inf")))
    )  # fmt: skip
    at = rng.choice((0, rng.randrange(min(64, len(data)) + 1), rng.randrange(len(data) + 1)))
    return data[:at] + word + data[at + len(word) :]


def _spread(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + bytes(rng.randrange(256) for _ in range(rng.choice((1, 3, 100)))) + data[at:]


def _again(data: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[start:end] + data[end:]


def _number(data: bytes, rng: random.Random) -> bytes:
    places = list(re.finditer(rb"[-+.\deE]+", data))
    if not places:
        return data
    place = rng.choice(places)
    return data[: place.start()] + rng.choice(NUMBERS).encode() + data[place.end() :]


def _line(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    return b"\n".join(
        rng.choice(([*lines[:at], *lines[at + 1 :]], [*lines[:at], b"", *lines[at:]], [*lines, lines[at]]))
    )


def _tree(data: bytes, rng: random.Random) -> bytes:
    """One value or key of a JSON file changed."""
    try:
        root = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places = list(_places(root))
    if not places:
        return data
    parent, key = rng.choice(places)
    if rng.random() < 0.15:
        del parent[key]
    else:
        parent[key] = rng.choice(VALUES)
    return json.dumps(root).encode()


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every value of a tree, as its container and key."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    found = [(node, key) for key in keys]
    for key in keys:
        found += _places(node[key])
    return found

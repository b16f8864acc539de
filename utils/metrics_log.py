"""What a run remembers of its past: metrics.jsonl, run.json, means of the steps just made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_NUMBER = 1e300  # beyond it, sums and axes of a diagram are infinite


class TermMeans:
    """Means of loss terms: over all steps since `restart`, and over the recent ones, which do not start again."""

    FORGET = 0.05  # weight of the newest step in `recent`

    def __init__(self) -> None:
        self.recent: dict[str, float] = {}
        self.restart()

    def restart(self) -> None:
        self.steps, self._sums = 0, dict[str, float]()

    def add(self, terms: Mapping[str, float]) -> None:
        self.steps += 1
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self.recent[name] = value + (1 - self.FORGET) * (self.recent.get(name, value) - value)

    def means(self) -> dict[str, float]:
        return {name: value / self.steps for name, value in self._sums.items()}


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, none where there is no file. One cut short when a run was killed, or changed since,
    is left out."""
    lines = []
    for text in path.read_bytes().splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and _is_entry(line):
            lines.append(line)
    return lines


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where it is missing or broken: a page shows what there is."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def earlier_sessions(path: Path) -> dict[str, Any]:
    """What the run.json of a resumed run keeps of its sessions before: a list, oldest first."""
    before = read_object(path)
    earlier = before.pop("earlier_sessions", [])
    return {"earlier_sessions": [*(earlier if isinstance(earlier, list) else []), before]} if before else {}


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < MAX_NUMBER


def _is_entry(line: Mapping[str, Any]) -> bool:
    """Whether a line has what every reader of the log takes for granted: when it is from, and numbers for numbers."""
    measured = [line[name] for name in ("test", "far", "train") if name in line]
    scores = [each["PSNR"] if isinstance(each, dict) and "PSNR" in each else "" for each in measured]
    numbers = [value for name, value in line.items() if not isinstance(value, dict)]
    steps = ("gaussians" in line) == ("loss" in line)
    known = is_number(line.get("iteration")) and is_number(line.get("seconds"))
    return known and steps and all(value is None or is_number(value) for value in [*numbers, *scores])

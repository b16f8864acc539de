"""Takes each barrier out of the kernels in turn; ThreadSanitizer must find a race each time: `make check-barriers`."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from .emulated import CSRC
from .sanitized import RACE, THREAD, reports

BARRIER = re.compile(r"__sync(?:threads|warp|threads_and)\(")
FIRST_RACE = {"TSAN_OPTIONS": f"{THREAD.options['TSAN_OPTIONS']}:halt_on_error=1:die_after_fork=0"}
STOPS_AT_THE_FIRST = replace(THREAD, options=FIRST_RACE)


class Barrier(NamedTuple):
    place: str  # blend.cu:24
    text: str


def barriers() -> Iterator[Barrier]:
    for path in sorted((CSRC / "cuda").glob("*.cu*")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if found := BARRIER.search(line.split("//")[0]):
                yield Barrier(f"{path.name}:{number}", found[0].rstrip("("))


def racing(report: str) -> str:
    """The function of the kernels in which ThreadSanitizer finds the first race; empty if it finds none."""
    function = re.search(r"#0 .*?dgr::cuda::(\w+)", report)
    return function[1] if RACE in report and function else ""


def main() -> int:
    if not THREAD.runtime_path():
        print("skipped: g++ here has no ThreadSanitizer: libtsan is missing")
        return 0
    found = list(barriers())
    with tempfile.TemporaryDirectory() as folder:
        library = THREAD.build(Path(folder))
        result = STOPS_AT_THE_FIRST.drive(library, "mutants", *(barrier.place for barrier in found))
    said = reports(result.stderr, "mutant")
    caught = 0
    for barrier in found:
        race = racing(said.get(barrier.place, ""))
        caught += race != ""
        print(f"{barrier.place} without {barrier.text}: {f'a race in {race}' if race else 'NO RACE FOUND'}")
    print(f"{caught} of {len(found)} deleted barriers found")
    return 0 if found and caught == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())

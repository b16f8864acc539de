"""What became of each file of a dataset's folder: used, and for what, or why not."""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMED_AT_MOST = 3  # files of a group
GROUPS_AT_MOST = 8  # that the line names


@dataclass(frozen=True)
class Ledger:
    """Every file below a folder, but for hidden ones, is in one of the two; paths are relative to the folder."""

    used: Mapping[str, str] = field(default_factory=dict)  # by path, what it is: "photo", "mask", ...
    unused: Mapping[str, str] = field(default_factory=dict)  # by path, why it is not used

    @property
    def line(self) -> str:
        """All of it in one line, for people, with the largest groups of what is not used; "" where there is no file."""
        return self.said(GROUPS_AT_MOST)

    def said(self, at_most: int) -> str:
        """The same with so many groups."""
        if not self.used and not self.unused:
            return ""
        used = [_count(count, what) for what, count in Counter(self.used.values()).items()]
        text = f"Files used: {', '.join(used) or 'none'}"
        groups = [f"{group['files']} ({group['why']})" for group in self._groups()]
        if not groups:
            return f"{text}: all that there are"
        more = len(groups) - at_most
        named = "; ".join(groups[:at_most]) + (f"; and {more} more groups" if more > 0 else "")
        return f"{text}. Not used: {named}"

    def facts(self) -> dict[str, Any]:
        """The same for run.json."""
        return {"used": dict(Counter(self.used.values())), "not_used": self._groups()}

    def _groups(self) -> list[dict[str, Any]]:
        """Files of one folder and suffix that are unused for the same reason are one entry; the largest come first."""
        groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for name, why in self.unused.items():
            path = Path(name)
            groups[str(path.parent), path.suffix.lower(), why].append(name)
        ordered = sorted(groups.items(), key=lambda entry: (-len(entry[1]), entry[0]))
        return [{"files": _named(names, key[1]), "count": len(names), "why": key[2]} for key, names in ordered]


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, sorted, also through links to folders, each folder once; hidden ones are left out, and
    so are pipes, sockets and devices, which may be waited for for ever."""
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if not _is_special(path))


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:  # a link to what is not there
        return False
    return not stat.S_ISREG(mode)


def account(
    source: Path, used: Mapping[Path, str], reasons: Mapping[Path, str], otherwise: Callable[[Path], str]
) -> Ledger:
    """The ledger of the folder `source`.

    Args:
        used: what each used file is.
        reasons: why files, or all files of a folder, are not used; the innermost that is named counts.
        otherwise: why a file is not for which there is no reason.
    """
    uses = {os.path.normpath(path): what for path, what in used.items()}
    whys = {os.path.normpath(path): why for path, why in reasons.items()}
    taken, left = {}, {}
    for path in files_below(source):
        name, full = path.relative_to(source).as_posix(), os.path.normpath(path)
        if full in uses:
            taken[name] = uses[full]
        else:
            places = (full, *map(str, Path(full).parents))
            left[name] = next((whys[place] for place in places if place in whys), None) or otherwise(path)
    return Ledger(taken, left)


def _count(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def _named(names: list[str], suffix: str) -> str:
    if len(names) <= NAMED_AT_MOST:
        return ", ".join(map(_shown, names))
    folder = Path(names[0]).parent
    return f"{len(names)} files {_shown(str(folder / ('*' + suffix)))}"


def _shown(name: str) -> str:
    """A name as any screen shows it: what does not print, or is no text, is escaped and not obeyed."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in name)

"""Photos by the names that a dataset's files give them, which may have been written on another machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from scene.ledger import files_below
from scene.pairing import IMAGE_SUFFIXES
from utils.files import is_file

OTHERS = (".npy", ".ply")  # that are listed beside photos: depth maps and points


class PhotoFinder:
    """The photos below a folder.

    A name is taken as it is; or else with Windows' backslashes, in another case, or without folders that lead to it:
    "images/a.png" and "/home/me/images/a.png" are "a.png" in the folder of the photos. Last, its suffix may be another:
    photos are converted. `elsewhere` remembers those.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.elsewhere: dict[str, Path] = {}  # by the name that was listed

    def find(self, name: str, suffixes: tuple[str, ...] = ("",)) -> Path | None:
        """The photo that is listed by this name, to which one of `suffixes` may have to be added."""
        exact = next((path for suffix in suffixes if is_file(path := self.folder / f"{name}{suffix}")), None)
        if exact is not None:
            return exact
        found = next(filter(None, (self._by_ending(f"{name}{suffix}") for suffix in suffixes)), None)
        if found is not None:
            self.elsewhere[name] = found
        return found

    def find_beside(self, name: str) -> Path | None:
        """A mask, map or point file that is listed by this name: its suffix and the folder it is in must be right, for
        a photo may have the same name elsewhere."""
        if is_file(self.folder / name):
            return self.folder / name
        parts = PurePosixPath(name.replace("\\", "/").lower()).parts
        return _only(self._by_name, parts, at_least=2)

    def note(self) -> tuple[str, ...]:
        """What is to be said of photos that are not quite where they are listed, if there are any."""
        if not self.elsewhere:
            return ()
        name, path = next(iter(self.elsewhere.items()))
        count = f"{len(self.elsewhere)} photos are not where they are listed, and are found by name"
        return (f"{count}, such as {name} at {path.relative_to(self.folder)}",)

    def _by_ending(self, name: str) -> Path | None:
        listed = PurePosixPath(name.replace("\\", "/").lower())
        for parts, index in ((listed.parts, self._by_name), (listed.with_suffix("").parts, self._by_stem)):
            found = _only(index, parts)
            if found is not None:
                return found
            if listed.suffix not in IMAGE_SUFFIXES:
                break
        return None

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        index: dict[str, list[Path]] = defaultdict(list)
        for path in files_below(self.folder):
            if path.suffix.lower() in (*IMAGE_SUFFIXES, *OTHERS) and is_file(path):
                index[path.relative_to(self.folder).as_posix().lower()].append(path)
        return index

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        index: dict[str, list[Path]] = defaultdict(list)
        for name, paths in self._by_name.items():
            if PurePosixPath(name).suffix in IMAGE_SUFFIXES:
                index[str(PurePosixPath(name).with_suffix(""))] += paths
        return index


def _only(index: Mapping[str, list[Path]], parts: Sequence[str], at_least: int = 1) -> Path | None:
    """The one file at the longest end of a path that is in the index, of so many parts or of the whole path."""
    for start in range(max(1, len(parts) - at_least + 1)):
        paths = index.get("/".join(parts[start:]), [])
        if paths:
            return paths[0] if len(paths) == 1 else None
    return None

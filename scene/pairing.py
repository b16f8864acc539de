"""Which file of a folder belongs to which photo: by its name, whatever its suffix, and never one file to two photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from scene import heif
from scene.ledger import files_below

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", *heif.SUFFIXES)
KINDS = (".color", ".depth")  # which 7-Scenes' names have before their suffix


class Pairing(NamedTuple):
    found: dict[str, Path]  # by the photo's name
    contested: list[str]  # a sentence for each file that fits several photos, and is used for none


def pair(folder: Path, names: Sequence[str], suffixes: Sequence[str]) -> Pairing:
    """The file of `folder` for each photo of `names` (paths relative to the photos' folder) that has one.

    A file has the photo's path in another suffix, or behind the photo's own, in any case; or the end of that path.
    The end alone must tell: `000.png` is of `cam0/000.png` only where there is no `cam1/000.png`.
    """
    files = _by_key(folder, suffixes)
    endings = {name: list(_endings(name)) for name in names}
    claims = Counter(key for keys in endings.values() for key in set(keys))
    found: dict[str, Path] = {}
    contested: dict[str, list[str]] = {}
    for name, keys in endings.items():
        for place, key in enumerate(keys):
            if key not in files:
                continue
            if place == 0 or claims[key] == 1:
                found[name] = files[key]
            else:
                contested.setdefault(str(files[key]), []).append(name)
            break
    taken = {str(path) for path in found.values()}
    return Pairing(found, [_said(path, fits) for path, fits in contested.items() if path not in taken])


def _said(path: str, names: Sequence[str]) -> str:
    return f"{path} fits the photos {', '.join(names[:3])}, and is used for none of them"


def _by_key(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """Of files with the same key, that of the first of the suffixes is taken."""
    ranked: dict[str, tuple[int, int, str, Path]] = {}
    for path in files_below(folder):
        suffix = path.suffix.lower()
        if suffix not in suffixes:
            continue
        relative = path.relative_to(folder).as_posix()
        entry = (len(relative), suffixes.index(suffix), relative, path)
        key = _key(relative)
        ranked[key] = min(ranked.get(key, entry), entry)
    return {key: entry[3] for key, entry in ranked.items()}


def _key(name: str) -> str:
    """The path without suffixes of images and kinds, in lower case."""
    path = PurePosixPath(name.replace("\\", "/").lower())
    while path.suffix in (*IMAGE_SUFFIXES, ".npy", ".npz", ".exr", *KINDS) and path.stem:
        path = path.with_suffix("")
    return str(path)


def _endings(name: str) -> Iterator[str]:
    """The keys by which a file may be a photo's: that of its whole path first, of its bare name last."""
    parts = PurePosixPath(_key(name)).parts
    for start in range(len(parts)):
        yield "/".join(parts[start:])

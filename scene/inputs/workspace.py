"""Folders in the model folder with what was made of an input, which are made once: the dataset is never written to."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.files import write_json
from utils.metrics_log import read_object

MADE_OF = ".made_of.json"  # in such a folder: what it was made of, and how
ENDS = 1 << 16  # bytes at both ends of a file that its fingerprint sees, beside its length


def needed(workspace: Path | None, source: Path, what: str) -> Path:
    """The workspace. Raises: UserError where there is none."""
    if workspace is None:
        raise UserError(f"{source}: {what} need a folder to be kept in: `workspace` of load_scene, -m of the scripts")
    return workspace


@contextmanager
def borrowed(workspace: Path | None) -> Iterator[Path]:
    """A workspace for a look that leaves nothing behind: it has what `workspace` has, and is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="workspace.") as place:
        for made_of in sorted(workspace.glob(f"*/{MADE_OF}")) if workspace is not None else ():
            (Path(place) / made_of.parent.name).symlink_to(made_of.parent.resolve())
        yield Path(place)


def is_workspace(folder: Path) -> bool:
    """Whether a run has made something in `folder`."""
    return any(folder.glob(f"*/{MADE_OF}"))


def is_made(folder: Path, made_of: Mapping[str, Any]) -> bool:
    """Whether `folder` was made of the same by `made_once`."""
    return (folder / MADE_OF).is_file() and read_object(folder / MADE_OF) == json.loads(json.dumps(made_of))


def made_once(folder: Path, made_of: Mapping[str, Any], make: Callable[[Path], None]) -> bool:
    """Let `make` fill `folder`, unless it was made of the same already; whether that had to be done.

    It is filled beside its place and moved there whole; a folder that was made of something else is replaced, and one
    that was not made here is not: UserError.
    """
    if is_made(folder, made_of):
        return False
    if folder.exists() and not (folder / MADE_OF).is_file():
        raise UserError(f"{folder} is in the way of what is made of the input; move it away, or choose another -m")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        make(beside)
        write_json(beside / MADE_OF, made_of)
        if folder.is_symlink():  # to what another workspace has, which stays there
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
        beside.chmod(0o755)
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return True


def fingerprint(path: Path) -> str:
    """Of a file's length and the bytes at its ends: the same for a copy, and quick for a long video."""
    size = path.stat().st_size
    with path.open("rb") as file:
        data = file.read(ENDS)
        file.seek(max(0, size - ENDS))
        data += file.read(ENDS)
    return f"{size}-{hashlib.sha256(data).hexdigest()[:16]}"

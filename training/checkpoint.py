"""Checkpoints: the state of a run in one sealed file, from which it goes on to the same bits.

The file is the zip archive that torch.save writes, and what a zip archive may have behind it: a comment. The comment is
the seal, with the digest of all bytes before it. It is checked before anything else looks into the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from training.distributed.checkpoint import check_sealed
from utils.errors import UserError
from utils.files import atomic_write

FORMAT = 3  # raised when a checkpoint of before can no longer be read
NAME = re.compile(r"chkpnt(\d+)\.pth")
SHARDED_NAME = re.compile(r"chkpnt(\d+)")  # a folder: of a run on several ranks, see training/distributed/checkpoint.py
SEAL = re.compile(rb"checkpoint (\d{3}) blake2b ([0-9a-f]{64})")
SEAL_SIZE = len(b"checkpoint 003 blake2b ") + 64
NO_COMMENT = b"\0\0"  # the last two bytes of an archive are the length of its comment
CHUNK = 2**22  # bytes


def checkpoint_path(folder: Path, iteration: int) -> Path:
    """The file of a checkpoint made after `iteration` steps."""
    return folder / f"chkpnt{iteration}.pth"


def sharded_path(folder: Path, iteration: int) -> Path:
    """The folder of a checkpoint that several ranks have made after `iteration` steps."""
    return folder / f"chkpnt{iteration}"


def is_sharded(path: Path) -> bool:
    """Whether a checkpoint is one of several ranks, by its name and kind."""
    return SHARDED_NAME.fullmatch(path.name) is not None and path.is_dir()


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, the one with the most steps first."""
    found = list(folder.iterdir()) if folder.is_dir() else []
    known = (path for path in found if NAME.fullmatch(path.name) or is_sharded(path))
    return sorted(known, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """After how many steps a checkpoint was made, by its name."""
    match = NAME.fullmatch(path.name) or SHARDED_NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps in `folder`, or None."""
    return next(iter(checkpoints(folder)), None)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state`, made of tensors, numbers, strings, lists, tuples and dicts of them, atomically."""
    with atomic_write(path) as file:
        archive = _Hashed(file)
        _save(state, archive)
        seal = f"checkpoint {FORMAT:03} blake2b {archive.digest.hexdigest()}".encode()
        file.seek(-len(NO_COMMENT), 2)
        file.write(len(seal).to_bytes(2, "little") + seal)


def load_checkpoint(path: Path, required: Iterable[str] = (), device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read a checkpoint without running any code in it; tensors come to `device`.

    UserError when it cannot be read, is of another format, was changed since, or lacks one of the `required` entries.
    """
    check_seal(path)
    try:
        with open(path, "rb") as file:
            state = torch.load(file, map_location=device, weights_only=True)
    except Exception as error:  # torch.load raises by what it finds in the file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} cannot be read as a checkpoint: {reason}") from None
    missing = [name for name in required if not isinstance(state, dict) or name not in state]
    if missing or not isinstance(state, dict):
        raise UserError(f"{path} is not whole: it lacks {', '.join(missing) or 'all entries'}")
    return state


def check_seal(path: Path) -> None:
    """UserError unless all bytes of a checkpoint are as they were written."""
    if not path.is_file():
        raise UserError(f"{path} is not a file" if path.exists() else f"there is no checkpoint {path}")
    digest, size = hashlib.blake2b(digest_size=32), path.stat().st_size
    with open(path, "rb") as file:
        left = max(size - len(NO_COMMENT) - SEAL_SIZE, 0)
        while left and (chunk := file.read(min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
        digest.update(NO_COMMENT)
        length, seal = file.read(len(NO_COMMENT)), SEAL.fullmatch(file.read())
    if seal is None or length != SEAL_SIZE.to_bytes(2, "little"):
        raise UserError(f"{path} is not a checkpoint of this trainer (format {FORMAT}), or not a whole one")
    if int(seal[1]) != FORMAT:
        raise UserError(f"{path} is a checkpoint of format {int(seal[1])}; this trainer reads format {FORMAT}")
    if seal[2].decode() != digest.hexdigest():
        raise UserError(f"{path} is damaged: its bytes are not those that were written")


def whole_before(path: Path) -> Path | None:
    """The newest undamaged checkpoint older than `path`, in its folder; None where there is none."""
    known = checkpoints(path.parent)
    older = known[known.index(path) + 1 :] if path in known else []
    return next((each for each in older if _is_whole(each)), None)


def _is_whole(path: Path) -> bool:
    try:
        (check_sealed if is_sharded(path) else check_seal)(path)
    except (UserError, OSError):
        return False
    return True


class _Hashed:
    """A file that is written from its beginning to its end, and the digest of what was."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.blake2b(digest_size=32)

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _save(state: dict[str, Any], file: _Hashed) -> None:
    """torch.save; a full disk is the OSError that it is, which torch's own error only hides."""
    try:
        torch.save(state, file)  # type: ignore[arg-type]
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise

"""Checkpoints of several ranks, on one: nothing in them runs code, damage is one error, a full disk is an OSError."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from scene.gaussians.shard import Shard
from training.checkpoint import whole_before
from training.distributed.checkpoint import SEAL, load_sharded, save_sharded
from utils.distributed import ONE
from utils.errors import UserError

CPU = torch.device("cpu")
ROWS = 5


def save(folder: Path, step: int = 7) -> Path:
    rows = torch.arange(3.0 * ROWS).reshape(ROWS, 3)
    state = {"gaussians": {"means": rows}, "ids": torch.arange(ROWS), "step": step}
    save_sharded(folder / f"chkpnt{step}", state, Shard.dealt(ONE, ROWS, CPU))
    return folder / f"chkpnt{step}"


def change(path: Path, data: bytes) -> None:
    """Put something else into a file of the checkpoint, and seal it again."""
    path.write_bytes(data)
    seal = path.parent / SEAL
    content = json.loads(seal.read_bytes())
    content["files"][path.name] = hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()
    seal.write_text(json.dumps(content))


class Harmful:
    """A pickle that would run code."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_round_trip(tmp_path: Path) -> None:
    loaded = load_sharded(save(tmp_path), ("step",), CPU)
    assert loaded["step"] == 7 and torch.equal(loaded["gaussians"]["means"], torch.arange(15.0).reshape(5, 3))


def test_no_code_is_run(tmp_path: Path) -> None:
    folder = save(tmp_path)
    change(folder / ".metadata", pickle.dumps(Harmful(tmp_path / "harm")))
    with pytest.raises(UserError, match=r"chkpnt7/.metadata names .*touch, which is no part of a checkpoint"):
        load_sharded(folder, (), CPU)
    assert not (tmp_path / "harm").exists()


def test_damage_behind_the_seal_is_one_error(tmp_path: Path) -> None:
    folder = save(tmp_path)
    (part,) = folder.glob("__0_*.distcp")
    whole = part.read_bytes()
    for damage in (whole[:40], bytes(len(whole)), b""):
        change(part, damage)
        with pytest.raises(UserError, match="chkpnt7 cannot be read as a checkpoint"):
            load_sharded(folder, (), CPU)
    change(folder / ".metadata", (folder / ".metadata").read_bytes()[:-20])
    with pytest.raises(UserError, match="chkpnt7"):
        load_sharded(folder, (), CPU)


def test_a_full_disk_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="chkpnt7: No space left on device"):
            save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["chkpnt7"]
    assert load_sharded(folder, (), CPU)["step"] == 7


def test_the_one_before_a_damaged_one(tmp_path: Path) -> None:
    first, second, third = (save(tmp_path, step) for step in (7, 80, 90))
    for folder in (second, third):
        (part,) = folder.glob("__0_*.distcp")
        part.write_bytes(part.read_bytes()[:-1])
    assert whole_before(third) == first and whole_before(second) == first and whole_before(first) is None

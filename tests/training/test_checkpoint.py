"""Checkpoint files: whole, found again, and refused when they are something else."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from training.checkpoint import checkpoint_path, latest_checkpoint, load_checkpoint, save_checkpoint
from utils.errors import UserError


def test_round_trip(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    state: dict[str, Any] = {"step": 3, "names": ["a", "b"], "rows": {"x": torch.rand(3, 2)}}
    state["generator"] = generator.get_state()
    path = checkpoint_path(tmp_path / "out", 3)
    save_checkpoint(path, state)
    loaded = load_checkpoint(path, required=state)
    assert path.name == "chkpnt3.pth" and [file.name for file in path.parent.iterdir()] == ["chkpnt3.pth"]
    assert loaded["step"] == 3 and loaded["names"] == ["a", "b"]
    assert torch.equal(loaded["rows"]["x"], state["rows"]["x"])
    again = torch.Generator()
    again.set_state(loaded["generator"])
    assert torch.equal(torch.rand(4, generator=again), torch.rand(4, generator=generator))


def test_tensors_come_to_the_device_that_goes_on(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pth", {"rows": {"x": torch.rand(3, 2)}})
    loaded = load_checkpoint(tmp_path / "a.pth", device="meta")
    assert loaded["rows"]["x"].device == torch.device("meta") and loaded["rows"]["x"].shape == (3, 2)


def test_the_latest_is_by_number(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None and latest_checkpoint(tmp_path / "missing") is None
    for name in ("chkpnt900.pth", "chkpnt10000.pth", "chkpnt2000.pth", "chkpntx.pth", ".chkpnt99999.pth.a1"):
        (tmp_path / name).touch()
    assert latest_checkpoint(tmp_path) == tmp_path / "chkpnt10000.pth"


class Harmful:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1/0",))


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "pickle", "truncated", "folder", "foreign", "old"])
def test_what_is_no_checkpoint_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "chkpnt5.pth"
    if kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.touch()
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Harmful()))
    elif kind == "truncated":
        save_checkpoint(path, {"x": torch.zeros(1000)})
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "folder":
        path.mkdir()
    elif kind == "foreign":
        torch.save((torch.zeros(3), 30_000), path)
    elif kind == "old":
        torch.save({"format": 0}, path)
    with pytest.raises(UserError, match="chkpnt5.pth"):
        load_checkpoint(path)


def test_a_checkpoint_that_lacks_something_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pth", {"step": 1})
    with pytest.raises(UserError, match="optimizer"):
        load_checkpoint(tmp_path / "a.pth", required=("step", "optimizer"))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "chkpnt1.pth"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(path, {"step": lambda: None})
    assert load_checkpoint(path)["step"] == 1 and [file.name for file in tmp_path.iterdir()] == ["chkpnt1.pth"]

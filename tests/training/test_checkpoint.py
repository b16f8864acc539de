"""Checkpoint files: whole, found again, and refused when they are something else."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from training import checkpoint as module
from training.checkpoint import checkpoint_path, latest_checkpoint, load_checkpoint, save_checkpoint, whole_before
from utils.errors import UserError


def test_round_trip(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    names = ["a", "b\udcff"]  # the second as Python has a name that is no UTF-8
    state: dict[str, Any] = {"step": 3, "names": names, "rows": {"x": torch.rand(3, 2)}}
    state["generator"] = generator.get_state()
    path = checkpoint_path(tmp_path / "out", 3)
    save_checkpoint(path, state)
    loaded = load_checkpoint(path, required=state)
    assert path.name == "chkpnt3.pth" and [file.name for file in path.parent.iterdir()] == ["chkpnt3.pth"]
    assert loaded["step"] == 3 and loaded["names"] == names
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


def test_any_changed_byte_is_seen(tmp_path: Path) -> None:
    path, rng = tmp_path / "chkpnt1.pth", random.Random(3)
    save_checkpoint(path, {"step": 1, "rows": {"x": torch.rand(500, 3)}})
    whole = path.read_bytes()
    for _ in range(300):
        changed, place = bytearray(whole), rng.randrange(len(whole))
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(UserError, match="chkpnt1.pth"):
            load_checkpoint(path)
    for end in rng.sample(range(len(whole)), 50):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError, match="chkpnt1.pth"):
            load_checkpoint(path)
    path.write_bytes(whole)
    assert load_checkpoint(path)["step"] == 1


def test_another_format_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(module, "FORMAT", 99)
        save_checkpoint(tmp_path / "a.pth", {"step": 1})
    with pytest.raises(
        UserError, match=f"a.pth is a checkpoint of format 99; this trainer reads format {module.FORMAT}"
    ):
        load_checkpoint(tmp_path / "a.pth")


def test_the_one_before_a_damaged_one(tmp_path: Path) -> None:
    paths = [checkpoint_path(tmp_path, iteration) for iteration in (90, 100, 200, 1000)]
    for path in paths:
        save_checkpoint(path, {"step": 1})
    for path in paths[2:]:
        path.write_bytes(path.read_bytes().replace(b"step", b"stop"))
    assert whole_before(paths[3]) == paths[1] and whole_before(paths[1]) == paths[0] and whole_before(paths[0]) is None

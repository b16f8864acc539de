"""--tensorboard: the numbers of metrics.jsonl and test views in event files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import train
from tests.helpers.ring import BUSY
from training import tensorboard
from utils.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]


def run(dataset: Path, model: Path, flags: str) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    train.main(["-s", str(dataset), "-m", str(model), "--quiet", *BUSY.split(), *flags.split()])
    return [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]


def test_numbers_have_the_keys_that_lead_to_them() -> None:
    line = {"iteration": 3, "test": {"PSNR": 20, "LPIPS": None}, "audit": {"l1": {"gradients": {"xyz": 0.5}}}}
    assert dict(tensorboard.numbers_of(line)) == {"iteration": 3.0, "test/PSNR": 20.0, "audit/l1/gradients/xyz": 0.5}


def test_a_missing_package_is_named_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--tensorboard needs the package tensorboard.*pip install tensorboard"):
        run(tmp_path / "none", tmp_path / "out", "--tensorboard")
    assert not list(tmp_path.iterdir())


def test_every_number_and_test_views_are_in_the_event_file(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    flags = "--iterations 40 --eval --test_iterations 20 --tensorboard"
    lines = run(dataset, tmp_path / "out", flags)
    folder = tmp_path / "out" / "tensorboard"
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()
    wanted: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        for name, value in tensorboard.numbers_of(line):
            if name != "iteration":
                wanted.setdefault(name, []).append((line["iteration"], value))
    assert set(tags["scalars"]) == set(wanted) and {"loss", "test/PSNR", "densification/split"} <= set(wanted)
    for name in ("loss", "test/PSNR", "gaussians"):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in wanted[name]]
        assert [value for _, value in found] == pytest.approx([value for _, value in wanted[name]], rel=1e-5)
    assert sorted(tags["images"]) == ["test/00.png", "test/08.png"]
    pictures = events.Images("test/00.png")
    assert [each.step for each in pictures] == [20, 40] and (pictures[0].width, pictures[0].height) == (96, 36)
    assert pictures[0].encoded_image_string != pictures[1].encoded_image_string
    old = {path.name for path in folder.iterdir()}
    run(dataset, tmp_path / "out", "--iterations 2 --tensorboard --overwrite")
    assert not old & {path.name for path in folder.iterdir()}, "--overwrite takes the files of the run before"

"""--dry_run: what it says, and that it leaves nothing."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import train
from scene import load_scene
from tests.helpers import scenes
from tests.helpers.ring import BUSY
from training import run_info
from utils.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def said_by(dataset: Path, model: Path, capsys: pytest.CaptureFixture[str], flags: str = "") -> str:
    train.main(["-s", str(dataset), "-m", str(model), "--dry_run", *BUSY.split(), *flags.split()])
    return capsys.readouterr().out


def test_a_dry_run_says_what_it_found_and_writes_nothing(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(dataset)
    said = said_by(dataset, tmp_path / "out", capsys, "--iterations 4000 --eval")
    assert "COLMAP, 7 training and 2 test photos" in said and "Files used: 9 photos" in said
    assert f"{len(load_scene(dataset, eval_split=True).points)} Gaussians at the start" in said
    assert re.search(r"Time: about \d+ (s|min), .*; 4,000 steps of [\d.]+ ms at the start and [\d.]+ ms with", said)
    assert re.search(r"; about [\d,]+ are expected at most\n", said)
    assert re.search(r"Memory: about [\d.]+ GiB, of which [\d.e-]+ GiB are photos", said)
    assert files(dataset) == before and not list(tmp_path.iterdir())


def test_the_default_strategy_knows_how_many_gaussians_there_will_be(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--strategy budget --max_gaussians 500 --iterations 3000"
    said = said_by(dataset, tmp_path / "out", capsys, f"{words} --densify_until_iter 1500")
    assert "; about 500 are expected at most and 330 at the end\n" in said
    few = said_by(dataset, tmp_path / "out", capsys, words)  # four growths by half at most
    most = re.search(r"; about (\d+) are expected at most", few)
    assert most is not None and int(most[1]) == pytest.approx(1.5**4 * len(load_scene(dataset).points), rel=0.02)


def test_steps_are_proportional_to_time(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a speed that is not measured: 10 ms at any number, 7 views, and surveys in the second half of the run."""
    monkeypatch.setattr("training.probe.Probe._step_seconds", lambda *_: 0.01)
    said = [said_by(dataset, tmp_path / "out", capsys, f"--iterations {count} --eval") for count in (12_000, 60_000)]
    assert [re.findall(r"about (\d+) min", text) for text in said] == [["2"], ["10"]]
    with_end = said_by(dataset, tmp_path / "out", capsys, "--minutes 3")
    assert re.findall(r"about (\d+) min", with_end) == ["3"]


def test_a_machine_that_is_too_small_is_warned_of(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "this machine has" not in said_by(dataset, tmp_path / "out", capsys)
    monkeypatch.setattr(run_info, "machine", lambda: {"memory_gib": 0.1})
    assert "warning: this machine has 0.1 GiB" in said_by(dataset, tmp_path / "out", capsys)


def test_what_would_stop_the_run_stops_the_dry_run(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train.main(["-s", str(dataset), "-m", str(tmp_path / "out"), "--quiet", "--iterations", "20"])
    before = files(tmp_path)
    with pytest.raises(UserError, match="holds a run already"):
        said_by(dataset, tmp_path / "out", capsys)
    said_by(dataset, tmp_path / "out", capsys, "--overwrite")
    assert files(tmp_path) == before


def test_of_photos_without_poses_it_says_what_they_are_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SfM takes minutes: it is named, not run."""
    monkeypatch.setitem(sys.modules, "pycolmap", ModuleType("pycolmap"))
    for number in range(4):
        scenes.write_photo(tmp_path / "room" / f"{number}.png", 80, 60)
    before = files(tmp_path)
    said = said_by(tmp_path / "room", tmp_path / "out", capsys)
    assert "room: 4 photos without poses, of 80×60 pixels" in said and "SfM by pycolmap" in said
    assert "Nothing was written (--dry_run)" in said and files(tmp_path) == before

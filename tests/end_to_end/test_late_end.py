"""Runs that end after their last step, and what killed ones leave behind: --resume makes up for it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import train
from gaussian_renderer.render_views import DrawnView
from tests.end_to_end.test_train import run
from training import outputs
from utils.errors import UserError

pytestmark = pytest.mark.slow

STEPS = 4
PAGES = ("results.json", "per_view.json", "contact_sheet.png", "report.html")


@pytest.fixture(scope="module")
def results(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """results.json of the run that nothing stops."""
    model = tmp_path_factory.mktemp("straight") / "out"
    run(dataset, model, "--eval", STEPS)
    return json.loads((model / "results.json").read_text())


def status(model: Path) -> str:
    return str(json.loads((model / "run.json").read_text())["status"])


@pytest.mark.parametrize("end", ["second Ctrl-C", "SIGTERM", "error in the renders", "error in the pages", "killed"])
def test_a_run_without_its_pages_is_finished_by_resuming(
    end: str, dataset: Path, results: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, honest = tmp_path / "out", outputs.render_views

    def stopping(*arguments: Any) -> Iterator[DrawnView]:
        for view in honest(*arguments):
            if end == "second Ctrl-C":
                raise KeyboardInterrupt
            if end == "SIGTERM":
                signal.raise_signal(signal.SIGTERM)
            if end == "error in the renders":
                raise OSError(28, "No space left on device")
            yield view

    def fail(folder: Path) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(outputs, "render_views", stopping)
        if end == "error in the pages":
            patched.setattr(outputs, "write_summary", fail)
        try:
            ply = run(dataset, model, "--eval", STEPS)
        except (KeyboardInterrupt, SystemExit):
            ply = model / f"point_cloud/iteration_{STEPS}/point_cloud.ply"
    if end == "killed":  # between the last step and the first page
        state = json.loads((model / "run.json").read_text())
        (model / "run.json").write_text(json.dumps({**state, "status": "running"}))
        for name in PAGES:
            (model / name).unlink()
    before = ply.read_bytes()
    assert status(model) != "finished"
    assert not list(model.glob("chkpnt*")), "the result is there: it needs no checkpoint"
    train.main(["-m", str(model), "--resume", "--quiet"])
    assert status(model) == "finished" and all((model / name).stat().st_size for name in PAGES)
    assert json.loads((model / "results.json").read_text()) == results and ply.read_bytes() == before
    with pytest.raises(UserError, match=f"is finished, with {STEPS} iterations"):
        train.main(["-m", str(model), "--resume", "--quiet"])


def test_more_iterations_go_on_from_the_checkpoint(dataset: Path, tmp_path: Path) -> None:
    model = tmp_path / "out"
    run(dataset, model, f"--checkpoint_iterations 2 {STEPS}", STEPS)
    with pytest.raises(UserError, match="iterations already"):
        train.main(["-m", str(model), "--resume", "--iterations", "2"])
    train.main(["-m", str(model), "--resume", "--iterations", "6", "--quiet"])
    assert (model / "point_cloud/iteration_6/point_cloud.ply").exists()


@pytest.mark.parametrize("flags", ["--resume", "--overwrite"])
def test_what_killed_runs_leave_is_cleaned(flags: str, dataset: Path, tmp_path: Path) -> None:
    model = tmp_path / "out"
    run(dataset, model, "--checkpoint_iterations 2 --eval", iterations=2)
    left = [
        ".chkpnt700.pth.a1b2c3d4", ".run.json.abcdefg_", "point_cloud/iteration_2/.point_cloud.ply.00000000",
        "test/ours_2/renders/.00001.png.zzzzzzzz", ".config.json.12345678",
    ]  # fmt: skip
    others = [".chkpnt700.pth.bak", ".chkpntx.pth.a1b2c3d4", ".mine.json.a1b2c3d4", "chkpnt9.pth.a1b2c3d4"]
    for name in left + others:
        (model / name).write_text("part of a file")
    run(dataset, model, flags, iterations=3)
    assert not [name for name in left if (model / name).exists()]
    assert all((model / name).exists() for name in others)

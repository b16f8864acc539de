from __future__ import annotations

import json
import sys

import pytest
import torch

from training import run_logger as module
from training.run_logger import RunLogger
from utils.errors import UserError
from utils.image_io import read_png


def lines_of(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def run_of(folder) -> dict:
    return json.loads((folder / "run.json").read_text())


def run_steps(report: RunLogger, first: int, last: int) -> None:
    for iteration in range(first, last + 1):
        report.step(iteration, {"loss": float(iteration), "l1": 1.0}, 10 * iteration)


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves by hand."""

    class Clock:
        time = 0.0

    monkeypatch.setattr(module.time, "perf_counter", lambda: Clock.time)
    return Clock


def test_a_line_of_means_every_hundred_steps_and_at_the_end(tmp_path):
    with RunLogger(tmp_path, 250) as report:
        run_steps(report, 1, 150)
        assert [line["iteration"] for line in lines_of(tmp_path)] == [100], "lines are there while training"
        run_steps(report, 151, 250)
    lines = lines_of(tmp_path)
    assert [line["iteration"] for line in lines] == [100, 200, 250]
    assert [line["loss"] for line in lines] == [50.5, 150.5, 225.5]
    assert all(line["l1"] == 1 for line in lines)
    assert [line["gaussians"] for line in lines] == [1000, 2000, 2500]
    assert all(line["seconds"] >= 0 for line in lines)


def test_steps_of_an_interrupted_run_are_logged(tmp_path):
    with RunLogger(tmp_path, 250) as report:
        run_steps(report, 1, 130)
        report.outcome("interrupted")
    assert [line["iteration"] for line in lines_of(tmp_path)] == [100, 130]
    assert (run_of(tmp_path)["status"], run_of(tmp_path)["iterations"]) == ("interrupted", 130)


def test_a_resumed_run_goes_on_with_its_log(tmp_path, clock):
    with RunLogger(tmp_path, 300) as report:
        clock.time = 60
        run_steps(report, 1, 200)
        clock.time = 99
        run_steps(report, 201, 230)  # after the last checkpoint, at 200: will be done again
        report.outcome("interrupted")
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"iteration": 2')  # the process was killed
    clock.time = 1000
    with RunLogger(tmp_path, 300, first=200) as report:
        clock.time = 1010
        run_steps(report, 201, 300)
    lines = lines_of(tmp_path)
    assert [line["iteration"] for line in lines] == [100, 200, 300]
    assert [line["seconds"] for line in lines] == [60, 60, 70], "the clock goes on from the checkpoint"
    run = run_of(tmp_path)
    assert run["status"] == "finished"
    assert [session["status"] for session in run["earlier_sessions"]] == ["interrupted"]


def test_a_new_run_forgets_the_old_log(tmp_path):
    for _ in range(2):
        with RunLogger(tmp_path, 100) as report:
            run_steps(report, 1, 100)
    assert len(lines_of(tmp_path)) == 1
    assert "earlier_sessions" not in run_of(tmp_path)


def test_run_json(tmp_path):
    with RunLogger(tmp_path, 2, facts={"seed": 7}, quiet=True) as report:
        assert run_of(tmp_path)["status"] == "running"
        report.warning("odd")
        run_steps(report, 1, 2)
    run = run_of(tmp_path)
    assert run["status"] == "finished" and run["end"] >= run["start"]
    assert run["versions"]["torch"] and run["versions"]["python"].count(".") == 2
    assert run["machine"]["cores"] >= 1 and run["machine"]["cpu"]
    assert (run["seed"], run["gaussians"], run["iterations"], run["warnings"]) == (7, 20, 2, ["odd"])
    assert run["peak_memory_mib"] is None or run["peak_memory_mib"] > 10
    assert {"command", "git", "seconds"} <= run.keys()


def test_a_failure_is_kept_and_passed_on(tmp_path):
    with pytest.raises(UserError, match="too bad"), RunLogger(tmp_path, 5) as report:
        run_steps(report, 1, 3)
        raise UserError("too bad")
    assert run_of(tmp_path)["status"] == "failed: UserError: too bad"
    assert lines_of(tmp_path)[-1]["iteration"] == 3


@pytest.mark.parametrize(("known", "left"), [(None, "3 min"), (1000.0, "17 min")])
def test_clean_lines_without_a_terminal(known, left, tmp_path, capsys, clock):
    with RunLogger(tmp_path, 400, to_go=lambda: known) as report:
        for iteration in range(1, 401):
            clock.time += 0.5
            report.step(iteration, {"loss": 0.25, "l1": 0.1}, 1234)
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert captured.err == "" and "\r" not in captured.out
    assert lines[0] == f"[Iter 31/400] Loss 0.2500  N 1,234  2.0 it/s  {left} left"
    assert 11 <= len(lines) <= 15


def test_a_bar_on_a_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with RunLogger(tmp_path, 3) as report:
        run_steps(report, 1, 3)
        report._bar.refresh()
    captured = capsys.readouterr()
    assert "3/3" in captured.err and "Loss=" in captured.err and "N=30" in captured.err
    assert captured.out == ""


def test_quiet_says_nothing_and_writes_everything(tmp_path, capsys):
    with RunLogger(tmp_path, 100, quiet=True) as report:
        run_steps(report, 1, 100)
        report.event("event")
        report.warning("warning")
        report.evaluation(100, "test", {"PSNR": 20.0, "SSIM": 0.5, "LPIPS": None}, 3)
        report.saved(tmp_path / "file")
        report.summary()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    assert len(lines_of(tmp_path)) == 2


def test_evaluations_are_said_and_logged(tmp_path, capsys):
    with RunLogger(tmp_path, 100) as report:
        report.evaluation(7, "test", {"PSNR": 20.0, "SSIM": 0.5, "LPIPS": None}, 1)
    assert capsys.readouterr().out == "[Iter 7] test: PSNR 20.00 dB  SSIM 0.5000 (1 view)\n"
    (line,) = lines_of(tmp_path)
    assert line["test"] == {"PSNR": 20.0, "SSIM": 0.5, "LPIPS": None, "views": 1}


def test_the_summary_says_it_all(tmp_path, capsys, clock):
    with RunLogger(tmp_path, 100) as report:
        clock.time = 20
        run_steps(report, 1, 100)
        report.evaluation(50, "test", {"PSNR": 10.0, "SSIM": 0.1}, 8)
        report.evaluation(100, "test", {"PSNR": 20.0, "SSIM": 0.5}, 8)
        report.saved(tmp_path / "cloud.ply")
        capsys.readouterr()
        report.summary([tmp_path / "sheet.png", tmp_path / "report.html"])
    text = capsys.readouterr().out
    for part in ("100 iterations in 20 s (5.0 it/s", "1,000 Gaussians", "PSNR 20.00 dB", "8 views", "cloud.ply"):
        assert part in text
    assert "10.00" not in text and text.endswith(f"open {tmp_path / 'report.html'}\n")


def test_previews_come_early_and_then_now_and_again(tmp_path, capsys):
    report = RunLogger(tmp_path, 2000, first=30)
    assert [step for step in range(31, 1501) if report.preview_due(step)] == [40, 130, 500, 1000, 1500]
    report = RunLogger(tmp_path, 2000)
    report.preview(10, torch.zeros(3, 20, 30), torch.ones(3, 20, 30), "a.jpg")
    assert "preview.png" in capsys.readouterr().out
    drawn = read_png(tmp_path / "preview.png")
    assert (drawn == 255).all(axis=2).sum() > 100_000 and (drawn == 0).all(axis=2).sum() > 100_000

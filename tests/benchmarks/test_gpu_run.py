"""The prepared GPU run, as far as it goes without one: its figures, its tables, and that no part harms another."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import bench_gpu
import gpu_run
import pytest
import torch
from gpu_tables import report_text

from diff_gaussian_rasterization import rasterize

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
CASE = {"n": 60, "width": 48, "height": 32}


# ---- figures


def test_our_figures_cover_all_outputs() -> None:
    lines = list(bench_gpu.rasterizer_lines("ours", 60, 48, 32, 1, CPU))
    assert [line["outputs"] for line in lines] == list(bench_gpu.OUTPUTS)
    for line in lines:
        assert min(line["forward_ms"], line["forward_backward_ms"], line["step_ms"]) > 0
        assert line["step_mib"] is None, "there is no GPU to hold any"


def test_a_case_is_not_empty() -> None:
    case = bench_gpu.Case(60, 48, 32, CPU)
    painter = bench_gpu.Ours(case)
    color = painter.draw(("color",))["color"]
    color.sum().backward()
    assert color.std() > 0.05
    for values in case.gaussians.parameters.values():
        assert values.grad is not None and values.grad.abs().sum() > 0
    before = case.gaussians.means.detach().clone()
    painter.step()
    assert torch.equal(case.gaussians.means, before), "repeats measure the same case"


class StandIn:
    """gsplat's function by its documented arguments, drawn by our rasterizer."""

    @staticmethod
    def rasterization(means, quats, scales, opacities, colors, viewmats, Ks, width, height, **settings: Any):
        assert settings.pop("packed") is False and opacities.shape == (len(means),)
        drawn = rasterize(
            means, scales, quats, opacities[:, None], colors, viewmat=viewmats[0], width=width, height=height,
            fx=Ks[0, 0, 0].item(), fy=Ks[0, 1, 1].item(), cx=Ks[0, 0, 2].item(), cy=Ks[0, 1, 2].item(),
            background=torch.zeros(3), near=settings["near_plane"], sh_degree=settings["sh_degree"],
        )  # fmt: skip
        planes = [drawn.color] if settings["render_mode"] == "RGB" else [drawn.color, drawn.depth / drawn.alpha]
        return torch.cat(planes).permute(1, 2, 0)[None], drawn.alpha, {}


def test_the_peer_is_asked_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", StandIn)
    lines = list(bench_gpu.rasterizer_lines("gsplat", 60, 48, 32, 1, CPU))
    assert [line["outputs"] for line in lines] == ["color", "color, depth"]
    assert all(line["difference"] < 1e-6 and line["step_ms"] > 0 for line in lines)


def test_kernels_are_timed_one_by_one() -> None:
    lines = list(bench_gpu.kernel_lines(60, 48, 32, 1, CPU))
    assert {"project", "isect_tiles", "blend", "adam"} < {line["kernel"] for line in lines}
    assert all(line["ms"] > 0 for line in lines)


# ---- tables


def test_the_report_sets_rasterizers_side_by_side() -> None:
    ours = {"rasterizer": "ours", "forward_ms": 1.0, "forward_backward_ms": 2.0, "step_ms": 3.0}
    theirs = {"rasterizer": "gsplat 1.5.3", "forward_ms": 2.0, "forward_backward_ms": 5.0, "step_ms": 9.0}
    figures = [
        CASE | theirs | {"outputs": "color", "forward_backward_mib": 300, "difference": 0.001},
        CASE | ours | {"outputs": "color", "forward_backward_mib": 200},
        CASE | {"n": 4_000_000, "rasterizer": "none", "error": "CUDA out of memory"},
        CASE | {"kernel": "isect_tiles", "ms": 0.25},
        {"scene": "room", "iterations": 7000, "psnr": 30.5, "seconds": 41.0, "gaussians": 12345},
    ]
    text = report_text("Card", [("ours", "done", 1.5), ("gsplat", "out of time after 60 s", 60.0)], figures, False)
    rows = [line.split(" | ") for line in text.splitlines()]
    (first,), (second,) = ([row for row in rows if row[3:4] == [name]] for name in ("ours", "gsplat 1.5.3"))
    assert rows.index(first) + 1 == rows.index(second)
    assert second[-3:] == ["2.5", "1.5", "0.001 |"]
    out_of_time = "| gsplat | out of time after 60 s | 60 |"
    for words in ("Card", out_of_time, "CUDA out of memory", "12,345", "| isect_tiles |"):
        assert words in text
    assert "rehearsal" not in text and "rehearsal" in report_text("", [], [], True)


# ---- parts


def part(name: str, code: str, missing: str = "") -> gpu_run.Part:
    return gpu_run.Part(name, 1.0, (sys.executable, "-c", code), missing)


@pytest.mark.slow
def test_parts_end_and_keep_their_figures(tmp_path: Path) -> None:
    slow = "import time; print('{\"a\": 1}', flush=True); print('{\"cut', flush=True); time.sleep(60)"
    hung = gpu_run.run_part(part("slow", slow), 1.5, tmp_path, dict(os.environ))
    assert hung.status == "out of time after 2 s" and hung.figures == [{"part": "slow", "a": 1}]
    failing = "print('{\"b\": 2}'); raise SystemExit(3)"
    broken = gpu_run.run_part(part("broken", failing), 60, tmp_path, dict(os.environ))
    assert broken.status == "failed: exit status 3, see broken.log" and broken.figures[0]["b"] == 2
    peer = gpu_run.run_part(part("peer", 'print(\'{"skipped": "not here"}\')'), 60, tmp_path, dict(os.environ))
    assert peer.status == "skipped: not here"
    assert gpu_run.run_part(part("never", "", "no GPU"), 60, tmp_path, {}).status == "skipped: no GPU"
    assert gpu_run.run_part(part("late", ""), 0, tmp_path, {}).status == "skipped: no time is left"


def test_what_needs_a_gpu_is_left_out_without_one(tmp_path: Path) -> None:
    arguments = argparse.Namespace(scenes=[tmp_path / "room"], output=tmp_path, iterations=7000, rehearse=False)
    left_out = {each.name for each in gpu_run.parts(arguments, "there is none") if each.missing}
    named = {each.name for each in gpu_run.parts(arguments, "")}
    assert {"build", "training_synthetic", "training_room", "memcheck", "racecheck", "gsplat"} < named
    assert named - left_out <= {"build", "doctor"}
    arguments.rehearse = True
    done = {each.name for each in gpu_run.parts(arguments, "there is none") if not each.missing}
    assert {"kernels", "ours", "gsplat", "training_room"} <= done


@pytest.mark.slow
def test_the_script_without_a_gpu(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/gpu_run.py", "--output", str(tmp_path / "out")]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped: no GPU" in done.stdout and "build" in done.stdout
    assert "| ours | skipped: no GPU | 0 |" in (tmp_path / "out/report.md").read_text()
    assert (tmp_path / "out/figures.jsonl").read_text() == ""


def test_the_benchmark_without_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", "ours"])
    monkeypatch.setattr(bench_gpu, "cuda_fault", lambda: "torch finds no GPU")
    bench_gpu.main()
    assert json.loads(capsys.readouterr().out) == {"skipped": "no GPU: torch finds no GPU"}

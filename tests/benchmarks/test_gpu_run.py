"""The prepared GPU run, as far as it goes without one: its figures, its tables, and that no part harms another."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
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
    assert {"build", "training_room", "kernel_tests", "memcheck", "racecheck", "synccheck", "initcheck", "ncu"} < named
    assert any(name.startswith("training_synthetic") for name in named) and {"gsplat_build", "gsplat"} < named
    assert named - left_out <= {"build", "doctor"}
    arguments.rehearse = True
    done = {each.name for each in gpu_run.parts(arguments, "there is none") if not each.missing}
    assert {"kernels", "ours", "training_room"} <= done


def test_what_this_python_lacks_is_said_before_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("cv2", "gsplat") else honest(name))
    arguments = argparse.Namespace(scenes=[tmp_path / "room"], output=tmp_path, iterations=7000, rehearse=True)
    missing = {each.name: each.missing for each in gpu_run.parts(arguments, "there is none")}
    assert missing["ours"] == missing["training_room"] == "this Python has no cv2" and missing["build"] == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gsplat" else honest(name))
    missing = {each.name: each.missing for each in gpu_run.parts(arguments, "")}
    assert missing["gsplat_build"] == missing["gsplat"] == "this Python has no gsplat" and missing["ours"] == ""


def test_the_tools_look_at_our_kernels_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_run.shutil, "which", lambda program: f"/usr/bin/{program}")
    arguments = argparse.Namespace(scenes=[], output=tmp_path, iterations=7000, rehearse=False)
    commands = {each.name: " ".join(each.command) for each in gpu_run.parts(arguments, "") if not each.missing}
    for tool in ("memcheck", "racecheck", "synccheck", "initcheck"):
        asked = f"--tool {tool} --kernel-name kernel_substring=dgr --report-api-errors no --error-exitcode 9"
        assert asked in commands[tool]
    assert "ncu --set basic -k regex:dgr -c 40" in commands["ncu"] and "--n 1000000" in commands["ncu"]
    assert commands["kernel_tests"].endswith("test_cuda_kernels.py -k card")
    for source in (ROOT / "submodules/diff-gaussian-rasterization/csrc/cuda").glob("*.cu"):
        assert "__global__" not in source.read_text() or "namespace dgr" in source.read_text()


def test_packages_beside_the_checkout_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/wheels", "", "more"]))
    paths = gpu_run.environment_for("none")["PYTHONPATH"].split(os.pathsep)
    assert paths[0] == str(ROOT) and paths[-2:] == ["/wheels", os.path.abspath("more")] and "" not in paths


FAKE_CARD = r"""
import signal, sys, time
sys.path.insert(0, "benchmarks")
import gpu_run, torch
gpu_run.gpu_fault = lambda: ""
torch.cuda.get_device_capability = lambda: (9, 0)
honest = gpu_run.parts
hang = "print('{\"n\": 5}', flush=True); import time; time.sleep(60)"
def faked(arguments, gpu):
    for part in honest(arguments, gpu):
        code = hang if part.name == "kernels" else f"print('{{\"ran\": 1}}')"
        yield part._replace(command=(sys.executable, "-c", code), missing="")
gpu_run.parts = faked
gpu_run.main()
"""


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_what_is_finished(tmp_path: Path) -> None:
    """With a card that is none, whose parts do nothing, and a limit from outside that comes first."""
    out = tmp_path / "out"
    command = [sys.executable, "-c", FAKE_CARD, "--output", str(out)]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    log, end = out / "kernels.log", time.monotonic() + 60
    while not (log.exists() and log.read_text()) and run.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=30)
    assert run.returncode == gpu_run.KILLED and str(out.with_name("out.tar.gz")) in said
    with tarfile.open(out.with_name("out.tar.gz")) as archive:
        names = archive.getnames()
        report, figures = (archive.extractfile(f"out/{name}") for name in ("report.md", "figures.jsonl"))
        assert report is not None and figures is not None
        text, lines = report.read().decode(), [json.loads(line) for line in figures]
    assert "| doctor | done |" in text and "| kernels | killed with the whole run |" in text and "ours" not in text
    assert {"part": "kernels", "n": 5} in lines and {"part": "build", "ran": 1} in lines
    assert {"out/build.log", "out/doctor.log", "out/tests.log", "out/kernels.log"} < set(names)


@pytest.mark.slow
def test_without_plyfile_measuring_and_colmap_scenes_work(tmp_path: Path) -> None:
    """As in a PyTorch image: scenes of COLMAP's binary files need none."""
    (tmp_path / "plyfile.py").write_text("raise ImportError('No module named plyfile')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    code = (
        "import sys; sys.path.insert(0, 'benchmarks'); import bench_gpu, train, render\n"
        "from pathlib import Path; from scene.io.points import read_points\n"
        f"path = Path({str(tmp_path / 'a.ply')!r}); path.touch()\n"
        "try: read_points(path)\nexcept ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "pip install plyfile" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_the_script_without_a_gpu(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/gpu_run.py", "--output", str(tmp_path / "out")]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped: no GPU" in done.stdout and "build" in done.stdout
    assert "| ours | skipped: no GPU | 0 |" in (tmp_path / "out/report.md").read_text()
    assert (tmp_path / "out/figures.jsonl").read_text() == "" and (tmp_path / "out.tar.gz").is_file()


def test_the_benchmark_without_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", "ours"])
    monkeypatch.setattr(bench_gpu, "cuda_fault", lambda: "torch finds no GPU")
    bench_gpu.main()
    assert json.loads(capsys.readouterr().out) == {"skipped": "no GPU: torch finds no GPU"}

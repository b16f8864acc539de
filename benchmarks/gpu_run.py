"""Everything that needs a GPU, in one run of ten minutes: build, tests, sanitizers, speed beside gsplat, training.

    python benchmarks/gpu_run.py [SCENE ...] [--output out/gpu] [--minutes 10] [--iterations 7000]

Each part has a process and a share of the time of its own; one that fails, hangs or is not possible here says so, and
loses no other's figures. The output folder gets report.md with the tables, figures.jsonl with all figures, and a log
of each part. Training is on the synthetic scene, made first where data/synthetic is not there, and on the scenes given.
Without a GPU the parts that need one are skipped. `--rehearse` runs them on the CPU, as small as can be, to try the
script: such figures say nothing. The exit status is 1 if a part failed or ran out of time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gpu_tables import report_text

ROOT = Path(__file__).resolve().parents[1]
SYNTHETIC = ROOT / "data" / "synthetic"
SMALL = ("--n", "200", "--size", "64x48", "--repeats", "1")
DOCTOR = "submodules/diff-gaussian-rasterization/diff_gaussian_rasterization/doctor.py"
DEVICE_TESTS = "tests/rasterizer/cuda/test_cuda_device.py"


class Part(NamedTuple):
    """One thing to do."""

    name: str
    share: float  # of the whole time, at most; all shares together are more, for few are used up
    command: tuple[str, ...]
    missing: str = ""  # why it cannot be done here


class Outcome(NamedTuple):
    """What came of it."""

    status: str  # "done", "skipped: ...", "failed: ...", "out of time"
    seconds: float
    figures: list[dict[str, Any]]


# ---- what there is to do


def parts(arguments: argparse.Namespace, gpu: str) -> Iterator[Part]:
    """In the order of their worth, should the time not suffice. `gpu`: why there is none, or ""."""
    python = sys.executable
    device = ("--device", "cpu") if arguments.rehearse else ()
    small = SMALL if arguments.rehearse else ()
    bench = (python, "benchmarks/bench_gpu.py")
    no_gpu = "no GPU" if gpu else ""
    yield Part("build", 0.2, (python, "-c", "import diff_gaussian_rasterization"))
    yield Part("doctor", 0.05, (python, "-m", "diff_gaussian_rasterization.doctor"), absent(DOCTOR))
    yield Part("tests", 0.1, (python, "-m", "pytest", "-q", DEVICE_TESTS), no_gpu or absent(DEVICE_TESTS))
    no_figures = "" if arguments.rehearse else no_gpu
    yield Part("kernels", 0.07, (*bench, "kernels", *device, *small), no_figures)
    yield Part("ours", 0.1, (*bench, "ours", *device, *small), no_figures)
    yield Part("gsplat", 0.1, (*bench, "gsplat", *device, *small), no_figures)
    yield from trainings(arguments, device, no_figures)
    no_sanitizer = "" if shutil.which("compute-sanitizer") else "compute-sanitizer is not on the PATH"
    for tool in ("memcheck", "racecheck"):
        # Without torch's cache each tensor has ends of its own, beyond which an access is seen.
        sanitizer = ("env", "PYTORCH_NO_CUDA_MEMORY_CACHING=1", "compute-sanitizer", "--tool", tool)
        yield Part(tool, 0.12, (*sanitizer, "--error-exitcode", "9", *bench, "ours", *SMALL), no_gpu or no_sanitizer)


def absent(path: str) -> str:
    return "" if (ROOT / path).exists() else f"{path} is not there"


def trainings(arguments: argparse.Namespace, device: tuple[str, ...], missing: str) -> Iterator[Part]:
    scenes = list(arguments.scenes)
    if not arguments.rehearse:
        made = "it is there" if SYNTHETIC.exists() else missing
        yield Part("scene", 0.1, (sys.executable, "-m", "scene.synthetic", str(SYNTHETIC)), made)
        scenes.insert(0, SYNTHETIC)
    for scene in scenes:
        figure = arguments.output / f"training_{scene.name}.png"
        command = (sys.executable, "benchmarks/bench_training.py", str(scene), "--figure", str(figure))
        steps = ("--iterations", str(arguments.iterations), "--", *device)
        yield Part(f"training_{scene.name}", 0.22 / len(scenes), (*command, *steps), missing)


# ---- doing it


def run_part(part: Part, seconds: float, folder: Path, environment: dict[str, str]) -> Outcome:
    """Run a part, for so long at most; its output goes to a log, the JSON lines in it are its figures."""
    if part.missing or seconds <= 0:
        return Outcome(f"skipped: {part.missing or 'no time is left'}", 0.0, [])
    start, log = time.perf_counter(), folder / f"{part.name}.log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            part.command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(timeout=seconds)
            status = "done" if code == 0 else f"failed: exit status {code}, see {log.name}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = f"out of time after {seconds:.0f} s"
    figures = [{"part": part.name, **line} for line in json_lines(log)]
    notes = [line["skipped"] for line in figures if "skipped" in line]
    return Outcome(f"skipped: {notes[0]}" if notes else status, round(time.perf_counter() - start, 1), figures)


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log that are JSON objects; one cut short is none."""
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def gpu_fault() -> str:
    """Why there is no GPU to run on, or "". Asked of torch alone: the rasterizer may not be built yet."""
    import torch

    return "" if torch.cuda.is_available() else "torch finds none"


def environment_for(gpu: str) -> dict[str, str]:
    """Of the parts: the packages from this checkout, built for the card that is there."""
    paths = [str(ROOT), str(ROOT / "submodules" / "diff-gaussian-rasterization")]
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    if not gpu:
        import torch

        major, minor = torch.cuda.get_device_capability()
        environment.setdefault("TORCH_CUDA_ARCH_LIST", f"{major}.{minor}")
    return environment


def card() -> str:
    """The card, its driver and its clocks, as nvidia-smi has them."""
    query = "--query-gpu=name,driver_version,memory.total,clocks.max.sm"
    try:
        done = subprocess.run(["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True, timeout=9)
    except (OSError, subprocess.TimeoutExpired):
        return "no GPU"
    return done.stdout.strip() or "no GPU"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, nargs="*", metavar="SCENE", help="dataset folders to train on as well")
    parser.add_argument("--output", type=Path, default=Path("out/gpu"), help="where everything goes")
    parser.add_argument("--minutes", type=float, default=10.0, help="the whole run ends within these")
    parser.add_argument("--iterations", type=int, default=7000, help="training steps")
    parser.add_argument("--rehearse", action="store_true", help="try the script on the CPU")
    arguments = parser.parse_args()
    arguments.output = arguments.output.resolve()
    arguments.scenes = [scene.resolve() for scene in arguments.scenes]
    return arguments


def main() -> None:
    arguments, gpu = parse(), gpu_fault()
    arguments.output.mkdir(parents=True, exist_ok=True)
    whole, environment, outcomes = 60 * arguments.minutes, environment_for(gpu), dict[str, Outcome]()
    end = time.perf_counter() + whole
    for part in parts(arguments, gpu):
        seconds = min(part.share * whole, end - time.perf_counter())
        outcome = run_part(part, seconds, arguments.output, environment)
        outcomes[part.name] = outcome
        print(f"{part.name:24} {outcome.seconds:6.1f} s  {outcome.status}", flush=True)
        figures = [line for each in outcomes.values() for line in each.figures]
        (arguments.output / "figures.jsonl").write_text("".join(json.dumps(line) + "\n" for line in figures))
        rows = [(name, each.status, each.seconds) for name, each in outcomes.items()]
        (arguments.output / "report.md").write_text(report_text(card(), rows, figures, arguments.rehearse))
    print(f"the tables are in {arguments.output / 'report.md'}")
    sys.exit(any(each.status.startswith(("failed", "out of time")) for each in outcomes.values()))


if __name__ == "__main__":
    main()

"""Everything that needs a GPU, in one run of nine minutes: build, tests, sanitizers, speed beside gsplat, training.

    python benchmarks/gpu_run.py [SCENE ...] [--output out/gpu] [--minutes 9] [--iterations 7000]

It runs with the Python that is there and whatever PYTHONPATH adds to it, and installs nothing. Each part has a process
and a share of the time of its own; one that fails, hangs or is not possible here says so, and loses no other's figures.
The output folder gets report.md with the tables, figures.jsonl with all figures, and a log of each part; OUTPUT.tar.gz
beside it has the whole folder. All are written anew after each part, so a limit outside that kills the run leaves what
was finished. Training is on data/synthetic, or a smaller scene of that kind, made where it is not there, and on the
scenes given. Without a GPU the parts that need one are skipped. `--rehearse` runs them on the CPU, as small as can be,
to try the script: such figures say nothing. The exit status is 1 if a part failed or ran out of time, 143 after a kill.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from gpu_tables import report_text

ROOT = Path(__file__).resolve().parents[1]
SYNTHETIC = ROOT / "data" / "synthetic"
SMALLER, SMALLER_SIZE = ROOT / "data" / "synthetic_small", ("--views", "40", "--width", "320", "--height", "240")
SMALL = ("--n", "200", "--size", "64x48", "--repeats", "1")
LARGE = ("--n", "1000000", "--size", "1920x1080", "--repeats", "1")
DOCTOR = "submodules/diff-gaussian-rasterization/diff_gaussian_rasterization/doctor.py"
DEVICE_TESTS = "tests/rasterizer/cuda/test_cuda_device.py"
KERNEL_TESTS = "tests/rasterizer/cuda/test_cuda_kernels.py"
OURS = "dgr"  # in the name of each of our kernels: torch's are not ours to judge
MEASURING = ("numpy", "scipy", "cv2", "tqdm", "PIL", "msgspec")  # what the imports of the benchmarks need
TRAINING = (*MEASURING, "matplotlib")
KILLED = 143  # the exit status of what SIGTERM ended


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
    yield Part("doctor", 0.1, (python, "-m", "diff_gaussian_rasterization.doctor"), absent(DOCTOR))
    pytest, no_pytest = (python, "-m", "pytest", "-q"), no_gpu or lacking("pytest", *MEASURING)
    yield Part("tests", 0.1, (*pytest, DEVICE_TESTS), no_pytest or absent(DEVICE_TESTS))
    no_figures = lacking(*MEASURING) if arguments.rehearse else no_gpu or lacking(*MEASURING)
    yield Part("kernels", 0.07, (*bench, "kernels", *device, *small), no_figures)
    yield Part("ours", 0.1, (*bench, "ours", *device, *small), no_figures)
    yield Part("kernel_tests", 0.1, (*pytest, KERNEL_TESTS, "-k", "card"), no_pytest or absent(KERNEL_TESTS))
    yield from trainings(arguments, device, no_figures or lacking(*TRAINING))
    no_peer = no_figures or lacking("gsplat")
    # gsplat compiles itself when it is first used, for minutes, which is not to be taken from the comparison.
    yield Part("gsplat_build", 0.35, (*bench, "gsplat", *device, *SMALL), no_peer)
    yield Part("gsplat", 0.1, (*bench, "gsplat", *device, *small), no_peer)
    yield from examinations(bench, no_gpu or lacking(*MEASURING))


def examinations(bench: tuple[str, ...], missing: str) -> Iterator[Part]:
    """What NVIDIA's tools say of our kernels."""
    no_sanitizer = missing or not_on_the_path("compute-sanitizer")
    ours = ("--kernel-name", f"kernel_substring={OURS}", "--report-api-errors", "no", "--error-exitcode", "9")
    for tool in ("memcheck", "racecheck", "synccheck", "initcheck"):
        # Without torch's cache each tensor has ends of its own, beyond which an access is seen.
        sanitizer = ("env", "PYTORCH_NO_CUDA_MEMORY_CACHING=1", "compute-sanitizer", "--tool", tool, *ours)
        yield Part(tool, 0.1, (*sanitizer, *bench, "ours", *SMALL), no_sanitizer)
    profile = ("ncu", "--set", "basic", "-k", f"regex:{OURS}", "-c", "40")
    yield Part("ncu", 0.1, (*profile, *bench, "ours", *LARGE), missing or not_on_the_path("ncu"))


def absent(path: str) -> str:
    return "" if (ROOT / path).exists() else f"{path} is not there"


def not_on_the_path(program: str) -> str:
    return "" if shutil.which(program) else f"{program} is not on the PATH"


def lacking(*modules: str) -> str:
    """Which of these cannot be imported, or "": known before a part fails by it."""
    gone = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"this Python has no {', '.join(gone)}" if gone else ""


def trainings(arguments: argparse.Namespace, device: tuple[str, ...], missing: str) -> Iterator[Part]:
    scenes = list(arguments.scenes)
    if not arguments.rehearse:
        scene = SYNTHETIC if SYNTHETIC.exists() else SMALLER
        made = "it is there" if scene.exists() else missing
        yield Part("scene", 0.15, (sys.executable, "-m", "scene.synthetic", str(scene), *SMALLER_SIZE), made)
        scenes.insert(0, scene)
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
            status = f"out of time after {seconds:.0f} s"
        except Killed:
            status = "killed with the whole run"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    figures = [{"part": part.name, **line} for line in json_lines(log)]
    notes = [line["skipped"] for line in figures if "skipped" in line]
    return Outcome(f"skipped: {notes[0]}" if notes else status, round(time.perf_counter() - start, 1), figures)


class Killed(BaseException):
    """A signal asks the whole run to end; what it has is to be kept."""


def be_killed(number: int, frame: FrameType | None) -> NoReturn:
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # those that follow would end the writing
        signal.signal(each, signal.SIG_IGN)
    raise Killed


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
    """Of the parts: the packages from this checkout before all others, built for the card that is there."""
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    paths = [str(ROOT), str(ROOT / "submodules" / "diff-gaussian-rasterization"), *map(os.path.abspath, given)]
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
    parser.add_argument("--minutes", type=float, default=9.0, help="the whole run ends within these")
    parser.add_argument("--iterations", type=int, default=7000, help="training steps")
    parser.add_argument("--rehearse", action="store_true", help="try the script on the CPU")
    arguments = parser.parse_args()
    arguments.output = arguments.output.resolve()
    arguments.scenes = [scene.resolve() for scene in arguments.scenes]
    return arguments


class Results:
    """What has come of the parts so far, on disk after each."""

    def __init__(self, folder: Path, rehearsed: bool) -> None:
        self.folder, self.rehearsed, self.card = folder, rehearsed, card()
        self.archive = folder.with_name(folder.name + ".tar.gz")
        self.outcomes: dict[str, Outcome] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, outcome: Outcome) -> None:
        """Write the figures, the report and the archive anew."""
        self.outcomes[name] = outcome
        print(f"{name:24} {outcome.seconds:6.1f} s  {outcome.status}", flush=True)
        figures = [line for each in self.outcomes.values() for line in each.figures]
        (self.folder / "figures.jsonl").write_text("".join(json.dumps(line) + "\n" for line in figures))
        rows = [(name, each.status, each.seconds) for name, each in self.outcomes.items()]
        (self.folder / "report.md").write_text(report_text(self.card, rows, figures, self.rehearsed))
        unfinished = self.archive.with_name(self.archive.name + ".part")  # a kill in between leaves the one before
        with tarfile.open(unfinished, "w:gz") as file:
            file.add(self.folder, self.folder.name)
        unfinished.replace(self.archive)

    @property
    def failed(self) -> bool:
        return any(each.status.startswith(("failed", "out of time")) for each in self.outcomes.values())


def main() -> None:
    arguments, gpu = parse(), gpu_fault()
    results, environment = Results(arguments.output, arguments.rehearse), environment_for(gpu)
    whole = 60 * arguments.minutes
    end = time.perf_counter() + whole
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, be_killed)
    try:
        for part in parts(arguments, gpu):
            seconds = min(part.share * whole, end - time.perf_counter())
            outcome = run_part(part, seconds, arguments.output, environment)
            results.add(part.name, outcome)
            if outcome.status.startswith("killed"):
                raise Killed
    except Killed:
        print(f"killed; what is finished is in {results.archive}", flush=True)
        sys.exit(KILLED)
    print(f"the tables are in {arguments.output / 'report.md'}, everything in {results.archive}")
    sys.exit(results.failed)


if __name__ == "__main__":
    main()

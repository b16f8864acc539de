"""The fuzzer of what is read: python -m tests.fuzz.run --seconds 120

Each input is a dataset or model folder with one damaged file. It must be read as a valid one or give the project's
error, within 5 seconds of computing and 2 GB: nothing else. What does not is kept in --keep, a folder for each, as
`a__b` for the path a/b.
Of most datasets only what the damage reaches first is read, the reader's own part or the one file, and the whole scene
of every 8th input (pages: 200th): that is how many inputs come through in little time.
A number of the seed and a format is one input for ever: --replay runs such folders again, and --table goes on where
the last run with that file ended.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.fuzz.formats import FORMATS, nothing
from tests.fuzz.mutate import mutated
from utils.errors import UserError

SECONDS_EACH = 5  # of computing, which other programs do not make longer
TOO_LONG = f"over {SECONDS_EACH} s"
WAITING = 24  # times as long in all, for what waits instead of computing
TURN = 2.0  # seconds for a format, before the next has its turn
IN_MEMORY = Path("/dev/shm")  # where files are written and deleted without a disk
MEMORY = 2 * 2**30  # bytes of address space, beyond what the imports take
KEPT = (  # inputs that once were not fine: they come first
    *(("colmap_bin", seed) for seed in (42, 72, 102)),
    *(("scannet", seed) for seed in (11, 131)),
    ("ply_gaussians", 20242),
    *(("colmap_bin_depth", seed) for seed in (20430, 20442)),
    *(("sog", seed) for seed in (57, 60, 131)),
    ("kitti", 80),
    ("zip", 255),
    ("scanner_app", 5016),
    ("sog", 1150),
    *(("cameras_json", seed) for seed in (1007, 1011, 1018, 1026)),
    *((kind, 1007) for kind in ("exposure_json", "poses_refined")),
    *(("sharded_sealed", seed) for seed in (1, 4)),
    ("checkpoint_sealed", 10_000_310),
    *(("camera_path", seed) for seed in (1368, 4429)),
    *(("pages", seed) for seed in (1033, 20_005_185, 25_002_278)),
    ("lists", 20_000_539),
    ("stray_video", 20_007_633),
)
FINE = ("valid", "refused")


class Hang(BaseException):
    """Not an Exception, so that no reader takes it for damage."""


def outcome(folder: Path, kind: str) -> str:
    """ "valid", "refused", or what came out instead, with the place in the project."""
    return judged(lambda: FORMATS[kind].fault(folder))


def judged(read: Callable[[], str]) -> str:
    """The same of anything that reads."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Hang

    signal.signal(signal.SIGPROF, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS_EACH)
    signal.setitimer(signal.ITIMER_REAL, WAITING * SECONDS_EACH)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fault = read()
    except UserError as error:
        return "refused" if "/" in str(error) else f"an error that names no file: {error}"
    except Hang:
        return TOO_LONG
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return fault or "valid"


class Dataset:
    """A whole dataset of a format, of which one file after the other is damaged and made whole again."""

    def __init__(self, folder: Path, kind: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.format = folder, FORMATS[kind]
        self.format.write(folder)
        files = sorted(path for pattern in self.format.damaged for path in folder.glob(pattern) if path.is_file())
        self.whole = {path: path.read_bytes() for path in files}
        self.part = self.format.part(folder) if self.format.part else None

    def outcome(self, seed: int, whole: bool = False) -> tuple[str, Path]:
        """What comes of the damage of this seed, and the file that it is in."""
        part = None if whole or seed % self.format.whole_every == 0 else self.part
        with self.damaged(seed) as path:
            return judged(lambda: self.format.fault(self.folder) if part is None else part(path)), path

    @contextmanager
    def damaged(self, seed: int) -> Iterator[Path]:
        """The file that the damage of this seed is in."""
        files = list(self.whole)
        path = files[seed % len(files)]
        opened, resealed = self.format.opened, self.format.resealed
        path.write_bytes(resealed(mutated(opened(self.whole[path]), seed, path.suffix)))
        self.format.afterwards(self.folder)
        yield path
        for each, data in self.whole.items():
            if each == path or self.format.afterwards is not nothing:
                each.write_bytes(data)


def kind_of(name: str) -> str:
    """The format of a kept folder, by its name."""
    crafted = {"nerf": "nerfstudio", "npy": "depth_npy", "points": "colmap_bin", "images": "colmap_bin"}
    crafted |= {"txt": "colmap_txt", "scannet": "scannet", "tum": "tum"}
    kind = name.split("-")[0].removeprefix("r_")
    if kind == "crafted":
        return crafted[name.split("-")[1].split("_")[0]]
    kinds = {
        "rawdepth_npy": "depth_npy",
        "rawdepth_npz": "depth_npy",
        "rawdepth_png": "depth_png",
        "ply_list": "ply_points",
    }
    return {**kinds, "ply_points_ascii": "ply_points"}.get(kind, kind)


def lay_over(kept: Path, folder: Path, kind: str) -> None:
    """A dataset of the format with the damaged files of a kept folder."""
    FORMATS[kind].write(folder)
    for path in kept.iterdir():
        if path.name in ("WHAT.txt", "SIZE"):
            continue
        name = f"depth__{path.name}" if kept.name.startswith("rawdepth") else path.name
        target = folder / name.replace("__", "/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def limit_memory() -> None:
    """An allocation beyond MEMORY fails, instead of taking the machine down."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)


def replay(root: Path) -> dict[str, str]:
    """What comes of every kept folder below `root` whose format is read here, by its name."""
    result = {}
    for kept in sorted(path for path in root.iterdir() if path.is_dir()):
        kind = kind_of(kept.name)
        if kind in FORMATS:
            with tempfile.TemporaryDirectory() as place:
                lay_over(kept, Path(place), kind)
                result[kept.name] = outcome(Path(place), kind)
    return result


Counts = Counter[tuple[str, str]]  # how often what came out, by format


def fuzz(kinds: list[str], first: int, seconds: float, most: int, keep: Path | None, table: Path | None) -> Counts:
    """Input after input until time or number is reached: the formats in turn, the one of fewest inputs first."""
    counts, end = read_table(table), time.monotonic() + seconds
    for kind in kinds:
        if not FORMATS[kind].is_writable:
            print(f"{kind} is left out: {FORMATS[kind].needs} is not installed")
    kinds = [kind for kind in kinds if FORMATS[kind].is_writable]
    with tempfile.TemporaryDirectory() as place:
        datasets = {kind: Dataset(Path(place) / kind, kind) for kind in kinds}
        for kind, seed in KEPT if table is None else ():
            if kind in kinds and time.monotonic() < end:
                counts[kind, tried(datasets[kind], kind, seed, keep, whole=True)] += 1
        done = {kind: inputs_of(counts, kind) if table else 0 for kind in kinds}
        while time.monotonic() < end and min(done.values()) < most:
            for kind in sorted(kinds, key=lambda each: done[each]):
                turn = min(end, time.monotonic() + TURN)
                while done[kind] < most and time.monotonic() < turn:
                    counts[kind, tried(datasets[kind], kind, first + done[kind], keep)] += 1
                    done[kind] += 1
            write_table(table, counts)
    return counts


def inputs_of(counts: Counts, kind: str) -> int:
    return sum(count for (each, _), count in counts.items() if each == kind)


def read_table(path: Path | None) -> Counts:
    rows = json.loads(path.read_text()) if path is not None and path.exists() else {}
    return Counter({(kind, what): count for kind, row in rows.items() for what, count in row.items()})


def write_table(path: Path | None, counts: Counts) -> None:
    rows: dict[str, dict[str, int]] = defaultdict(dict)
    for (kind, what), count in sorted(counts.items()):
        rows[kind][what] = count
    if path is not None:
        path.write_text(json.dumps(rows, indent=1) + "\n")


def tried(dataset: Dataset, kind: str, seed: int, keep: Path | None, *, whole: bool = False) -> str:
    """What came of an input, which is printed and kept where it is not fine."""
    result, path = dataset.outcome(seed, whole)
    if result == TOO_LONG:  # once may be a machine that others keep busy, whose processor's time is no measure
        result, path = dataset.outcome(seed, whole)
    if result not in FINE:
        name = str(path.relative_to(dataset.folder))
        print(f"{kind}, seed {seed}, {name}: {result}", flush=True)
        if keep is not None:
            with dataset.damaged(seed):
                _keep(path, keep / f"{kind}-seed_{seed}", name.replace("/", "__"), result)
    return result


def _keep(path: Path, folder: Path, name: str, result: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / name)
    (folder / "WHAT.txt").write_text(result + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--inputs", type=int, default=10**9, help="for each format, at most")
    parser.add_argument("--seed", type=int, default=0, help="the number of the first input")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--keep", type=Path, help="folder for inputs that are not fine")
    parser.add_argument("--replay", type=Path, help="a folder of kept inputs to run instead")
    parser.add_argument("--table", type=Path, help="a JSON file of inputs by format and outcome, of all runs with it")
    options = parser.parse_args()
    limit_memory()
    if IN_MEMORY.is_dir():
        tempfile.tempdir = str(IN_MEMORY)
    if options.replay:
        found = replay(options.replay)
        bad = {name: what for name, what in found.items() if what not in FINE}
        print("\n".join(f"{name}: {what}" for name, what in bad.items()))
        print(f"{len(found)} kept inputs, {len(bad)} of them not fine")
    else:
        counts = fuzz(options.formats, options.seed, options.seconds, options.inputs, options.keep, options.table)
        bad = {str(key): str(count) for key, count in counts.items() if key[1] not in FINE}
        for kind in options.formats:
            print(kind, *(f"{what} {count}" for (k, what), count in sorted(counts.items()) if k == kind))
        print(f"{sum(counts.values())} inputs, {len(bad)} faults")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

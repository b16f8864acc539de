"""The fuzzer of what is read: python -m tests.fuzz.run --seconds 120

Each input is a dataset or model folder with one damaged file. It must be read as a valid one or give the project's
error, within 5 seconds of computing and 2 GB: nothing else. What does not is kept in --keep, a folder for each, as
`a__b` for the path a/b.
A number of the seed and a format is one input for ever: --replay runs such folders again.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import FrameType

from tests.fuzz.formats import FORMATS, nothing
from tests.fuzz.mutate import mutated
from utils.errors import UserError

SECONDS_EACH = 5  # of computing, which other programs do not make longer
WAITING = 24  # times as long in all, for what waits instead of computing
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
)
FINE = ("valid", "refused")


class Hang(BaseException):
    """Not an Exception, so that no reader takes it for damage."""


def outcome(folder: Path, kind: str) -> str:
    """ "valid", "refused", or what came out instead, with the place in the project."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Hang

    signal.signal(signal.SIGPROF, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS_EACH)
    signal.setitimer(signal.ITIMER_REAL, WAITING * SECONDS_EACH)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fault = FORMATS[kind].fault(folder)
    except UserError as error:
        return "refused" if "/" in str(error) else f"an error that names no file: {error}"
    except Hang:
        return f"over {SECONDS_EACH} s"
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

    @contextmanager
    def damaged(self, seed: int) -> Iterator[Path]:
        """The file that the damage of this seed is in."""
        files = list(self.whole)
        path = files[seed % len(files)]
        path.write_bytes(mutated(self.whole[path], seed, path.suffix))
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


def fuzz(kinds: list[str], first: int, seconds: float, most: int, keep: Path | None) -> Counter[tuple[str, str]]:
    """Input after input, the formats in turn, until time or number is reached: how often what came out, by format."""
    counts: Counter[tuple[str, str]] = Counter()
    end = time.monotonic() + seconds
    for kind in kinds:
        if not FORMATS[kind].is_writable:
            print(f"{kind} is left out: {FORMATS[kind].needs} is not installed")
    kinds = [kind for kind in kinds if FORMATS[kind].is_writable]
    fresh = ((kind, seed) for seed in range(first, first + most) for kind in kinds)
    with tempfile.TemporaryDirectory() as place:
        datasets = {kind: Dataset(Path(place) / kind, kind) for kind in kinds}
        for kind, seed in chain((each for each in KEPT if each[0] in kinds), fresh):
            if time.monotonic() > end:
                break
            folder = datasets[kind].folder
            with datasets[kind].damaged(seed) as path:
                result = outcome(folder, kind)
                counts[kind, result] += 1
                if result not in FINE:
                    name = str(path.relative_to(folder))
                    print(f"{kind}, seed {seed}, {name}: {result}", flush=True)
                    if keep is not None:
                        _keep(path, keep / f"{kind}-seed_{seed}", name.replace("/", "__"), result)
    return counts


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
    options = parser.parse_args()
    limit_memory()
    if options.replay:
        found = replay(options.replay)
        bad = {name: what for name, what in found.items() if what not in FINE}
        print("\n".join(f"{name}: {what}" for name, what in bad.items()))
        print(f"{len(found)} kept inputs, {len(bad)} of them not fine")
    else:
        counts = fuzz(options.formats, options.seed, options.seconds, options.inputs, options.keep)
        bad = {str(key): str(count) for key, count in counts.items() if key[1] not in FINE}
        for kind in options.formats:
            print(kind, *(f"{what} {count}" for (k, what), count in sorted(counts.items()) if k == kind))
        print(f"{sum(counts.values())} inputs, {len(bad)} faults")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

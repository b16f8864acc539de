"""TUM RGB-D: rgb.txt, depth.txt and groundtruth.txt, whose lines begin with the time they are of.

A photo takes the pose and the depth map nearest to it in time. The cameras of freiburg1, 2 and 3 are those that the
benchmark publishes, told by the folder's name; others have the sensor's defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scene.readers.base import (
    ParsedDataset,
    PosedImage,
    ReadOptions,
    lost_frames,
    opencv_lens,
    pose_of_quaternion,
    read_text,
)
from scene.types import CameraModel
from utils.errors import UserError

STEPS = 5000  # of the depth maps in a metre
MAX_APART = 0.02  # seconds
DEFAULT = opencv_lens(640, 480, (525.0, 525.0, 319.5, 239.5))
FREIBURG = {
    "1": opencv_lens(
        640, 480, (517.306, 516.469, 318.643, 255.314), (0.262383, -0.953104, -0.005358, 0.002628, 1.163314)
    ),
    "2": opencv_lens(
        640, 480, (520.909, 521.007, 325.141, 249.702), (0.231222, -0.784899, -0.003257, -0.000105, 0.917205)
    ),
    "3": opencv_lens(640, 480, (535.4, 539.2, 320.1, 247.6)),
}
FILE, POSE = "path", "tx ty tz qx qy qz qw"  # what a line has behind its time
LAYOUT = "rgb.txt and groundtruth.txt (TUM RGB-D)"


class Timed(NamedTuple):
    """A list of the benchmark: what there is at which time."""

    times: np.ndarray  # (K,) seconds, ascending
    values: list[Any]

    def nearest(self, time: float) -> Any | None:
        """What is nearest in time, if it is near."""
        index = self.index_of(time)
        return None if index is None else self.values[index]

    def index_of(self, time: float) -> int | None:
        """The index of what is nearest in time, if it is near."""
        if len(self.times) == 0:
            return None
        index = int(np.abs(self.times - time).argmin())
        return index if abs(self.times[index] - time) <= MAX_APART else None


def can_read(source: Path) -> bool:
    return (source / "rgb.txt").is_file() and (source / "groundtruth.txt").is_file()


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Raises: UserError, naming file and line, for what is not understood."""
    lens, note = _lens(source)
    photos, poses = _list(source / "rgb.txt", FILE), _list(source / "groundtruth.txt", POSE)
    maps = _list(source / "depth.txt", FILE) if (source / "depth.txt").is_file() else Timed(np.zeros(0), [])
    here = [(time, name) for time, (name,) in zip(*photos, strict=True) if (source / name).is_file()]
    depths = _each_to_one([time for time, _ in here], maps)
    frames, lost = [], []
    for time, name in here:
        pose, depth = poses.nearest(time), depths.get(time)
        where = f"{source / 'groundtruth.txt'}: the pose"
        world_from_camera = None if pose is None else pose_of_quaternion(pose[:3], pose[3:], where)
        if world_from_camera is None:
            lost.append(source / name)
        else:
            depth_path = None if depth is None else source / depth[0]
            camera_from_world = np.linalg.inv(world_from_camera)
            frames.append(PosedImage(name, source / name, lens, camera_from_world, depth_path=depth_path))
    if here and not frames:
        raise UserError(f"{source / 'groundtruth.txt'} has a pose within {MAX_APART} s of no photo of rgb.txt")
    bare = sum(frame.depth_path is None for frame in frames)
    return ParsedDataset(
        kind="TUM RGB-D",
        frames=tuple(frames),
        missing=tuple(name for (name,) in photos.values if not (source / name).is_file()),
        depth_scale=1 / STEPS,
        files=tuple(source / name for name in ("rgb.txt", "depth.txt", "groundtruth.txt")),
        unused=dict.fromkeys(lost, f"no pose within {MAX_APART} s"),
        is_video=True,
        notes=(note, *([f"{bare} photos have no depth map within {MAX_APART} s"] if bare else [])),
        warnings=lost_frames(lost, f"no pose within {MAX_APART} s"),
    )


def _each_to_one(times: Sequence[float], maps: Timed) -> dict[float, Any]:
    """By the time of a photo, the map nearest to it; a map that is nearest to several is of the nearest of them."""
    nearest: dict[int, float] = {}
    for time in times:
        index = maps.index_of(time)
        if index is None:
            continue
        other = nearest.setdefault(index, time)
        if abs(maps.times[index] - time) < abs(maps.times[index] - other):
            nearest[index] = time
    return {time: maps.values[index] for index, time in nearest.items()}


def _lens(source: Path) -> tuple[CameraModel, str]:
    name = source.resolve().name.lower()
    for number, lens in FREIBURG.items():
        if f"freiburg{number}" in name or f"fr{number}" in name:
            return lens, f"the camera of freiburg{number} by the folder's name"
    return DEFAULT, "the sensor's default camera assumed (525, 525, 319.5, 239.5), as the folder is of no freiburg"


def _list(path: Path, wanted: str) -> Timed:
    """What a list has for each time, `wanted`, ordered by time."""
    entries = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        time, *values = line.split()
        try:
            if len(values) != len(wanted.split()):
                raise ValueError
            entries.append((float(time), [float(value) for value in values] if wanted == POSE else values))
        except ValueError:
            raise UserError(f"{path}, line {number}: {line!r} must be a time and {wanted}") from None
    entries.sort(key=lambda entry: entry[0])
    return Timed(np.array([time for time, _ in entries]), [values for _, values in entries])

"""7-Scenes: seq-01/frame-000000.{color.png,depth.png,pose.txt}, or a folder of such frames.

The poses are the depth camera's. The two cameras of its Kinect were never calibrated: taken is what relocalisation
benchmarks take, depth f 585, color f 525, and the transformation between the cameras of a Kinect that LIRIS published.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from scene.readers.base import MILLIMETRES, ParsedDataset, PosedImage, ReadOptions, lost_frames, read_pose, read_text
from scene.types import CameraModel, DepthCamera
from utils.errors import UserError

PHOTO_LENS = CameraModel("PINHOLE", 640, 480, (525.0, 525.0, 320.0, 240.0))
PHOTO_FROM_DEPTH = np.array(
    [
        [0.999965180, 0.002676513, -0.007904101, -0.025558943],
        [-0.002740931, 0.999963028, -0.008150452, 0.000101096],
        [0.007881994, 0.008171833, 0.999935546, 0.002031832],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
DEPTH_CAMERA = DepthCamera(CameraModel("PINHOLE", 640, 480, (585.0, 585.0, 320.0, 240.0)), PHOTO_FROM_DEPTH)
ASSUMED = "Kinect's usual calibration assumed (color f 525, depth f 585 and 2.6 cm beside it, 640×480)"
SPLITS = ("TrainSplit.txt", "TestSplit.txt")
LAYOUT = "frame-*.pose.txt, or seq-*/frame-*.pose.txt (7-Scenes)"


def can_read(source: Path) -> bool:
    return any(next(folder.glob("frame-*.pose.txt"), None) for folder in (source, *source.glob("seq-*")))


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Read the sequences that TrainSplit.txt and TestSplit.txt name, or all where there are no such files."""
    train, test, notes = _sequences(source)
    frames, missing, lost = _frames(source, [*train, *test])
    unlisted = [folder for folder in source.glob("seq-*") if folder not in (*train, *test)]
    held_out = frozenset(frame.name for frame in frames if frame.image_path.parent in test)
    return ParsedDataset(
        kind="7-Scenes",
        frames=tuple(frames),
        missing=tuple(missing),
        test=held_out,
        depth_scale=MILLIMETRES,
        files=(
            *(source / name for name in SPLITS),
            *(Path(str(f.image_path).rpartition(".color.")[0] + ".pose.txt") for f in frames),
        ),
        unused=dict.fromkeys(lost, "it is not finite") | dict.fromkeys(unlisted, "in no list of sequences"),
        is_video=True,
        notes=(ASSUMED, *notes),
        warnings=lost_frames(lost),
    )


def _sequences(source: Path) -> tuple[list[Path], list[Path], list[str]]:
    """The folders of the sequences to train on and to test on, and a note on those that are listed but not there."""
    here = sorted(folder for folder in source.glob("seq-*") if folder.is_dir())
    train, test = (_listed(source / name) for name in SPLITS)
    if not here or not train:
        return here or [source], [], []
    gone = sorted({folder.name for folder in (*train, *test) if not folder.is_dir()})
    train = [folder for folder in train if folder.is_dir()]
    if not train:
        raise UserError(f"{source / SPLITS[0]} lists sequences of which none is there, such as {gone[0]}")
    notes = [f"{len(gone)} listed sequences are not there ({', '.join(gone)})"] if gone else []
    return train, [folder for folder in test if folder.is_dir()], notes


def _listed(split: Path) -> list[Path]:
    """The folders that lines as "sequence3" mean."""
    if not split.is_file():
        return []
    folders = []
    for line in filter(None, map(str.strip, read_text(split).splitlines())):
        number = line.removeprefix("sequence")
        if not number.isdecimal():
            raise UserError(f"{split}: {line!r} names no sequence; a line must read as sequence1")
        folders.append(split.parent / f"seq-{int(number):02}")
    return folders


def _frames(source: Path, folders: Iterable[Path]) -> tuple[list[PosedImage], list[str], list[Path]]:
    """The frames that can be used, the names of photos that are not there, and the files of poses that were lost."""
    frames, missing, lost = [], [], []
    for pose_path in (path for folder in folders for path in sorted(folder.glob("frame-*.pose.txt"))):
        stem = pose_path.name.removesuffix(".pose.txt")
        candidates = [pose_path.with_name(f"{stem}.color.{suffix}") for suffix in ("png", "jpg")]
        photo = next((path for path in candidates if path.is_file()), None)
        if photo is None:
            missing.append(str(candidates[0].relative_to(source)))
            continue
        depth_from_world = read_pose(pose_path)
        if depth_from_world is None:
            lost.append(pose_path)
            continue
        frames.append(
            PosedImage(
                name=str(photo.relative_to(source)),
                image_path=photo,
                lens=PHOTO_LENS,
                camera_from_world=PHOTO_FROM_DEPTH @ depth_from_world,
                depth_path=pose_path.with_name(f"{stem}.depth.png"),
                depth_camera=DEPTH_CAMERA,
            )
        )
    return frames, missing, lost

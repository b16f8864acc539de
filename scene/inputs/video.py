"""Frames of a video: the sharpest of each of as many windows as there are frames to take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from scene.inputs.workspace import fingerprint, made_once
from utils.console import progress
from utils.errors import UserError

FOLDER = "frames"  # in the workspace
SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
WIDTH = 400  # pixels, at which sharpness is compared
QUALITY = 95  # of the JPEG files
MAX_FRAMES = 10_000


def is_video(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def frames_of(
    video: Path,
    workspace: Path,
    count: int,
    *,
    among: Sequence[int] | None = None,
    upright: bool = True,
    quiet: bool = False,
) -> dict[int, Path]:
    """By its number, the file of each of at most `count` frames of a video, in `workspace`, where they are made once.

    Args:
        among: the numbers of the frames that may be taken; None: all.
        upright: whether frames are turned as the video says; else they are as the sensor has them.

    Raises: UserError for a file that cannot be read as a video, or has no such frames.
    """
    folder = workspace / FOLDER
    chosen_of = None if among is None else [len(among), min(among, default=0), max(among, default=0)]
    key = {"video": fingerprint(video), "frames": count, "upright": upright, "among": chosen_of}
    made_once(folder, key, lambda place: _take(video, place, count, among, upright, quiet))
    return {int(path.stem): path for path in sorted(folder.glob("*.jpg"))}


def _take(video: Path, folder: Path, count: int, among: Sequence[int] | None, upright: bool, quiet: bool) -> None:
    numbers = sorted(among) if among is not None else range(_length(video))
    window_of = {number: place * min(count, len(numbers)) // len(numbers) for place, number in enumerate(numbers)}
    best: tuple[float, int, np.ndarray] | None = None
    window = 0

    def keep() -> None:
        if best is not None and not cv2.imwrite(
            str(folder / f"{best[1]:06}.jpg"), best[2], (cv2.IMWRITE_JPEG_QUALITY, QUALITY)
        ):
            raise UserError(f"the frames of {video} cannot be written to {folder.parent}")

    seen = progress(_decoded(video, upright, window_of.__contains__), f"Frames of {video.name}", len(numbers), quiet)
    for number, frame in seen:
        if window_of[number] != window:
            keep()
            best, window = None, window_of[number]
        sharpness = _sharpness(frame)
        if best is None or sharpness > best[0]:
            best = sharpness, number, frame
    keep()
    if not any(folder.iterdir()):
        raise UserError(f"{video} has none of the frames that are looked for: it cannot be decoded, or is too short")


def _sharpness(frame: np.ndarray) -> float:
    """The variance of the Laplacian, of the frame made as small as all others."""
    gray = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    factor = min(1.0, WIDTH / gray.shape[1])
    if factor < 1:
        gray = cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(gray, cv2.CV_32F).var())


def _opened(video: Path, upright: bool = True) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(video))
    if not capture.isOpened():
        raise UserError(f"{video} cannot be read as a video; convert it to MP4 (H.264)")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1.0 if upright else 0.0)
    return capture


def _length(video: Path) -> int:
    """How many frames there are: what the file says, or, where it does not, by going through it."""
    capture = _opened(video)
    try:
        stated = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if 0 < stated < 10**7:
            return stated
        length = 0
        while capture.grab():
            length += 1
        return max(1, length)
    finally:
        capture.release()


def _decoded(video: Path, upright: bool, wanted: Callable[[int], bool]) -> Iterator[tuple[int, np.ndarray]]:
    """The frames whose number is wanted, with it."""
    capture = _opened(video, upright)
    try:
        number = 0
        while capture.grab():
            if wanted(number):
                decoded, frame = capture.retrieve()
                if decoded and frame is not None and frame.ndim == 3:
                    yield number, frame
            number += 1
    finally:
        capture.release()

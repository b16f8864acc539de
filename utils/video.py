"""Videos of pictures: H.264 by ffmpeg where the package imageio-ffmpeg brings one, VP9 by OpenCV where not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from utils.errors import UserError
from utils.files import atomic_write

SUFFIX = ".mp4"
VP9 = "vp09"  # OpenCV's name of the codec; of its mp4v (MPEG-4 Part 2) browsers play nothing
QUALITY = 18  # CRF of H.264: what differs from the pictures is hardly seen
# Tagged as BT.709 and made so: players take untagged video of this size for one or the other.
H264 = (
    f"-crf {QUALITY} -preset medium -movflags +faststart -vf scale=out_color_matrix=bt709:out_range=tv "
    "-colorspace bt709 -color_primaries bt709 -color_trc bt709"
).split()


def check_video_path(path: Path) -> None:
    """UserError where no video could be written to `path`: to be known before the first picture is made."""
    if path.suffix.lower() != SUFFIX:
        raise UserError(f"--video {path}: the name must end in {SUFFIX}")
    place = next(each for each in (path.parent, *path.parent.absolute().parents) if each.exists())
    if path.is_dir() or not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"--video {path}: a file of this name cannot be written there")


def write_video(path: Path, pictures: Iterable[np.ndarray], fps: float) -> str:
    """Write (H,W,3) uint8 RGB pictures of one size as a video, atomically; returns what it is, for people.

    Codecs need even sizes: the last row or column of an odd one is left out.
    """
    frames = (picture[: len(picture) // 2 * 2, : picture.shape[1] // 2 * 2] for picture in pictures)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"video{SUFFIX}"
        h264 = importlib.util.find_spec("imageio_ffmpeg") is not None
        (_write_h264 if h264 else _write_vp9)(file, frames, fps)
        with atomic_write(path) as target, file.open("rb") as source:
            shutil.copyfileobj(source, target)
    if h264:
        return "H.264, which plays everywhere"
    return "VP9, which browsers, VLC and mpv play; `pip install imageio-ffmpeg` makes it H.264, which plays everywhere"


def _write_h264(file: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    import imageio_ffmpeg  # an extra

    first = next(frames)
    size = first.shape[1], first.shape[0]
    options = dict(codec="libx264", quality=None, macro_block_size=2, output_params=H264, ffmpeg_log_level="error")
    with closing(imageio_ffmpeg.write_frames(str(file), size, fps=fps, **options)) as writer:
        writer.send(None)
        for frame in chain([first], frames):
            writer.send(np.ascontiguousarray(frame))


def _write_vp9(file: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    first = next(frames)
    size = first.shape[1], first.shape[0]
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*VP9), fps, size)
    try:
        if not writer.isOpened():
            raise UserError(
                "the installed OpenCV cannot write VP9 to a video; `pip install imageio-ffmpeg` brings a program that "
                "writes H.264"
            )
        for frame in chain([first], frames):
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    finally:
        writer.release()

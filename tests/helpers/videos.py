"""Videos of given pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest


def write_video(path: Path, frames: Sequence[np.ndarray]) -> None:
    """(H, W, 3) uint8 RGB each, as MPEG-4; a skip where OpenCV has no encoder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, (width, height))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()

"""Frames of videos: the sharpest of their windows, made once."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from scene.inputs.video import frames_of, is_video
from tests.helpers.videos import write_video
from utils.errors import UserError

SHARP = (1, 5, 6, 10, 14, 16)


def frames(count: int = 18) -> list[np.ndarray]:
    """Random blocks, blurred but for SHARP; 96 × 64 pixels whose red says the number."""
    rng, result = np.random.default_rng(0), []
    for number in range(count):
        blocks = np.kron(rng.integers(0, 2, (16, 24, 1)), np.ones((4, 4, 3))) * 200
        picture = blocks if number in SHARP else cv2.GaussianBlur(blocks, (0, 0), 3)
        picture[..., 0] = 10 * number
        result.append(picture.astype(np.uint8))
    return result


def test_the_sharpest_frame_of_each_window_is_taken_once(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", frames())
    found = frames_of(tmp_path / "a.mp4", tmp_path / "model", 6)
    assert tuple(found) == SHARP
    for number, path in found.items():
        picture = np.asarray(cv2.imread(str(path)))
        assert abs(float(picture[..., 2].mean()) - 10 * number) < 5
    stamp = found[1].stat().st_mtime_ns
    assert frames_of(tmp_path / "a.mp4", tmp_path / "model", 6)[1].stat().st_mtime_ns == stamp
    few = frames_of(tmp_path / "a.mp4", tmp_path / "model", 2)
    assert len(few) == 2 and not set(few) - set(SHARP)


def test_frames_can_be_limited_to_some(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", frames())
    assert tuple(frames_of(tmp_path / "a.mp4", tmp_path / "model", 3, among=[4, 5, 9, 10, 12, 16])) == (5, 10, 16)
    assert len(frames_of(tmp_path / "a.mp4", tmp_path / "model", 100)) == 18
    with pytest.raises(UserError, match=r"a\.mp4 has none of the frames"):
        frames_of(tmp_path / "a.mp4", tmp_path / "other", 3, among=[40, 41])
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no video", b"\x00\x00\x00\x20ftypisom" + bytes(100)])
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    assert is_video(tmp_path / "a.mp4")
    with pytest.raises(UserError, match=r"a\.mp4 cannot be read as a video"):
        frames_of(tmp_path / "a.mp4", tmp_path / "model", 3)

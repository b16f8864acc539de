"""Videos: what is written is what is read again, whole or not at all."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from utils import video
from utils.errors import UserError

WIDTH, HEIGHT, COUNT = 64, 48, 5


def pictures(width: int = WIDTH, height: int = HEIGHT) -> Iterator[np.ndarray]:
    """A bright square that goes right before a red ramp."""
    for index in range(COUNT):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[..., 0] = np.linspace(60, 200, width)
        picture[10:30, 8 * index : 8 * index + 16] = 230
        yield picture


def read(path: Path) -> tuple[list[np.ndarray], float]:
    """The frames of a video, RGB, and its frame rate."""
    capture = cv2.VideoCapture(str(path))
    frames: list[np.ndarray] = []
    while True:
        there, frame = capture.read()
        if not there:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


@pytest.fixture
def without_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if imageio-ffmpeg were not installed."""
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: None)


def test_opencv_writes_what_it_reads(tmp_path: Path, without_ffmpeg: None) -> None:
    path = tmp_path / "new" / "a.mp4"
    said = video.write_video(path, pictures(), 12.0)
    assert said.startswith("VP9") and "pip install imageio-ffmpeg" in said
    frames, fps = read(path)
    assert len(frames) == COUNT and fps == pytest.approx(12.0)
    for frame, wanted in zip(frames, pictures(), strict=True):
        assert np.abs(frame.astype(int) - wanted).mean() < 8
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_ffmpeg_writes_h264(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg", reason="the extra video (imageio-ffmpeg) is not installed")
    path = tmp_path / "a.mp4"
    assert video.write_video(path, pictures(), 12.0).startswith("H.264")
    frames, fps = read(path)
    assert len(frames) == COUNT and fps == pytest.approx(12.0)
    for frame, wanted in zip(frames, pictures(), strict=True):
        assert np.abs(frame.astype(int) - wanted).mean() < 8
    data = path.read_bytes()
    assert b"avc1" in data and data.index(b"moov") < data.index(b"mdat"), "it plays before it is loaded"


def test_the_package_is_used_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What imageio-ffmpeg is asked for, without it."""
    asked: dict[str, Any] = {}

    def write_frames(path: str, size: tuple[int, int], **options: Any) -> Iterator[None]:
        asked.update(options, size=size)
        with open(path, "wb") as file:
            while True:
                try:
                    file.write((yield).tobytes())  # type: ignore[attr-defined]
                except GeneratorExit:
                    return

    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", types.SimpleNamespace(write_frames=write_frames))
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: name == "imageio_ffmpeg")
    assert video.write_video(tmp_path / "a.mp4", pictures(65, 49), 24.0).startswith("H.264")
    assert (asked["codec"], asked["fps"], asked["size"]) == ("libx264", 24.0, (64, 48)), "even sizes"
    assert (tmp_path / "a.mp4").stat().st_size == COUNT * 64 * 48 * 3


def test_an_odd_size_loses_a_row_and_a_column(tmp_path: Path, without_ffmpeg: None) -> None:
    video.write_video(tmp_path / "a.mp4", pictures(65, 49), 12.0)
    frames, _ = read(tmp_path / "a.mp4")
    assert frames[0].shape == (48, 64, 3)


def test_a_video_that_breaks_off_leaves_the_old_one(tmp_path: Path, without_ffmpeg: None) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")

    def broken() -> Iterator[np.ndarray]:
        yield next(pictures())
        raise UserError("no more")

    with pytest.raises(UserError, match="no more"):
        video.write_video(path, broken(), 12.0)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_an_opencv_without_the_codec_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_ffmpeg: None
) -> None:
    monkeypatch.setattr(video.cv2.VideoWriter, "isOpened", lambda self: False, raising=False)
    with pytest.raises(UserError, match="cannot write VP9 to a video; `pip install imageio-ffmpeg`"):
        video.write_video(tmp_path / "a.mp4", pictures(), 12.0)
    assert not list(tmp_path.iterdir())


def test_places_where_no_video_can_be_are_refused(tmp_path: Path) -> None:
    video.check_video_path(tmp_path / "new" / "a.MP4")
    with pytest.raises(UserError, match=r"a.gif: the name must end in .mp4"):
        video.check_video_path(tmp_path / "a.gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written there"):
        video.check_video_path(tmp_path / "file" / "a.mp4")
    (tmp_path / "b.mp4").mkdir()
    with pytest.raises(UserError, match="cannot be written there"):
        video.check_video_path(tmp_path / "b.mp4")

"""Depth in OpenEXR files: what was written is read, whatever packs it; damage is said."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from scene.depth.exr import read_exr, read_exr_size
from scene.depth.maps import read_numbers, read_size
from tests.conftest import real_scene
from tests.helpers.exr import write_exr
from utils.errors import UserError


def ramp(dtype: type, height: int = 37, width: int = 51) -> np.ndarray:
    """Rows that compress well above rows that do not."""
    rng = np.random.default_rng(0)
    steps = np.repeat(np.arange(1, 1 + -(-width // 3)), 3)[:width]
    return np.where(np.arange(height)[:, None] < height / 2, steps, rng.uniform(1, 60000, (height, width))).astype(
        dtype
    )


@pytest.mark.parametrize("compression", range(4))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint32])
def test_what_is_written_is_read(tmp_path: Path, compression: int, dtype: type) -> None:
    path, depth = tmp_path / "a.exr", ramp(dtype)
    for channels in ({"R": depth}, {"A": 0 * depth, "Z": depth, "R": depth + dtype(1)}):
        write_exr(path, channels, compression)
        read = read_numbers(path)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, depth.astype(np.float32))
        assert read_exr_size(path) == read_size(path) == (51, 37)


@pytest.mark.parametrize(
    "change, message",
    [(lambda data: b"P6" + data[2:], "is no OpenEXR file"),
     (lambda data: data[:5] + b"\x02" + data[6:], "has tiles, which are not read"),
     (lambda data: data[: len(data) // 2], "is damaged or cut short"),
     (lambda data: data[:20], "is damaged or cut short"),
     (lambda data: b"", "is damaged or cut short"),
     (lambda data: data.replace(b"compression\0compression\0\1\0\0\0\3", b"compression\0compression\0\1\0\0\0\4"),
      "is compressed by PIZ, which is not read"),
     (lambda data: data.replace(struct.pack("<4i", 0, 0, 50, 36), struct.pack("<4i", 0, 0, 2**31 - 1, 36), 1),
      "is damaged"),
     (lambda data: data.replace(struct.pack("<4i", 0, 0, 50, 36), struct.pack("<4i", 0, 0, 15999, 15999), 1),
      "16000×16000 pixels in")],
)  # fmt: skip
def test_damage_is_said(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "a.exr"
    write_exr(path, {"R": ramp(np.float16)})
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=message) as error:
        read_exr(path)
    assert str(path) in str(error.value)


def test_a_chunk_that_unpacks_to_more_takes_no_more_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    write_exr(path, {"R": np.zeros((16, 64), np.float16)})
    data = path.read_bytes()
    (offset,) = struct.unpack_from("<Q", data, data.index(b"lineOrder\0lineOrder\0") + 26)
    bomb = zlib.compress(bytes(10**7))
    path.write_bytes(data[:offset] + struct.pack("<ii", 0, len(bomb)) + bomb)
    tracemalloc.start()
    assert read_exr(path).shape == (16, 64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6


def test_depth_of_a_phone() -> None:
    depth = read_exr(real_scene("record3d_door") / "EXR_RGBD" / "depth" / "0.exr")
    assert depth.shape == (256, 192) and 0.1 < depth.min() < depth.max() < 2

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.helpers.pictures import noise
from utils.errors import UserError
from utils.image_io import encode_png, read_png
from utils.png import SIGNATURE, is_whole_png

FIRST = len(SIGNATURE)  # where the header's chunk begins
DATA = FIRST + 25  # where that of the pixels begins


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def header(width: int, height: int, color: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(24, 32, 3), (24, 32), (5, 7, 4), (2000, 3000)])
def test_a_whole_file(tmp_path: Path, kind: type, shape: tuple[int, ...]) -> None:
    """Also one of a single color, which deflate makes as small as it can."""
    assert cv2.imwrite(str(tmp_path / "a.png"), np.full(shape, 7, kind))
    assert is_whole_png(tmp_path / "a.png")


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(lambda data: data[:DATA] + b"\xff\xff\xff\x7f" + data[DATA + 4 :], id="chunk of two gigabytes"),
        pytest.param(lambda data: data[:FIRST] + header(60000, 60000) + data[DATA:], id="more than its data can hold"),
        pytest.param(lambda data: data[:-20], id="cut short"),
        pytest.param(lambda data: data[:DATA], id="without pixels"),
        pytest.param(lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], id="wrong check sum"),
        pytest.param(lambda data: data[:FIRST] + chunk(b"IHDR", b"\0") + data[DATA:], id="short header"),
        pytest.param(lambda data: data[:FIRST] + header(32, 24, 1) + data[DATA:], id="unknown kind of color"),
        pytest.param(lambda data: b"JFIF" + data[4:], id="no PNG"),
        pytest.param(lambda data: b"", id="empty"),
    ],
)
def test_a_damaged_file_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: Callable[[bytes], bytes]
) -> None:
    """A decoder reserves what the file claims: two gigabytes for a picture of 24×32."""
    data = encode_png(noise(1, (24, 32)))
    (tmp_path / "a.png").write_bytes(data)
    assert is_whole_png(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(damaged(data))
    tracemalloc.start()
    assert not is_whole_png(tmp_path / "a.png")
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(UserError, match=r"a\.png holds no picture"):
        read_png(tmp_path / "a.png")

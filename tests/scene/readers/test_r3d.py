"""Record3D's .r3d files: cameras and depth equal the truth, also without the library's help in the stream's headers."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from scene import load_scene
from scene.depth.r3d import read_r3d, read_r3d_size
from tests.helpers import recordings, rgbd, scenes
from tests.helpers.recordings import lzfse_stream
from tests.helpers.rgbd import depth_of
from tests.helpers.whole import assert_complete
from tests.scene.inputs.test_archive import zipped
from utils.errors import UserError


def _unpacked(data: bytes) -> bytes:
    """Of a stream whose blocks are not compressed, as those of these tests are."""
    result = b""
    while data[:4] == b"bvx-":
        (length,) = struct.unpack_from("<I", data, 4)
        result, data = result + data[8 : 8 + length], data[8 + length :]
    return result


@pytest.fixture(params=["double", "lzfse"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library, or what does as much of it as these tests need."""
    if request.param == "lzfse":
        pytest.importorskip("lzfse", reason="the optional library lzfse is not installed: pip install lzfse")
        return
    double = ModuleType("lzfse")
    vars(double).update(decompress=_unpacked, error=ValueError)
    monkeypatch.setitem(sys.modules, "lzfse", double)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("packed", [True, False])
def test_what_is_loaded_is_the_truth(tmp_path: Path, packed: bool) -> None:
    """The file itself, and the folder that it is unpacked to."""
    cameras = {camera.name: camera for camera in recordings.write_r3d(tmp_path / "room")}
    source = zipped(tmp_path / "room", tmp_path / "room.r3d") if packed else tmp_path / "room"
    scene = load_scene(source, workspace=tmp_path / "model")
    assert scene.kind == "Record3D" and scene.warnings == () and len(scene.train) == 4
    assert "depth of the highest confidence alone is used" in scene.summary
    for view in scene.train:
        truth = cameras[view.camera.name]
        np.testing.assert_allclose(view.camera.camera_from_world, truth.camera_from_world, atol=1e-6)
        np.testing.assert_allclose([view.camera.fx, view.camera.cx], [truth.fx, truth.cx], rtol=1e-6)
        depth, valid = depth_of(view)
        off = np.abs(depth / rgbd.sphere_depth(view.camera) - 1)[valid]
        assert valid.mean() > 0.8 and np.median(off) < 0.01 and off.max() < 0.04
        assert not valid[:5, :5].any(), "the corner that the sensor is not sure of"


@pytest.mark.usefixtures("library")
def test_every_file_is_accounted_for(tmp_path: Path) -> None:
    recordings.write_r3d(tmp_path)
    for name in ("icon", "sound.m4a"):
        (tmp_path / name).touch()
    ledger = load_scene(tmp_path).ledger
    assert_complete(tmp_path, ledger)
    assert set(ledger.unused) == {"icon", "sound.m4a"} and ledger.used["metadata"] == "Record3D file"


@pytest.mark.usefixtures("library")
def test_a_camera_without_confidence_is_sure_of_all(tmp_path: Path) -> None:
    """The face camera's files hold no numbers."""
    recordings.write_r3d(tmp_path)
    for path in (tmp_path / "rgbd").glob("*.conf"):
        path.write_bytes(b"bvx$")
    depth, valid = depth_of(load_scene(tmp_path).train[0])
    assert valid[2, 2] and abs(float(depth[2, 2]) - 9) < 0.01


def test_without_the_library_one_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lzfse", None)
    recordings.write_r3d(tmp_path)
    with pytest.raises(
        UserError, match=r"0\.depth is packed by LZFSE.*: pip install lzfse; -d none leaves depth alone"
    ):
        load_scene(tmp_path)
    assert len(load_scene(tmp_path, depths="none").train) == 4


def cut(data: bytes) -> bytes:
    return data[:-30]


def too_long(data: bytes) -> bytes:
    return lzfse_stream(bytes(4 * 1200 + 4))


def bomb(data: bytes) -> bytes:
    return b"bvxn" + struct.pack("<II", 2**32 - 4, 10) + bytes(10) + b"bvx$"


def lying(data: bytes) -> bytes:
    """Blocks whose bytes are not those of a stream."""
    return b"bvxn" + struct.pack("<II", 4 * 1200, 10) + bytes(10) + b"bvx$"


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("damage", [cut, too_long, bomb, lying, lambda data: b"", lambda data: b"PNG or so"])
def test_a_damaged_map_costs_itself(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    recordings.write_r3d(tmp_path)
    path = tmp_path / "rgbd" / "1.depth"
    path.write_bytes(damage(path.read_bytes()))
    scene = load_scene(tmp_path)
    assert len(scene.train) == 4 and sum(view.depth is not None for view in scene.train) == 3
    assert any("1.depth" in warning for warning in scene.warnings)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("what", ["photo", "metadata"])
def test_other_damage_is_said(tmp_path: Path, what: str) -> None:
    recordings.write_r3d(tmp_path)
    if what == "photo":
        (tmp_path / "rgbd" / "2.jpg").write_bytes(b"x")
        assert len(load_scene(tmp_path).train) == 3
        return
    (tmp_path / "metadata").write_text(json.dumps({"w": 80}))
    with pytest.raises(UserError, match="metadata"):
        load_scene(tmp_path)


def test_streams_as_the_library_writes_them(tmp_path: Path) -> None:
    """Compressed blocks, long and short, also of photos whose sides are not twice the map's."""
    lzfse = pytest.importorskip("lzfse", reason="the optional library lzfse is not installed: pip install lzfse")
    rng = np.random.default_rng(0)
    scenes.write_photo(tmp_path / "0.jpg", 90, 120)
    smooth = np.linspace(1, 3, 256 * 192).reshape(256, 192).astype("<f4")
    for depth in (smooth, (smooth + rng.normal(size=smooth.shape)).astype("<f4"), np.full((4, 3), np.nan, "<f4")):
        (tmp_path / "0.depth").write_bytes(lzfse.compress(depth.tobytes()))
        assert read_r3d_size(tmp_path / "0.depth") == depth.shape[::-1]
        np.testing.assert_array_equal(read_r3d(tmp_path / "0.depth"), depth)

"""Mesh files, read back by other means."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData

from scene.mesh.files import writer_of
from scene.types import Mesh
from utils.errors import UserError


@pytest.fixture
def mesh() -> Mesh:
    rng = np.random.default_rng(0)
    vertices, colors = rng.normal(size=(5, 3)).astype(np.float32), rng.integers(0, 256, (5, 3)).astype(np.uint8)
    return Mesh(vertices, np.array([[0, 1, 2], [2, 1, 3], [3, 4, 0]], np.int32), colors)


def test_ply(mesh: Mesh, tmp_path: Path) -> None:
    writer_of(tmp_path / "a.ply")(tmp_path / "a.ply", mesh)
    elements = PlyData.read(str(tmp_path / "a.ply"))
    assert np.array_equal(np.stack([elements["vertex"][n] for n in "xyz"], 1), mesh.vertices)
    assert np.array_equal(np.stack([elements["vertex"][n] for n in ("red", "green", "blue")], 1), mesh.colors)
    assert np.array_equal(np.stack(elements["face"]["vertex_indices"]), mesh.faces)


def test_obj(mesh: Mesh, tmp_path: Path) -> None:
    writer_of(tmp_path / "a.OBJ")(tmp_path / "a.OBJ", mesh)
    lines = [line.split() for line in (tmp_path / "a.OBJ").read_text().splitlines()]
    numbers = np.array([[float(x) for x in line[1:]] for line in lines if line[0] == "v"])
    np.testing.assert_allclose(numbers[:, :3], mesh.vertices, rtol=1e-5)
    np.testing.assert_allclose(numbers[:, 3:], mesh.colors / 255, atol=1e-4)
    assert [[int(x) for x in line[1:]] for line in lines if line[0] == "f"] == (mesh.faces + 1).tolist()


def test_glb(mesh: Mesh, tmp_path: Path) -> None:
    writer_of(tmp_path / "a.glb")(tmp_path / "a.glb", mesh)
    data = (tmp_path / "a.glb").read_bytes()
    magic, version, length, size, kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON") and size % 4 == 0
    content = json.loads(data[20 : 20 + size])
    bytes_left, kind = struct.unpack_from("<I4s", data, 20 + size)
    binary = data[28 + size :]
    assert kind == b"BIN\0" and bytes_left == len(binary) == content["buffers"][0]["byteLength"]
    primitive = content["meshes"][0]["primitives"][0]

    def read(accessor: int, dtype: str, width: int) -> np.ndarray:
        described = content["accessors"][accessor]
        view = content["bufferViews"][described["bufferView"]]
        part = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        values = np.frombuffer(part, dtype).reshape(-1, width)
        assert len(values) == described["count"] and view["byteOffset"] % 4 == 0
        return values

    assert np.array_equal(read(primitive["attributes"]["POSITION"], "<f4", 3), mesh.vertices)
    colors = read(primitive["attributes"]["COLOR_0"], "u1", 4)
    assert np.array_equal(colors[:, :3], mesh.colors) and (colors[:, 3] == 255).all()
    assert np.array_equal(read(primitive["indices"], "<u4", 1).reshape(-1, 3), mesh.faces)
    assert content["accessors"][0]["min"] == pytest.approx(mesh.vertices.min(axis=0))


def test_other_suffixes_are_refused() -> None:
    with pytest.raises(UserError, match=r"mesh.stl: meshes are written as .ply, .obj, .glb"):
        writer_of(Path("mesh.stl"))

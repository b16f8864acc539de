"""Files of meshes with colored vertices, by suffix: PLY, OBJ, and GLB (binary glTF 2.0)."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scene.types import Mesh
from utils.errors import UserError
from utils.files import atomic_write

LINES_AT_ONCE = 100_000
FLOAT, UNSIGNED_BYTE, UNSIGNED_INT = 5126, 5121, 5125  # glTF's component types
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963


def writer_of(path: Path) -> Callable[[Path, Mesh], None]:
    """What writes a mesh file of this suffix. UserError for another suffix."""
    writers = {".ply": write_ply, ".obj": write_obj, ".glb": write_glb}
    if path.suffix.lower() not in writers:
        raise UserError(f"{path}: meshes are written as {', '.join(writers)}, by the suffix of the file")
    return writers[path.suffix.lower()]


def write_ply(path: Path, mesh: Mesh) -> None:
    """Binary PLY: x y z as float, red green blue as uchar, faces of three int."""
    vertices = np.empty(len(mesh.vertices), [("position", "<f4", 3), ("color", "u1", 3)])
    vertices["position"], vertices["color"] = mesh.vertices, mesh.colors
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("vertices", "<i4", 3)])
    faces["count"], faces["vertices"] = 3, mesh.faces
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property float {name}" for name in "xyz"]
    header += [f"property uchar {name}" for name in ("red", "green", "blue")]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header\n"]
    with atomic_write(path) as file:
        file.write("\n".join(header).encode())
        file.write(vertices.tobytes())
        file.write(faces.tobytes())


def write_obj(path: Path, mesh: Mesh) -> None:
    """OBJ with a color in [0, 1] behind each vertex, which most programs read."""
    vertices = np.concatenate([mesh.vertices, mesh.colors / 255], axis=1)
    with atomic_write(path) as file:
        for rows, form in ((vertices, "v %.6g %.6g %.6g %.4g %.4g %.4g\n"), (mesh.faces + 1, "f %d %d %d\n")):
            for start in range(0, len(rows), LINES_AT_ONCE):
                part = rows[start : start + LINES_AT_ONCE]
                file.write((form * len(part) % tuple(part.ravel().tolist())).encode())


def write_glb(path: Path, mesh: Mesh) -> None:
    """Binary glTF 2.0 with one mesh, in the scene's axes; glTF's viewers take y for up."""
    colors = np.full((len(mesh.colors), 4), 255, np.uint8)  # of four: each vertex begins at a multiple of four bytes
    colors[:, :3] = mesh.colors
    arrays = [
        (np.ascontiguousarray(mesh.vertices, "<f4"), FLOAT, "VEC3", ARRAY_BUFFER),
        (colors, UNSIGNED_BYTE, "VEC4", ARRAY_BUFFER),
        (np.ascontiguousarray(mesh.faces.ravel(), "<u4"), UNSIGNED_INT, "SCALAR", ELEMENT_ARRAY_BUFFER),
    ]
    views, accessors, offset = [], [], 0
    for number, (values, kind, shape, target) in enumerate(arrays):
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": values.nbytes, "target": target})
        accessors.append({"bufferView": number, "componentType": kind, "count": len(values), "type": shape})
        offset += values.nbytes
    accessors[0] |= {"min": mesh.vertices.min(axis=0).tolist(), "max": mesh.vertices.max(axis=0).tolist()}
    accessors[1] |= {"normalized": True}
    primitive = {"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2}
    content = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "buffers": [{"byteLength": offset}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    with atomic_write(path) as file:
        file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + offset))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", offset, b"BIN\0"))
        for values, *_ in arrays:
            file.write(values.tobytes())

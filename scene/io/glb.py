"""glTF binary with the extension KHR_gaussian_splatting: exact, and points for viewers without it.

Scales are linear. Its drafts until 2026 had their logarithms, which are recognized by negative numbers among them.

glTF's axes are left, up, forward; those of PLY files right, down, forward: the world is turned about z on its way in
and out, spherical harmonics as well.
https://github.com/KhronosGroup/glTF/tree/main/extensions/2.0/Khronos/KHR_gaussian_splatting
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct, field

from scene.editing import Similarity, transform
from scene.io.checks import MAX_LOGIT, finite, read_bytes
from scene.io.packing import alpha_bytes, colors_of, to_steps
from scene.spherical_harmonics import MAX_DEGREE
from scene.types import GaussianArrays
from utils.errors import UserError
from utils.files import atomic_write

NAME = "KHR_gaussian_splatting"
HEADER, CHUNK = struct.Struct("<4sII"), struct.Struct("<I4s")  # magic, version, length; length, kind
JSON_KIND, BINARY_KIND = b"JSON", b"BIN\0"
POINTS, ARRAY_BUFFER = 0, 34962
LOG_SCALES = -80.0, 80.0  # whose exponentials float32 has
LUF_FROM_RDF = Similarity(np.diag([-1.0, -1.0, 1.0]), np.zeros(3))  # its own inverse
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
TYPES = {
    code: np.dtype(name) for code, name in ((5120, "i1"), (5121, "u1"), (5122, "<i2"), (5123, "<u2"), (5126, "<f4"))
}
Count = Annotated[int, Meta(ge=0, le=2**40)]


class View(Struct):
    """A part of the binary chunk."""

    byteLength: Count
    buffer: Count = 0
    byteOffset: Count = 0
    byteStride: Count | None = None


class Accessor(Struct):
    """An array in it."""

    componentType: int
    count: Count
    type: str
    bufferView: Count | None = None
    byteOffset: Count = 0
    normalized: bool = False


class Primitive(Struct):
    """Gaussians, if it has the extension."""

    attributes: dict[str, int]
    extensions: dict[str, object] = field(default_factory=dict)


class Mesh(Struct):
    primitives: list[Primitive]


class Document(Struct):
    """What of the JSON chunk matters."""

    accessors: list[Accessor] = field(default_factory=list)
    bufferViews: list[View] = field(default_factory=list)
    meshes: list[Mesh] = field(default_factory=list)


def write(path: Path, gaussians: GaussianArrays) -> None:
    """Write every number as float32, opacities between 0 and 1."""
    turned = transform(gaussians, LUF_FROM_RDF)
    alphas = 1 / (1 + np.exp(-np.clip(turned.opacities.astype(np.float64), -MAX_LOGIT, MAX_LOGIT)))
    unit = turned.quats / np.linalg.norm(turned.quats, axis=1, keepdims=True)
    color = np.concatenate([to_steps(colors_of(turned.shs[:, 0]), 255), alpha_bytes(turned.opacities)], axis=1)
    arrays = {
        "POSITION": turned.means,
        "COLOR_0": color.astype(np.uint8),
        f"{NAME}:ROTATION": unit[:, [1, 2, 3, 0]],
        f"{NAME}:SCALE": np.exp(np.clip(turned.scales, *LOG_SCALES)),
        f"{NAME}:OPACITY": alphas,
    }
    arrays |= {_sh_name(index): turned.shs[:, index] for index in range(turned.shs.shape[1])}
    parts = [each if each.dtype == np.uint8 else each.astype("<f4") for each in arrays.values()]  # all of 4-byte rows
    text = json.dumps(_document(list(arrays), parts)).encode()
    text += b" " * (-len(text) % 4)
    binary = sum(part.nbytes for part in parts)
    with atomic_write(path) as file:
        file.write(HEADER.pack(b"glTF", 2, HEADER.size + 2 * CHUNK.size + len(text) + binary))
        file.write(CHUNK.pack(len(text), JSON_KIND) + text + CHUNK.pack(binary, BINARY_KIND))
        for part in parts:
            file.write(part.tobytes())


def read(path: Path) -> GaussianArrays:
    """The Gaussians of all primitives with the extension. Nodes that move them are not looked at.

    Raises: UserError for a file without any, damage, and what else keeps its numbers elsewhere or packs them.
    """
    document, binary = _chunks(path, read_bytes(path))
    primitives = [each for mesh in document.meshes for each in mesh.primitives if NAME in each.extensions]
    if not primitives:
        raise UserError(f"{path} holds no Gaussians: no primitive has the extension {NAME}")
    clouds = [_primitive(path, document, binary, primitive.attributes) for primitive in primitives]
    if len({cloud.shs.shape[1] for cloud in clouds}) > 1:
        raise UserError(f"{path} has primitives of different degrees of spherical harmonics; one degree is read")
    merged = GaussianArrays(
        **{name: np.concatenate([getattr(cloud, name) for cloud in clouds]) for name in vars(clouds[0])}
    )
    return finite(path, transform(merged, LUF_FROM_RDF))


def _sh_name(index: int) -> str:
    degree = math.isqrt(index)
    return f"{NAME}:SH_DEGREE_{degree}_COEF_{index - degree**2}"


def _document(names: list[str], parts: list[np.ndarray]) -> dict[str, object]:
    """The JSON chunk: an accessor and a view for each array."""
    starts = np.cumsum([0, *(part.nbytes for part in parts)]).tolist()
    views = [
        {"buffer": 0, "byteOffset": start, "byteLength": part.nbytes, "target": ARRAY_BUFFER}
        for start, part in zip(starts, parts, strict=False)
    ]
    types = {width: name for name, width in WIDTHS.items()}
    accessors: list[dict[str, object]] = [
        {"bufferView": index, "componentType": 5126, "count": len(part), "type": types[part.shape[1]]}
        for index, part in enumerate(parts)
    ]
    accessors[names.index("COLOR_0")] |= {"componentType": 5121, "normalized": True}
    if len(parts[0]):  # glTF demands the range of positions
        accessors[0] |= {"min": parts[0].min(axis=0).tolist(), "max": parts[0].max(axis=0).tolist()}
    look = {
        "kernel": "ellipse",
        "colorSpace": "srgb_rec709_display",
        "sortingMethod": "cameraDistance",
        "projection": "perspective",
    }
    attributes = {name: index for index, name in enumerate(names)}
    return {
        "asset": {"version": "2.0", "generator": "gaussian-splatting"},
        "extensionsUsed": [NAME],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "buffers": [{"byteLength": starts[-1]}],
        "bufferViews": views,
        "accessors": accessors,
        "meshes": [{"primitives": [{"attributes": attributes, "mode": POINTS, "extensions": {NAME: look}}]}],
    }


def _chunks(path: Path, data: bytes) -> tuple[Document, bytes]:
    """The parsed JSON chunk, and the binary one."""
    if len(data) < HEADER.size + CHUNK.size or data[:4] != b"glTF":
        raise UserError(f"{path} is not a glTF binary file")
    found: dict[bytes, bytes] = {}
    at = HEADER.size
    while at + CHUNK.size <= len(data) and len(found) < 2:
        length, kind = CHUNK.unpack_from(data, at)
        found[kind] = data[at + CHUNK.size : at + CHUNK.size + length]
        at += CHUNK.size + length
    try:
        document = msgspec.json.decode(found.get(JSON_KIND, b""), type=Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: its JSON is not that of glTF: {error}") from None
    return document, found.get(BINARY_KIND, b"")


def _primitive(path: Path, document: Document, binary: bytes, attributes: dict[str, int]) -> GaussianArrays:
    """Its Gaussians, in glTF's axes."""

    def array(name: str, width: int) -> np.ndarray:
        if name not in attributes:
            raise UserError(f"{path} holds no whole Gaussians: {name} is missing")
        found = _accessor(path, document, binary, attributes[name], name, width)
        counts.setdefault(len(found), name)
        if len(counts) > 1:
            told = " and ".join(f"{count:,} ({first})" for count, first in counts.items())
            raise UserError(f"{path}: its attributes are of different numbers of Gaussians, {told}")
        return found

    counts: dict[int, str] = {}  # of Gaussians, with the first attribute that has so many
    means = array("POSITION", 3)
    alphas = array(f"{NAME}:OPACITY", 1).astype(np.float64)
    degree = max((d for d in range(MAX_DEGREE + 1) if f"{NAME}:SH_DEGREE_{d}_COEF_0" in attributes), default=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        opacities = np.log(alphas / (1 - alphas)).astype(np.float32)
        scales = array(f"{NAME}:SCALE", 3)
        if not (scales < 0).any():
            scales = np.where(scales == 0, np.float32(LOG_SCALES[0]), np.log(scales))
    return GaussianArrays(
        means=means,
        scales=scales,
        quats=array(f"{NAME}:ROTATION", 4)[:, [3, 0, 1, 2]],
        opacities=opacities,
        shs=np.stack([array(_sh_name(index), 3) for index in range((degree + 1) ** 2)], axis=1),
    )


def _accessor(path: Path, document: Document, binary: bytes, index: int, name: str, width: int) -> np.ndarray:
    """(N, width) float32. UserError for one that is not in the file, or of another type."""
    try:
        accessor = document.accessors[index]
        view = document.bufferViews[-1 if accessor.bufferView is None else accessor.bufferView]
    except IndexError:
        raise UserError(f"{path}: the accessor of {name} is not there") from None
    kind = TYPES.get(accessor.componentType)
    if index < 0 or accessor.bufferView is None or kind is None or WIDTHS.get(accessor.type) != width:
        raise UserError(f"{path}: the accessor of {name} is not an array of {width} numbers that the file holds itself")
    row, stride = kind.itemsize * width, view.byteStride or kind.itemsize * width
    start = view.byteOffset + accessor.byteOffset
    end = start + (accessor.count - 1) * stride + row if accessor.count else start
    if view.buffer != 0 or stride < row or end > min(len(binary), view.byteOffset + view.byteLength):
        raise UserError(f"{path}: {name} of {accessor.count:,} Gaussians does not lie in the file")
    table = np.ndarray((accessor.count, width), kind, binary, start, (stride, kind.itemsize))
    numbers = table.astype(np.float32)
    if accessor.normalized and kind.kind in "iu":
        numbers = np.maximum(numbers / np.iinfo(kind).max, -1)
    return numbers

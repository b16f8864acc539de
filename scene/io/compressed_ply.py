"""Compressed PLY, as SuperSplat and PlayCanvas read and write it: 16 bytes for each Gaussian and 45 for its SH.

Gaussians stand in chunks of 256. A chunk has the range of its positions, log scales and colors; in it, a position and a
scale are 11 + 10 + 11 bits, a color and the opacity 8 bits each, and a quaternion 2 bits for its largest component and
10 for each other. Coefficients above degree 0 are bytes over [−4, 4].
https://developer.playcanvas.com/user-manual/gaussian-splatting/formats/ply/#compressed-ply
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scene.io.checks import finite
from scene.io.packing import (
    ROOT_HALF,
    alpha_bytes,
    colors_of,
    dc_of,
    from_smallest_three,
    logits_of,
    morton_order,
    smallest_three,
    to_steps,
)
from scene.io.points import read_elements
from scene.types import GaussianArrays
from utils.errors import UserError
from utils.files import atomic_write

CHUNK = 256
PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
RANGES = {  # of a chunk: the parts of its columns' names, least and largest
    "means": tuple((f"min_{axis}", f"max_{axis}") for axis in "xyz"),
    "scales": tuple((f"min_scale_{axis}", f"max_scale_{axis}") for axis in "xyz"),
    "colors": tuple((f"min_{channel}", f"max_{channel}") for channel in "rgb"),
}
CHUNK_COLUMNS = [names[end] for group in RANGES.values() for end in (0, 1) for names in group]
SH_RANGE = 4.0  # coefficients are clamped to ± this
MAX_LOG_SCALE = 20.0  # log scales are clamped to ± this, as other writers do: one outlier would blur its chunk
FIELDS = ((11, 21), (10, 11), (11, 0))  # bits and place of three numbers in 32 bits


def write(path: Path, gaussians: GaussianArrays) -> None:
    """Write in the order of a space-filling curve: the smaller a chunk, the finer its steps."""
    order = morton_order(gaussians.means)
    values = {
        "means": gaussians.means[order].astype(np.float64),
        "scales": np.clip(gaussians.scales[order].astype(np.float64), -MAX_LOG_SCALE, MAX_LOG_SCALE),
        "colors": colors_of(gaussians.shs[order, 0].astype(np.float64)),
    }
    chunks, parts = [], {}
    for name, each in values.items():
        low, high = _chunk_ranges(each)
        chunks += [low, high]
        parts[name] = _in_range(each, low, high)
    largest, others = smallest_three(gaussians.quats[order])
    packed = np.empty((len(order), 4), "<u4")
    packed[:, 0] = _pack(parts["means"])
    packed[:, 1] = largest.astype(np.uint32) << np.uint32(30) | _pack_tens(to_steps(others * ROOT_HALF + 0.5, 1023))
    packed[:, 2] = _pack(parts["scales"])
    red, green, blue = to_steps(parts["colors"], 255).T
    alpha = alpha_bytes(gaussians.opacities[order, 0]).astype(np.uint32)
    packed[:, 3] = red << np.uint32(24) | green << np.uint32(16) | blue << np.uint32(8) | alpha
    rest = gaussians.shs[order, 1:].transpose(0, 2, 1).reshape(len(order), 3 * (gaussians.shs.shape[1] - 1))
    coefficients = np.clip(np.floor((rest / (2 * SH_RANGE) + 0.5) * 256), 0, 255).astype(np.uint8)
    with atomic_write(path) as file:
        file.write(_header(len(order), rest.shape[1]).encode())
        file.write(np.concatenate(chunks, axis=1).astype("<f4").tobytes())
        file.write(packed.tobytes())
        file.write(coefficients.tobytes())


def read(path: Path) -> GaussianArrays:
    """Raises: UserError for a file that is not a compressed PLY."""
    elements = read_elements(path)
    if not is_compressed(elements):
        raise UserError(f"{path} is not a compressed PLY: its vertices lack {', '.join(PACKED)}")
    return decode(path, elements)


def is_compressed(elements: Mapping[str, np.ndarray]) -> bool:
    """Whether the elements of a PLY are those of this format."""
    return "vertex" in elements and set(PACKED) <= set(elements["vertex"].dtype.names or ())


def decode(path: Path, elements: Mapping[str, np.ndarray]) -> GaussianArrays:
    """The Gaussians of the elements of a PLY. Raises: UserError for elements that do not fit together."""
    vertices, chunks = elements["vertex"], elements.get("chunk")
    count = len(vertices)
    if chunks is None or len(chunks) != -(-count // CHUNK):
        found = "no chunks" if chunks is None else f"{len(chunks)} chunks"
        raise UserError(f"{path} has {found} for {count} Gaussians; it must have one for each {CHUNK}")
    bounds = {name: _bounds(path, chunks, count, name) for name in RANGES}
    position, rotation, scale, color = (_words(path, vertices, name) for name in PACKED)
    others = np.stack([(rotation >> np.uint32(20 - 10 * place) & 1023) / 1023.0 for place in range(3)], axis=1)
    colors = np.stack([(color >> np.uint32(shift) & 255) / 255.0 for shift in (24, 16, 8)], axis=1)
    dc = dc_of(_from_range(colors, *bounds["colors"])).astype(np.float32)
    arrays = GaussianArrays(
        means=_from_range(_unpack(position), *bounds["means"]).astype(np.float32),
        scales=_from_range(_unpack(scale), *bounds["scales"]).astype(np.float32),
        quats=from_smallest_three((rotation >> np.uint32(30)).astype(np.int64), (others - 0.5) / ROOT_HALF),
        opacities=logits_of(color & 255)[:, None],
        shs=np.concatenate([dc[:, None], _coefficients(path, elements.get("sh"), count)], axis=1),
    )
    return finite(path, arrays)


def _header(count: int, rest: int) -> str:
    lines = ["ply", "format binary_little_endian 1.0", f"element chunk {-(-count // CHUNK)}"]
    lines += [f"property float {name}" for name in CHUNK_COLUMNS]
    lines += [f"element vertex {count}", *(f"property uint {name}" for name in PACKED)]
    if rest:
        lines += [f"element sh {count}", *(f"property uchar f_rest_{index}" for index in range(rest))]
    return "\n".join([*lines, "end_header\n"])


def _chunk_ranges(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C, 3) least and largest of the (N, 3) values of each chunk, as float32 has them."""
    starts = np.arange(0, len(values), CHUNK)
    low, high = (reduce(values, starts, axis=0) for reduce in (np.minimum.reduceat, np.maximum.reduceat))
    return low.astype(np.float32), high.astype(np.float32)


def _in_range(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Values of the chunks' ranges as those of [0, 1]; 0 where a range is a point."""
    low, high = (np.repeat(each.astype(np.float64), CHUNK, axis=0)[: len(values)] for each in (low, high))
    span = high - low
    return np.where(span > 0, (values - low) / np.where(span > 0, span, 1), 0)


def _from_range(parts: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The inverse, with the range of each row."""
    with np.errstate(invalid="ignore", over="ignore"):
        return low * (1 - parts) + high * parts


def _bounds(path: Path, chunks: np.ndarray, count: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) float64 the range that each Gaussian's chunk has for means, scales or colors; colors may have none."""
    columns = [pair[end] for end in (0, 1) for pair in RANGES[name]]
    missing = [column for column in columns if column not in (chunks.dtype.names or ())]
    if name == "colors" and len(missing) == len(columns):
        return np.zeros((count, 3)), np.ones((count, 3))
    if missing:
        raise UserError(f"{path}: its chunks lack {', '.join(missing)}")
    low, high = (_floats(path, chunks, columns[part]) for part in (slice(0, 3), slice(3, 6)))
    return np.repeat(low, CHUNK, axis=0)[:count], np.repeat(high, CHUNK, axis=0)[:count]


def _floats(path: Path, chunks: np.ndarray, columns: list[str]) -> np.ndarray:
    if any(chunks[column].dtype.kind not in "fiu" for column in columns):
        raise UserError(f"{path}: the columns {', '.join(columns)} of its chunks are not numbers")
    return np.stack([chunks[column].astype(np.float64) for column in columns], axis=1)


def _words(path: Path, vertices: np.ndarray, name: str) -> np.ndarray:
    if vertices[name].dtype.kind != "u" or vertices[name].dtype.itemsize != 4:
        raise UserError(f"{path}: the column {name} is {vertices[name].dtype}; it must be uint")
    return vertices[name].astype(np.uint32)


def _coefficients(path: Path, table: np.ndarray | None, count: int) -> np.ndarray:
    """(N, K − 1, 3) float32, none without an element sh."""
    names = [] if table is None else list(table.dtype.names or ())
    if table is None or not names:
        return np.empty((count, 0, 3), np.float32)
    wanted = [f"f_rest_{index}" for index in range(len(names))]
    if len(names) not in (9, 24, 45) or set(names) != set(wanted) or len(table) != count:
        raise UserError(
            f"{path}: its element sh has {len(names)} columns in {len(table)} rows; it must have f_rest_0 to f_rest_8, "
            f"f_rest_23 or f_rest_44 for {count} Gaussians"
        )
    if any(table[name].dtype != np.uint8 for name in wanted):
        raise UserError(f"{path}: the columns of its element sh must be uchar")
    steps = np.stack([table[name] for name in wanted], axis=1).astype(np.float32)
    parts = np.where(steps == 0, 0, np.where(steps == 255, 1, (steps + 0.5) / 256))
    values = (parts - 0.5) * (2 * SH_RANGE)
    return values.reshape(count, 3, len(names) // 3).transpose(0, 2, 1).astype(np.float32)


def _pack(parts: np.ndarray) -> np.ndarray:
    """(N,) uint32: three numbers of [0, 1] in 11, 10 and 11 bits."""
    packed = np.zeros(len(parts), np.uint32)
    for axis, (bits, place) in enumerate(FIELDS):
        packed |= to_steps(parts[:, axis], 2**bits - 1) << np.uint32(place)
    return packed


def _unpack(words: np.ndarray) -> np.ndarray:
    """(N, 3) float64, the inverse."""
    masks = [(2**bits - 1, place) for bits, place in FIELDS]
    return np.stack([(words >> np.uint32(place) & mask) / float(mask) for mask, place in masks], axis=1)


def _pack_tens(steps: np.ndarray) -> np.ndarray:
    """(N,) uint32: three numbers of 10 bits."""
    return steps[:, 0] << np.uint32(20) | steps[:, 1] << np.uint32(10) | steps[:, 2]

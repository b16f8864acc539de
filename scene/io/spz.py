"""SPZ, Niantic's format: read in the versions 2, 3 and 4, written in version 3, which needs no library.

All versions hold the same attributes one after the other, quantized: positions in 24-bit fixed point, opacities, colors
and log scales in a byte a number, quaternions by three of their components, coefficients above degree 0 in a byte each.
Versions 2 and 3 are a gzip stream, version 4 ("NGSP") a table of Zstandard streams. Its axes are right, up, back; those
of PLY files right, down, forward: the world is turned about x on its way in and out, spherical harmonics as well.
https://github.com/nianticlabs/spz
"""

from __future__ import annotations

import gzip
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scene.editing import Similarity, transform
from scene.io.checks import check_growth, finite, read_bytes
from scene.io.packing import ROOT_HALF, alpha_bytes, from_smallest_three, logits_of, smallest_three, to_steps
from scene.spherical_harmonics import MAX_DEGREE, SH_COUNTS, degree_of
from scene.types import GaussianArrays
from utils.errors import UserError
from utils.files import atomic_write

MAGIC = b"NGSP"
HEADER = struct.Struct("<4sIIBBBB")  # magic, version, Gaussians, SH degree, fractional bits, flags, streams (4) or 0
TABLE_AT = struct.Struct("<I12x")  # of version 4, behind the header: where its table of streams is
STREAM = struct.Struct("<QQ")  # packed and unpacked size
MAX_FILE_DEGREE = 4
MAX_BITS, MAX_FIXED = 20, 2**23 - 1  # fractional bits that are written at most; the largest number of 24 bits
COARSE = 0.01  # of the middle Gaussian's scale: a larger step of the positions is worth a warning
COLOR_STEP = 0.15  # a byte is 255 · (0.15 · coefficient + 0.5)
SCALE_STEPS, SCALE_OFFSET = 16, 10  # a byte is 16 · (log scale + 10)
SH_BITS = (5, 4, 4)  # kept of a byte at degree 1, 2, 3, as the format's own writer has it
RUB_FROM_RDF = Similarity(np.diag([1.0, -1.0, -1.0]), np.zeros(3))  # its own inverse
WXYZ, XYZW = [3, 0, 1, 2], [1, 2, 3, 0]


class Header(NamedTuple):
    """What the first bytes say."""

    version: int
    gaussians: int
    sh_degree: int
    fractional_bits: int
    streams: int

    def sizes(self) -> tuple[int, ...]:
        """Bytes of positions, opacities, colors, scales, quaternions and, above degree 0, spherical harmonics."""
        quat = 3 if self.version == 2 else 4
        rest = 3 * ((self.sh_degree + 1) ** 2 - 1)
        return tuple(size * self.gaussians for size in (9, 1, 3, 3, quat, rest) if size)


def write(path: Path, gaussians: GaussianArrays) -> None:
    """Write version 3. Coefficients above degree 0 are clamped to ±1."""
    turned = transform(gaussians, RUB_FROM_RDF)
    bits = _fractional_bits(path, turned)
    header = HEADER.pack(MAGIC, 3, len(turned.means), degree_of(turned.shs.shape[1]), bits, 0, 0)
    parts = (
        _fixed_point(turned.means, bits),
        alpha_bytes(turned.opacities[:, 0]),
        to_steps(COLOR_STEP * turned.shs[:, 0] + 0.5, 255).astype(np.uint8),
        np.clip(np.round(SCALE_STEPS * (turned.scales + SCALE_OFFSET)), 0, 255).astype(np.uint8),
        _quat_words(turned.quats).astype("<u4"),
        _sh_bytes(turned.shs[:, 1:]),
    )
    with atomic_write(path) as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(header + b"".join(part.tobytes() for part in parts))


def read(path: Path) -> GaussianArrays:
    """Raises: UserError for another format or version, damage, and version 4 without its library."""
    data = read_bytes(path)
    header, parts = _streams(path, data) if data[:4] == MAGIC else _gzip_parts(path, data)
    positions, alphas, colors, scales, quats, *rest = (np.frombuffer(part, np.uint8) for part in parts)
    count = header.gaussians
    rdf = GaussianArrays(
        means=_from_fixed_point(positions.reshape(count, 3, 3), header.fractional_bits),
        scales=scales.reshape(count, 3).astype(np.float32) / SCALE_STEPS - SCALE_OFFSET,
        quats=_quats(quats, count, header.version),
        opacities=logits_of(alphas)[:, None],
        shs=_shs(path, colors.reshape(count, 3), rest, header.sh_degree),
    )
    return finite(path, transform(rdf, RUB_FROM_RDF))


def _header(path: Path, data: bytes) -> Header:
    """UserError for one that no version has."""
    if len(data) < HEADER.size or data[:4] != MAGIC:
        raise UserError(f"{path} is not an SPZ file: it does not begin with the magic number NGSP, packed or plain")
    _, version, count, degree, bits, _, streams = HEADER.unpack_from(data)
    if version not in (2, 3, 4):
        raise UserError(f"{path} is SPZ version {version}; the versions 2, 3 and 4 are read")
    if degree > MAX_FILE_DEGREE or bits > 24:
        raise UserError(f"{path} is damaged: spherical harmonics of degree {degree}, {bits} fractional bits")
    return Header(version, count, degree, bits, streams)


def _gzip_parts(path: Path, data: bytes) -> tuple[Header, list[bytes]]:
    """The attributes of version 2 or 3."""
    unzip = zlib.decompressobj(wbits=31)
    try:
        start = unzip.decompress(data, HEADER.size)
        header = _header(path, start)
        wanted = sum(header.sizes())
        check_growth(path, len(data), wanted)
        body = start[HEADER.size :] + (unzip.decompress(unzip.unconsumed_tail, wanted) if wanted else b"")
    except zlib.error as error:
        raise UserError(f"{path} is not a readable SPZ file: {error}") from None
    if header.version == 4:
        raise UserError(f"{path} is damaged: SPZ version 4 is not packed as a whole")
    if len(body) < wanted:
        raise UserError(
            f"{path} is damaged: {len(body):,} bytes for {header.gaussians:,} Gaussians, {wanted:,} are needed"
        )
    return header, list(_cut(body, header.sizes()))


def _streams(path: Path, data: bytes) -> tuple[Header, list[bytes]]:
    """The attributes of version 4."""
    header, sizes = _header(path, data), []
    if header.version == 4:
        sizes = list(header.sizes()) if header.gaussians else []
    if header.version != 4 or len(data) < HEADER.size + TABLE_AT.size or header.streams != len(sizes):
        raise UserError(f"{path} is damaged: version {header.version} with {header.streams} streams, not packed")
    (at,) = TABLE_AT.unpack_from(data, HEADER.size)
    check_growth(path, len(data), sum(sizes))
    begin = at + STREAM.size * header.streams
    if begin > len(data):
        raise UserError(f"{path} is damaged: its table of streams lies behind its end")
    table = [STREAM.unpack_from(data, at + STREAM.size * index) for index in range(header.streams)]
    if [unpacked for _, unpacked in table] != sizes or begin + sum(packed for packed, _ in table) > len(data):
        raise UserError(f"{path} is damaged: its streams are not those of {header.gaussians:,} Gaussians")
    packed_parts = _cut(data[begin:], [packed for packed, _ in table])
    zstd = _zstd(path)
    return header, [_unpacked(path, zstd, part, size) for part, size in zip(packed_parts, sizes, strict=True)] or (
        [b""] * 5
    )


def _unpacked(path: Path, zstd: Any, part: bytes, size: int) -> bytes:
    """A Zstandard stream of exactly `size` bytes; no more is unpacked, whatever the stream says."""
    try:
        body: bytes = zstd.ZstdDecompressor().decompress(part, max_length=size + 1)
    except zstd.ZstdError as error:
        raise UserError(f"{path} is damaged: {error}") from None
    if len(body) != size:
        raise UserError(f"{path} is damaged: a stream does not have the {size:,} bytes that it should")
    return body


def _zstd(path: Path) -> Any:
    """Python's own module from 3.14 on, or its backport."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from backports import zstd  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            raise UserError(
                f"{path} is SPZ version 4, which is packed by Zstandard: pip install backports.zstd"
            ) from None
    return zstd


def _cut(data: bytes, sizes: tuple[int, ...] | list[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size


def _fractional_bits(path: Path, gaussians: GaussianArrays) -> int:
    """As many as let the farthest position fit; a warning where far ones leave too few."""
    farthest = max(float(np.abs(gaussians.means).max(initial=0)), 1e-9)
    bits = int(np.clip(np.floor(np.log2(MAX_FIXED / farthest)), 0, MAX_BITS))
    middle = float(np.exp(np.median(gaussians.scales))) if len(gaussians.scales) else np.inf
    if 0.5**bits > COARSE * middle:
        warnings.warn(
            f"{path}: positions are rounded to {0.5**bits:.2g}, since the farthest is {farthest:.3g} away and SPZ has "
            f"24 bits for it; the middle scale is {middle:.2g}. --crop leaves far Gaussians out",
            stacklevel=3,
        )
    return bits


def _fixed_point(means: np.ndarray, bits: int) -> np.ndarray:
    """(N, 3, 3) uint8: numbers of 24 bits, the lowest byte first."""
    fixed = np.clip(np.round(means.astype(np.float64) * 2**bits), -MAX_FIXED, MAX_FIXED).astype("<i4")
    return fixed.view(np.uint8).reshape(*means.shape, 4)[..., :3]


def _from_fixed_point(data: np.ndarray, bits: int) -> np.ndarray:
    """(N, 3) float32, the inverse."""
    low, middle, high = (data[..., place].astype(np.int32) for place in range(3))
    fixed = low | middle << 8 | (high ^ 128) - 128 << 16  # the highest byte has the sign
    return (fixed / 2.0**bits).astype(np.float32)


def _quat_words(quats: np.ndarray) -> np.ndarray:
    """(N,) uint32: the index of the largest of x y z w, then a sign and 9 bits for each other."""
    largest, others = smallest_three(quats[:, XYZW])
    steps = to_steps(np.abs(others) / ROOT_HALF, 511) | np.signbit(others).astype(np.uint32) << np.uint32(9)
    first, second, third = steps.T
    return largest.astype(np.uint32) << np.uint32(30) | first << np.uint32(20) | second << np.uint32(10) | third


def _quats(data: np.ndarray, count: int, version: int) -> np.ndarray:
    """(N, 4) float32 w x y z; version 2 has x y z in a byte each."""
    if version == 2:
        xyz = data.reshape(count, 3) / 127.5 - 1
        return from_smallest_three(np.zeros(count, np.int64), xyz)
    words = data.view("<u4").astype(np.uint32)
    fields = np.stack([words >> np.uint32(20 - 10 * place) & 1023 for place in range(3)], axis=1)
    others = (fields & 511) * (ROOT_HALF / 511) * np.where(fields >> np.uint32(9) & 1, -1.0, 1.0)
    return from_smallest_three((words >> np.uint32(30)).astype(np.int64), others)[:, WXYZ]


def _sh_bytes(rest: np.ndarray) -> np.ndarray:
    """(N, K − 1, 3) uint8, rounded to the steps that each degree keeps: equal bytes pack well."""
    buckets = np.repeat([2 ** (8 - bits) for bits in SH_BITS], np.diff(SH_COUNTS))[: rest.shape[1], None]
    steps = np.round(np.clip(rest.astype(np.float64), -1, 1) * 128) + 128
    return np.clip(np.floor((steps + buckets // 2) / buckets) * buckets, 0, 255).astype(np.uint8)


def _shs(path: Path, colors: np.ndarray, rest: list[np.ndarray], degree: int) -> np.ndarray:
    """(N, K, 3) float32."""
    dc = (colors / 255.0 - 0.5)[:, None] / COLOR_STEP
    if not rest:
        return dc.astype(np.float32)
    if degree > MAX_DEGREE:
        warnings.warn(f"{path}: spherical harmonics of degree {degree}, of which 3 is kept", stacklevel=4)
    coefficients = rest[0].reshape(len(colors), (degree + 1) ** 2 - 1, 3)[:, : SH_COUNTS[min(degree, MAX_DEGREE)] - 1]
    return np.concatenate([dc, (coefficients.astype(np.float32) - 128) / 128], axis=1).astype(np.float32)

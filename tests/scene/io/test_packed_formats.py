"""The compact formats: what they keep, that others' files are read as others read them, and damage."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scene.editing import Similarity, transform
from scene.io import read_gaussians, write_gaussians
from scene.types import GaussianArrays
from tests.conftest import real_scene
from tests.helpers.splats import alphas, covariances, in_order, splats
from utils.errors import UserError

GOLDEN = Path(__file__).parent / "golden"  # splats(12), written by @playcanvas/splat-transform 2.7.1
# of each format: suffix, and the largest error of position, log scale, opacity, color coefficient, SH coefficient
BOUNDS = {
    ".ply": (0, 0, 0, 0, 0),
    ".compressed.ply": (3e-3, 3.5e-3, 2e-3, 1e-2, 1.6e-2),
    ".splat": (0, 1e-6, 2e-3, 7e-3, None),
    ".spz": (1e-6, 0.032, 2e-3, 1.4e-2, 0.067),
    ".glb": (1e-6, 1e-6, 1e-6, 1e-6, 1e-6),
    ".sog": (2e-4, 0.02, 4e-3, 0.02, 0.02),
}


def need(module: str) -> None:
    pytest.importorskip(module, reason=f"the optional library {module} is not installed: pip install {module}")


def need_zstd() -> None:
    if sys.version_info < (3, 14):
        need("backports.zstd")


def assert_close(original: GaussianArrays, read: GaussianArrays, bounds: tuple[float | None, ...]) -> None:
    read = in_order(original, read)
    position, scale, opacity, dc, rest = bounds
    assert np.abs(read.means - original.means).max() <= position
    assert np.abs(alphas(read) - alphas(original)).max() <= opacity
    assert np.abs(read.shs[:, 0] - original.shs[:, 0]).max() <= dc
    trace = covariances(original).trace(axis1=1, axis2=2)
    shape = np.abs(covariances(read) - covariances(original)).max(axis=(1, 2)) / trace
    assert shape.max() <= 0.07 and np.median(shape) <= 0.03
    assert scale is None or np.abs(np.sort(read.scales) - np.sort(original.scales)).max() <= scale
    if rest is None:
        assert read.shs.shape[1] == 1
    else:
        assert read.shs.shape == original.shs.shape
        assert np.abs(read.shs[:, 1:] - original.shs[:, 1:]).max(initial=0) <= rest


@pytest.mark.parametrize("sh_count", [1, 4, 9, 16])
@pytest.mark.parametrize("suffix", [suffix for suffix in BOUNDS if suffix != ".sog"])
def test_round_trip(tmp_path: Path, suffix: str, sh_count: int) -> None:
    original = splats(300, sh_count)
    write_gaussians(tmp_path / f"a{suffix}", original)
    assert_close(original, read_gaussians(tmp_path / f"a{suffix}"), BOUNDS[suffix])


@pytest.mark.parametrize("sh_count", [1, 4, 16])
def test_round_trip_by_gaussforge(tmp_path: Path, sh_count: int) -> None:
    need("gaussforge")
    original = splats(60, sh_count)
    longer = GaussianArrays(
        **{**vars(original), "quats": original.quats * 3}
    )  # not of length 1, as training leaves them
    write_gaussians(tmp_path / "a.sog", longer)
    assert_close(original, read_gaussians(tmp_path / "a.sog"), BOUNDS[".sog"])


@pytest.mark.parametrize("name", ["a.compressed.ply", "v3.spz", "v4.spz", "a.glb"])
def test_what_another_program_wrote(name: str) -> None:
    if name == "v4.spz":
        need_zstd()
    bounds = BOUNDS["".join(Path(name).suffixes)]
    if name.endswith(".spz"):
        bounds = (2e-4, *bounds[1:])  # it has 12 fractional bits
    assert_close(splats(12), read_gaussians(GOLDEN / name), bounds)


def test_a_sog_is_read_as_its_writer_reads_it() -> None:
    """A palette of 8 for 12 Gaussians: what was lost was lost in writing."""
    read, expected = (read_gaussians(GOLDEN / name) for name in ("a.sog", "read_of_a.sog.ply"))
    for name in ("means", "scales", "quats", "shs"):
        np.testing.assert_allclose(getattr(read, name), getattr(expected, name), atol=2e-6, err_msg=name)
    np.testing.assert_allclose(alphas(read), alphas(expected), atol=1.1e-3)  # 0 and 255 are other logits here
    assert np.abs(in_order(splats(12), read).shs - splats(12).shs).max() < 0.8


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".ply", ".compressed.ply", ".splat", ".spz", ".sog"])
def test_another_program_reads_ours(tmp_path: Path, suffix: str) -> None:
    program = shutil.which("splat-transform")
    if program is None:
        pytest.skip("splat-transform is not on the PATH: npm install -g @playcanvas/splat-transform")
    if suffix == ".sog":
        need("gaussforge")
    original = splats(60)
    write_gaussians(tmp_path / f"a{suffix}", original)
    subprocess.run([program, "-q", str(tmp_path / f"a{suffix}"), str(tmp_path / "read.ply")], check=True, timeout=120)
    assert_close(original, read_gaussians(tmp_path / "read.ply"), BOUNDS[suffix])


@pytest.mark.parametrize("suffix", [".compressed.ply", ".splat", ".spz", ".glb"])
def test_extreme_values_leave_as_finite_ones(tmp_path: Path, suffix: str) -> None:
    extreme = splats(8)
    extreme.scales[:4] = [(200, -200, 0), (88, 88, 88), (-120, -120, -120), (0, 0, 1e30)]
    extreme.opacities[:4, 0] = 1e9, -1e9, 16, -16
    extreme.shs[:4] = np.array([1e9, -1e9, 7, 0], np.float32)[:, None, None]
    write_gaussians(tmp_path / f"a{suffix}", extreme)
    with np.errstate(all="raise"):
        read = read_gaussians(tmp_path / f"a{suffix}")
    assert len(read.means) == 8 and all(np.isfinite(value).all() for value in vars(read).values())
    if suffix in (".spz", ".glb"):
        assert alphas(read)[0] > 0.998 and alphas(read)[1] < 0.002, "these formats keep the order"


@pytest.mark.parametrize("suffix", [".compressed.ply", ".spz", ".glb"])
def test_no_gaussians(tmp_path: Path, suffix: str) -> None:
    write_gaussians(tmp_path / f"a{suffix}", splats(0, 4))
    assert read_gaussians(tmp_path / f"a{suffix}").shs.shape == (0, 4, 3)


def test_the_bytes_of_a_splat(tmp_path: Path) -> None:
    """As antimatter15/splat documents them."""
    one = splats(1)
    one.quats[:] = 2, 0, 0, -2
    write_gaussians(tmp_path / "a.splat", one)
    data = (tmp_path / "a.splat").read_bytes()
    assert len(data) == 32
    np.testing.assert_array_equal(struct.unpack("<3f", data[:12]), one.means[0])
    np.testing.assert_allclose(struct.unpack("<3f", data[12:24]), np.exp(one.scales[0]), rtol=1e-6)
    assert tuple(data[28:]) == (round(128 + 128 * 0.5**0.5), 128, 128, round(128 - 128 * 0.5**0.5))


def test_a_compressed_ply_under_the_name_of_a_plain_one(tmp_path: Path) -> None:
    original = splats(300)
    write_gaussians(tmp_path / "a.compressed.ply", original)
    (tmp_path / "a.compressed.ply").rename(tmp_path / "a.ply")
    assert_close(original, read_gaussians(tmp_path / "a.ply"), BOUNDS[".compressed.ply"])


# ---- SPZ


def spz_body(version: int, quats: bytes, count: int = 1, degree: int = 0, rest: bytes = b"") -> bytes:
    header = struct.pack("<4sIIBBBB", b"NGSP", version, count, degree, 12, 0, 0)
    position = (1 << 12).to_bytes(3, "little") + (-(2 << 12) & 0xFFFFFF).to_bytes(3, "little") + bytes(3)
    return header + position + bytes([255]) + bytes([128, 0, 255]) + bytes([160, 144, 176]) + quats + rest


def test_version_2_by_hand(tmp_path: Path) -> None:
    """Its quaternions are x y z in a byte each, w not negative; the axes y and z point the other way."""
    (tmp_path / "a.spz").write_bytes(gzip.compress(spz_body(2, bytes([255, 128, 128]))))
    read = read_gaussians(tmp_path / "a.spz")
    np.testing.assert_allclose(read.means, [[1, 2, 0]])
    np.testing.assert_allclose(read.scales, [[0, -1, 1]])
    assert alphas(read)[0, 0] == pytest.approx(254.75 / 255)
    np.testing.assert_allclose(read.shs[0, 0], (np.array([128, 0, 255]) / 255 - 0.5) / 0.15, rtol=1e-5)
    np.testing.assert_allclose(covariances(read)[0], np.diag(np.exp([0, -2, 2])), atol=1e-1)


def test_the_axes_of_spz(tmp_path: Path) -> None:
    """Right, up, back: the file of a cloud is that of the cloud turned about x by its spherical harmonics, too."""
    original = splats(50)
    write_gaussians(tmp_path / "a.spz", original)
    write_gaussians(tmp_path / "b.spz", transform(original, Similarity(np.diag([1.0, -1, -1]), np.zeros(3))))
    one, other = (gzip.decompress((tmp_path / name).read_bytes()) for name in ("a.spz", "b.spz"))
    positions = [np.frombuffer(each[16 : 16 + 450], np.uint8).reshape(50, 3, 3).astype(int) for each in (one, other)]
    x, y = ([(p[:, axis] @ (1, 256, 65536)) for p in positions] for axis in (0, 1))
    np.testing.assert_array_equal(*x)
    np.testing.assert_array_equal((y[0] + y[1]) % 2**24, 0)
    assert one[16 + 50 * 20 :] != other[16 + 50 * 20 :]


def test_a_degree_of_4_is_cut(tmp_path: Path) -> None:
    (tmp_path / "a.spz").write_bytes(gzip.compress(spz_body(3, bytes(4), degree=4, rest=bytes(range(72)))))
    with pytest.warns(UserWarning, match="degree 4, of which 3 is kept"):
        assert read_gaussians(tmp_path / "a.spz").shs.shape == (1, 16, 3)


def test_far_gaussians_cost_the_steps_of_spz(tmp_path: Path) -> None:
    far = splats(20)
    far.means[0] = 1e5
    with pytest.warns(UserWarning, match="positions are rounded to 0.016.*--crop"):
        write_gaussians(tmp_path / "a.spz", far)
    assert np.abs(in_order(far, read_gaussians(tmp_path / "a.spz")).means - far.means).max() <= 0.0079


def test_version_4_without_its_library_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("backports", "compression"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"v4.spz is SPZ version 4.*pip install backports.zstd"):
        read_gaussians(GOLDEN / "v4.spz")


def test_sog_without_its_library_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gaussforge", None)
    with pytest.raises(UserError, match=r"a.sog: SOG is written by the library gaussforge: pip install gaussforge"):
        write_gaussians(tmp_path / "a.sog", splats())
    assert not list(tmp_path.iterdir())


# ---- damage


def bomb() -> bytes:
    """A gzip stream that says 4 billion Gaussians, and has 64 MB of zeros for them."""
    return gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 3, 2**32 - 1, 3, 12, 0, 0) + bytes(2**26))


def v4(count: int, sizes: list[tuple[int, int]], at: int = 32) -> bytes:
    header = struct.pack("<4sIIBBBBI12x", b"NGSP", 4, count, 0, 12, 0, len(sizes), at)
    return header + b"".join(struct.pack("<QQ", *size) for size in sizes)


DAMAGED = {
    "bomb.spz": (bomb, "would unpack from .* to 279,172,874,175 bytes"),
    "word.spz": (lambda: b"a b c", "not a readable SPZ file"),
    "plain.spz": (lambda: gzip.compress(b"x" * 40), "does not begin with the magic number"),
    "old.spz": (lambda: gzip.compress(spz_body(1, bytes(4))), "SPZ version 1; the versions 2, 3 and 4 are read"),
    "short.spz": (lambda: gzip.compress(spz_body(3, bytes(4))[:-2]), "18 bytes for 1 Gaussians, 20 are needed"),
    "degree.spz": (lambda: gzip.compress(spz_body(3, bytes(4), degree=9)), "degree 9"),
    "streams.spz": (lambda: v4(5, []), "version 4 with 0 streams"),
    "sizes.spz": (lambda: v4(5, [(1, 1)] * 5), "its streams are not those of 5 Gaussians"),
    "table.spz": (lambda: v4(5, [(1, 1)] * 5, at=10**6), "table of streams lies behind its end"),
    "huge.spz": (lambda: v4(2**32 - 1, [(1, 1)] * 5), "would unpack"),
    "cut.splat": (lambda: bytes(40), r"40 bytes; a .splat file has 32"),
    "none.splat": (lambda: b"", r"0 bytes"),
    "word.glb": (lambda: b"a b c", "not a glTF binary"),
    "json.glb": (lambda: glb(b"{}}"), "its JSON is not that of glTF"),
    "none.glb": (lambda: glb(b"{}"), "no primitive has the extension"),
    "outside.glb": (lambda: changed_glb("count", 10**9), "does not lie in the file"),
    "index.glb": (lambda: changed_glb("bufferView", 99), "the accessor of .* is not there"),
    "kind.glb": (lambda: changed_glb("type", "MAT4"), "is not an array of"),
    "word.sog": (lambda: b"a b c", "not a readable SOG file"),
    "meta.sog": (lambda: sog({}), "meta.json is not that of SOG"),
    "none.sog": (lambda: zipped({"a": b""}), "meta.json is missing"),
    "later.sog": (lambda: sog({**SOG, "version": 3}), "SOG version 3"),
    "count.sog": (lambda: sog({**SOG, "count": 10**6}), "fewer pixels than Gaussians, 1,000,000"),
    "book.sog": (lambda: sog({**SOG, "scales": {"files": ["p.webp"], "codebook": [1.0]}}), "1 values, not 256"),
    "picture.sog": (lambda: sog({**SOG, "quats": {"files": ["meta.json"]}}), "not a readable picture"),
    "big.sog": (lambda: sog(SOG, size=(2400, 2000)), "would unpack"),
}


def glb(text: bytes, binary: bytes = b"") -> bytes:
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def changed_glb(key: str, value: object, index: int = 0) -> bytes:
    """The golden file with one word of an accessor changed."""
    data = (GOLDEN / "a.glb").read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    document = json.loads(data[20 : 20 + length])
    document["accessors"][index][key] = value
    return glb(json.dumps(document).encode(), data[28 + length :])


def zipped(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


def webp(pixels: np.ndarray) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8), "RGBA").save(target, "WEBP", lossless=True, exact=True)
    return target.getvalue()


BOOK = [k / 255 for k in range(256)]
SOG: dict[str, object] = {
    "version": 2,
    "count": 1,
    "means": {"mins": [0, 0, 0], "maxs": [1, 1, 1], "files": ["p.webp", "p.webp"]},
    "scales": {"codebook": BOOK, "files": ["p.webp"]},
    "quats": {"files": ["p.webp"]},
    "sh0": {"codebook": BOOK, "files": ["p.webp"]},
}


def sog(meta: dict[str, object], size: tuple[int, int] = (2, 2)) -> bytes:
    pixels = np.full((*size[::-1], 4), 255)
    return zipped({"meta.json": json.dumps(meta).encode(), "p.webp": webp(pixels)})


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_one_error(tmp_path: Path, name: str) -> None:
    make, problem = DAMAGED[name]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(UserError, match=rf"{name}.*{problem}"):
        read_gaussians(tmp_path / name)


@pytest.mark.parametrize("index", [0, 2, 3, 4, 5, 9])  # 1: colors for viewers without Gaussians, which are not read
def test_attributes_of_other_numbers_are_refused(index: int, tmp_path: Path) -> None:
    (tmp_path / "a.glb").write_bytes(changed_glb("count", 3, index))
    numbers = "3 .*and 12 " if index == 0 else "12 .*and 3 "
    with pytest.raises(UserError, match=f"a.glb: its attributes are of different numbers of Gaussians, {numbers}"):
        read_gaussians(tmp_path / "a.glb")


def test_a_zstandard_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A stream may not give more than its table says, nor less."""
    need_zstd()
    zstd = __import__("backports.zstd", fromlist=["zstd"]) if sys.version_info < (3, 14) else None
    zstd = zstd or __import__("compression.zstd", fromlist=["zstd"])
    wanted = [9, 1, 3, 3, 4]
    streams = [zstd.compress(bytes(2**24)), *(zstd.compress(bytes(size)) for size in wanted[1:])]
    table = [(len(stream), size) for stream, size in zip(streams, wanted, strict=True)]
    (tmp_path / "a.spz").write_bytes(v4(1, table) + b"".join(streams))
    with pytest.raises(UserError, match="a.spz is damaged: a stream does not have the 9 bytes"):
        read_gaussians(tmp_path / "a.spz")


def test_the_first_version_of_sog(tmp_path: Path) -> None:
    """Ranges instead of tables."""
    meta = {
        "means": {"shape": [1, 3], "mins": [0, -1, 0], "maxs": [np.log(3), 1, 1], "files": ["p.webp", "p.webp"]},
        "scales": {"mins": [-5, -5, -5], "maxs": [-1, -2, -3], "files": ["p.webp"]},
        "quats": {"files": ["p.webp"]},
        "sh0": {"mins": [0, 0, 0, 0], "maxs": [0.5, 1, 1.5, 2], "files": ["p.webp"]},
    }
    (tmp_path / "a.sog").write_bytes(sog(meta))
    read = read_gaussians(tmp_path / "a.sog")
    np.testing.assert_allclose(read.means, [[2, np.e - 1, np.e - 1]], rtol=1e-6)
    np.testing.assert_allclose(read.scales, [[-1, -2, -3]])
    np.testing.assert_allclose(read.opacities, [[2]])
    np.testing.assert_allclose(read.shs, [[[0.5, 1, 1.5]]])


# ---- real files


@pytest.mark.slow
def test_the_real_models() -> None:
    folder = real_scene("splat_models")
    plant = read_gaussians(folder / "plant.splat")
    assert len(plant.means) == 113_648 and np.abs(plant.means).max() < 1
    need_zstd()
    biker = read_gaussians(folder / "biker.spz")
    assert len(biker.means) == 152_746 and np.isfinite(biker.opacities).all()
    height = np.quantile(biker.means[:, 1], (0.01, 0.99))
    assert height[0] < -2 and -0.5 < height[1] <= 0, "a person stands on the ground, and down is y"

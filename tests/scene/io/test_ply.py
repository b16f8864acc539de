"""PLY files of Gaussians and of points: ours, and what others write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene.io import read_gaussians, write_gaussians
from scene.io.checks import MAX_LOGIT
from scene.io.ply import property_names
from scene.io.points import read_points, write_points
from scene.spherical_harmonics import SH_DC
from scene.types import GaussianArrays
from tests.conftest import real_scene
from tests.helpers import scenes
from utils.errors import UserError


def gaussians(count: int = 20, sh_count: int = 16) -> GaussianArrays:
    rng = np.random.default_rng(3)
    shapes = {"means": (3,), "scales": (3,), "quats": (4,), "opacities": (1,), "shs": (sh_count, 3)}
    return GaussianArrays(
        **{name: rng.normal(size=(count, *shape)).astype(np.float32) for name, shape in shapes.items()}
    )


def assert_equal(a: GaussianArrays, b: GaussianArrays) -> None:
    for name, value in vars(a).items():
        np.testing.assert_array_equal(value, getattr(b, name), err_msg=name)


@pytest.mark.parametrize("sh_count", [1, 4, 9, 16])
def test_round_trip(tmp_path: Path, sh_count: int) -> None:
    original = gaussians(sh_count=sh_count)
    write_gaussians(tmp_path / "a.ply", original)
    assert_equal(read_gaussians(tmp_path / "a.ply"), original)


def test_the_layout_is_the_one_viewers_expect(tmp_path: Path) -> None:
    original = gaussians()
    write_gaussians(tmp_path / "a.ply", original)
    header, _, body = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "element vertex 20"]
    assert lines[3:] == [f"property float {name}" for name in property_names(16)] and len(lines) == 65
    table = np.frombuffer(body, "<f4").reshape(20, 62)
    np.testing.assert_array_equal(table[:, 9:24], original.shs[:, 1:, 0])  # f_rest is red first, all of it
    np.testing.assert_array_equal(table[:, 54], original.opacities[:, 0])
    assert not table[:, 3:6].any()


def write_odd(path: Path, arrays: GaussianArrays) -> None:
    """Doubles, shuffled columns, no normals, no f_rest, a comment, another element, trailing bytes; in text."""
    names = [name for name in property_names(1) if name not in ("nx", "ny", "nz")]
    columns = np.concatenate([arrays.means, arrays.shs[:, 0], arrays.opacities, arrays.scales, arrays.quats], axis=1)
    order = np.random.default_rng(0).permutation(len(names))
    header = ["ply", "format ascii 1.0", "comment by hand", f"element vertex {len(columns)}"]
    header += [f"property double {names[i]}" for i in order] + ["element face 1", "property int a", "end_header"]
    rows = [" ".join(repr(float(value)) for value in row[order]) for row in columns]
    path.write_text("\n".join([*header, *rows, "1", "trailing bytes", ""]))


def test_what_others_write(tmp_path: Path) -> None:
    original = gaussians(sh_count=1)
    write_odd(tmp_path / "odd.ply", original)
    assert_equal(read_gaussians(tmp_path / "odd.ply"), original)


def test_values_that_are_not_finite_are_reported(tmp_path: Path) -> None:
    broken = gaussians()
    broken.means[3, 1] = np.nan
    broken.opacities[5], broken.opacities[6] = np.inf, -np.inf
    write_gaussians(tmp_path / "a.ply", broken)
    with pytest.warns(UserWarning) as warnings:
        read = read_gaussians(tmp_path / "a.ply")
    messages = [str(warning.message) for warning in warnings]
    assert any("2 infinite opacities clamped" in message for message in messages)
    assert any("1 Gaussians with NaN" in message for message in messages)
    assert len(read.means) == 19
    assert read.opacities[4] == MAX_LOGIT and read.opacities[5] == -MAX_LOGIT


def test_what_holds_no_gaussians_is_named(tmp_path: Path) -> None:
    write_points(tmp_path / "points.ply", scenes.points())
    with pytest.raises(UserError, match=r"points\.ply holds no Gaussians: its vertices lack f_dc_0"):
        read_gaussians(tmp_path / "points.ply")
    (tmp_path / "bad.ply").write_bytes(b"plenty")
    with pytest.raises(UserError, match=r"bad\.ply is not a readable PLY"):
        read_gaussians(tmp_path / "bad.ply")
    with pytest.raises(UserError, match="is not there"):
        read_gaussians(tmp_path / "gone.ply")
    write_gaussians(tmp_path / "short.ply", gaussians())
    (tmp_path / "short.ply").write_bytes((tmp_path / "short.ply").read_bytes()[:-100])
    with pytest.raises(UserError, match=r"short\.ply"):
        read_gaussians(tmp_path / "short.ply")


def test_points_round_trip(tmp_path: Path) -> None:
    write_points(tmp_path / "p.ply", scenes.points())
    read = read_points(tmp_path / "p.ply")
    np.testing.assert_array_equal(read.positions, scenes.points().positions)
    np.testing.assert_allclose(read.colors, scenes.points().colors, atol=1e-6)


def test_a_real_file_with_quirks(tmp_path: Path) -> None:
    source = real_scene("splat_models") / "inria_sh3_100.ply"
    read = read_gaussians(source)
    assert read.shs.shape == (100, 16, 3) and np.linalg.norm(read.quats, axis=1).min() < 0.75
    write_gaussians(tmp_path / "again.ply", read)
    assert_equal(read_gaussians(tmp_path / "again.ply"), read)
    original, again = source.read_bytes(), (tmp_path / "again.ply").read_bytes()
    body = again[again.index(b"end_header\n") :]
    assert original[original.index(b"end_header\n") :][: len(body)] == body


@pytest.mark.parametrize(
    "kind, scale", [("uchar", 255), ("ushort", 65535), ("ushort", 255), ("float", 1), ("float", 255), ("int", 255)]
)
def test_the_range_of_point_colors_is_found(tmp_path: Path, kind: str, scale: int) -> None:
    rows = [f"0 0 0 {scale} 0 {scale // 5 if scale > 1 else 0.2}", f"1 1 1 0 {scale} 0"]
    names = [*("property float " + n for n in "xyz"), *(f"property {kind} {n}" for n in ("red", "green", "blue"))]
    header = ["ply", "format ascii 1.0", "element vertex 2", *names, "end_header"]
    (tmp_path / "points.ply").write_text("\n".join([*header, *rows]) + "\n")
    colors = read_points(tmp_path / "points.ply").colors
    np.testing.assert_allclose(colors, [[1, 0, 0.2], [0, 1, 0]], atol=1e-4)


def test_a_file_of_no_gaussians_is_read(tmp_path: Path) -> None:
    header = ["ply", "format binary_little_endian 1.0", "element vertex 0"]
    header += [f"property float {name}" for name in property_names(4)] + ["end_header", ""]
    (tmp_path / "a.ply").write_text("\n".join(header))
    assert read_gaussians(tmp_path / "a.ply").shs.shape == (0, 4, 3)


def test_floats_a_little_above_1_are_no_bytes(tmp_path: Path) -> None:
    """Of filtered or linear colors: as bytes the cloud would be black."""
    write_ply(tmp_path / "a.ply", ["float red", "float green", "float blue"], [[1.02, 0.5, 0.25], [0.5, 0.5, 0.5]])
    np.testing.assert_allclose(read_points(tmp_path / "a.ply").colors, [[1, 0.5, 0.25], [0.5, 0.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize("names", [["float red", "float green", "float blue"], [f"float f_dc_{k}" for k in range(3)]])
def test_colors_that_are_none_become_some(tmp_path: Path, names: list[str]) -> None:
    write_ply(tmp_path / "a.ply", names, [[float("nan"), float("inf"), float("-inf")], [0.5, 0.5, 0.5]])
    colors = read_points(tmp_path / "a.ply").colors
    assert np.isfinite(colors).all() and colors[0, 1:].tolist() == [1, 0]
    np.testing.assert_allclose(colors[1], 0.5 if names[0] == "float red" else 0.5 + 0.5 * SH_DC, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (["uchar r", "uchar g", "uchar b"], [255, 51, 0]),
        (["uchar diffuse_red", "uchar diffuse_green", "uchar diffuse_blue"], [255, 51, 0]),
        (["float f_dc_0", "float f_dc_1", "float f_dc_2"], [0.5 / SH_DC, -0.3 / SH_DC, -0.5 / SH_DC]),
    ],
)
def test_colors_of_other_names_are_found(tmp_path: Path, names: list[str], values: list[float]) -> None:
    write_ply(tmp_path / "a.ply", names, [values])
    np.testing.assert_allclose(read_points(tmp_path / "a.ply").colors, [[1, 0.2, 0]], atol=1e-6)


def test_points_without_color_are_said(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", ["float intensity"], [[7]])
    with pytest.warns(UserWarning, match=r"a\.ply: its points have no color \(intensity\): they start gray"):
        assert (read_points(tmp_path / "a.ply").colors == 0.5).all()


def write_ply(path: Path, names: list[str], rows: list[list[float]]) -> None:
    """Points at the origin, with these properties behind x, y, z."""
    properties = [f"property {name}" for name in ("float x", "float y", "float z", *names)]
    header = ["ply", "format ascii 1.0", f"element vertex {len(rows)}", *properties, "end_header"]
    path.write_text("\n".join([*header, *(" ".join(map(str, (0, 0, 0, *row))) for row in rows)]) + "\n")

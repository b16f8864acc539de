"""The class pair under the names and conventions of other builds of this package, against `rasterize`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diff_gaussian_rasterization import GaussianRasterizationSettings, GaussianRasterizer, rasterize
from diff_gaussian_rasterization.reference import axes
from tests.rasterizer.scenes import RasterScene, random_scene


def clip_from_camera(s: dict[str, Any], near: float = 0.01, far: float = 100.0) -> Tensor:
    """(4, 4) perspective transform, z to [0, 1], of the frustum that the image's edges span, off-center or not."""
    left, right = -s["cx"] / s["fx"] * near, (s["width"] - s["cx"]) / s["fx"] * near
    top, bottom = -s["cy"] / s["fy"] * near, (s["height"] - s["cy"]) / s["fy"] * near
    matrix = torch.zeros(4, 4, dtype=torch.float64)
    matrix[0, 0] = 2 * near / (right - left)
    matrix[1, 1] = 2 * near / (bottom - top)
    # A ray to the right of the axis has positive x/z; the frustum's middle must land on 0.
    matrix[0, 2] = -(right + left) / (right - left)
    matrix[1, 2] = -(bottom + top) / (bottom - top)
    matrix[2, 2] = far / (far - near)
    matrix[2, 3] = -far * near / (far - near)
    matrix[3, 2] = 1.0
    return matrix


def settings_of(
    scene: RasterScene, dtype: torch.dtype = torch.float64, **changes: Any
) -> GaussianRasterizationSettings:
    s = scene.settings
    viewmat = scene.tensors["viewmat"]
    world_view_transform = viewmat.T
    fields: dict[str, Any] = dict(
        image_height=s["height"],
        image_width=s["width"],
        tanfovx=math.tan(2 * math.atan(s["width"] / (2 * s["fx"])) / 2),
        tanfovy=math.tan(2 * math.atan(s["height"] / (2 * s["fy"])) / 2),
        bg=scene.tensors["background"].to(dtype),
        scale_modifier=1.0,
        viewmatrix=world_view_transform.to(dtype),
        projmatrix=(world_view_transform @ clip_from_camera(s).T).to(dtype),
        sh_degree=s.get("sh_degree", 0),
        campos=torch.linalg.inv(viewmat)[:3, 3].to(dtype),
        prefiltered=False,
        debug=False,
        antialiasing=s.get("antialiasing", False),
    )
    return GaussianRasterizationSettings(**{**fields, **changes})


def arguments_of(leaves: dict[str, Tensor]) -> dict[str, Tensor | None]:
    return {
        "means3D": leaves["means"],
        "opacities": leaves["opacities"],
        "shs": leaves.get("shs"),
        "colors_precomp": leaves.get("colors"),
        "scales": leaves["scales"],
        "rotations": leaves["quats"],
        "cov3D_precomp": None,
    }


@pytest.mark.parametrize("antialiasing", [False, True])
@pytest.mark.parametrize("sh_degree", [None, 2])
def test_it_is_rasterize_by_other_names(sh_degree: int | None, antialiasing: bool) -> None:
    scene = random_scene(1, n=40, sh_degree=sh_degree, antialiasing=antialiasing)
    leaves, same = scene.leaves(), scene.leaves()
    points = torch.zeros(40, 3, dtype=torch.float64, requires_grad=True)
    screen = points + 0
    screen.retain_grad()
    rasterizer = GaussianRasterizer(raster_settings=settings_of(scene))
    images = rasterizer(means2D=screen, **arguments_of(leaves))
    assert len(images) == 4
    color, radii, inv_depth, distortion = images
    expected = rasterize(**same, **scene.settings)
    expected.means2d.retain_grad()
    for found, image in ((color, expected.color), (inv_depth, expected.inv_depth), (distortion, expected.distortion)):
        assert image.any()
        torch.testing.assert_close(found, image, atol=1e-9, rtol=1e-9)
    assert torch.equal(radii, expected.radii)

    rng = torch.Generator().manual_seed(0)
    incoming = [torch.randn(i.shape, generator=rng, dtype=i.dtype) for i in (color, inv_depth, distortion)]
    torch.autograd.backward([color, inv_depth, distortion], incoming)
    torch.autograd.backward([expected.color, expected.inv_depth, expected.distortion], incoming)
    for name in scene.gaussians():
        torch.testing.assert_close(leaves[name].grad, same[name].grad, atol=1e-6, rtol=1e-6)
    assert screen.grad is not None and expected.means2d.grad is not None and points.grad is not None
    half = torch.tensor([scene.settings["width"], scene.settings["height"]]) / 2
    torch.testing.assert_close(screen.grad[:, :2], expected.means2d.grad * half, atol=1e-6, rtol=1e-6)
    assert not screen.grad[:, 2].any() and torch.equal(points.grad, screen.grad)


def test_float32_as_scripts_use_it() -> None:
    """Matrices in float32, as a script has them: the intrinsics are recovered well enough."""
    scene = random_scene(2, n=40)
    leaves = scene.leaves(torch.float32)
    rasterizer = GaussianRasterizer(settings_of(scene, torch.float32))
    color, _, _, _ = rasterizer(means2D=torch.zeros(40, 3), **arguments_of(leaves))
    expected = scene.render(rasterize, torch.float32).color
    assert ((color - expected).abs().amax(dim=0) < 1e-4).double().mean() >= 0.995


def test_a_centered_projection_is_the_common_case() -> None:
    scene = random_scene(3, n=40)
    centered = scene.with_settings(cx=scene.settings["width"] / 2, cy=scene.settings["height"] / 2)
    assert clip_from_camera(centered.settings)[:2, 2].abs().max() < 1e-12
    color, *_ = GaussianRasterizer(settings_of(centered))(means2D=None, **arguments_of(scene.leaves()))
    torch.testing.assert_close(color, centered.render(rasterize).color, atol=1e-9, rtol=1e-9)
    assert not torch.allclose(color, scene.render(rasterize).color, atol=1e-3)


def test_scale_modifier() -> None:
    scene = random_scene(4, n=40)
    color, *_ = GaussianRasterizer(settings_of(scene, scale_modifier=0.5))(means2D=None, **arguments_of(scene.leaves()))
    torch.testing.assert_close(color, scene.render(rasterize, scale_modifier=0.5).color, atol=1e-9, rtol=1e-9)


def test_precomputed_covariances() -> None:
    """Of upper triangles, which scale_modifier leaves as they are; with the gradient of scales and rotations."""
    scene = random_scene(4, n=40, kinds=["ordinary", "opaque", "border"])
    colors, found = [], []
    for precomputed in (False, True):
        leaves = scene.leaves()
        arguments = arguments_of(leaves)
        if precomputed:
            shape = axes(leaves["quats"], leaves["scales"])
            upper = torch.triu_indices(3, 3).tolist()
            triangles = (shape @ shape.mT)[:, upper[0], upper[1]]
            arguments |= {"scales": None, "rotations": None, "cov3D_precomp": triangles}
        settings = settings_of(scene, scale_modifier=0.5 if precomputed else 1.0)
        color = GaussianRasterizer(settings)(means2D=None, **arguments)[0]
        colors.append(color)
        found.append(torch.autograd.grad(color.square().sum(), [leaves["scales"], leaves["quats"], leaves["means"]]))
    assert colors[0].std() > 0.05
    torch.testing.assert_close(*colors, atol=1e-9, rtol=1e-9)
    for one, other in zip(*found, strict=True):
        assert one.abs().max() > 1e-3
        torch.testing.assert_close(other, one, atol=1e-8 * float(one.abs().max()), rtol=0)


def test_it_says_what_it_does_not_take() -> None:
    scene = random_scene(5, n=4)
    rasterizer = GaussianRasterizer(settings_of(scene))
    arguments = {"means2D": None, **arguments_of(scene.leaves())}
    with pytest.raises(ValueError, match="covariances are given, and so are scales"):
        rasterizer(**{**arguments, "cov3D_precomp": torch.zeros(4, 6, dtype=torch.float64)})
    with pytest.raises(ValueError, match=r"cov3D_precomp has shape \(4, 5\)"):
        rasterizer(**{**arguments, "cov3D_precomp": torch.zeros(4, 5, dtype=torch.float64)})
    with pytest.raises(ValueError, match="scales or rotations"):
        rasterizer(**{**arguments, "scales": None})
    with pytest.raises(ValueError, match=r"means2D is \(3, 3\).*\(4, 3\)"):
        rasterizer(**{**arguments, "means2D": torch.zeros(3, 3, dtype=torch.float64)})
    with pytest.raises(ValueError, match="shs and colors"):
        rasterizer(**{**arguments, "shs": None})
    for field, value, words in (
        ("image_height", 0, "image_height is 0"),
        ("tanfovx", -1.0, "tanfovx is -1"),
        ("viewmatrix", torch.eye(3, dtype=torch.float64), r"viewmatrix has shape \(3, 3\).*\(4, 4\)"),
        ("projmatrix", torch.eye(3, dtype=torch.float64), r"projmatrix has shape \(3, 3\).*\(4, 4\)"),
    ):
        with pytest.raises(ValueError, match=words):
            GaussianRasterizer(settings_of(scene, **{field: value}))(**arguments)


def test_the_tuple_is_named_and_in_the_order_asked_for() -> None:
    scene = random_scene(6, n=12, kinds=["ordinary"])
    expected = scene.render(rasterize)
    arguments = {"means2D": None, **arguments_of(scene.leaves())}
    usual = GaussianRasterizer(settings_of(scene))(**arguments)
    assert usual._fields == ("color", "radii", "inv_depth", "distortion")

    image, radii, depth, alpha = GaussianRasterizer(
        settings_of(scene, returns=("color", "radii", "expected_depth", "alpha"))
    )(**arguments)
    hit = expected.alpha > 0
    assert hit.any() and not hit.all() and torch.equal(radii, expected.radii)
    torch.testing.assert_close(image, expected.color, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(alpha, expected.alpha, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(depth[hit], (expected.depth / expected.alpha)[hit], atol=1e-9, rtol=1e-9)
    assert not depth[~hit].any()
    depth.sum().backward()
    assert arguments["means3D"].grad.isfinite().all() and arguments["means3D"].grad.any()  # type: ignore[union-attr]


@pytest.mark.parametrize("returns", ["color", (), ("color", "color"), ("color", "normals"), None])
def test_what_can_be_returned_is_said(returns: Any) -> None:
    scene = random_scene(6, n=3)
    with pytest.raises(ValueError, match="returns .*color, radii, inv_depth, depth, expected_depth, alpha"):
        GaussianRasterizer(settings_of(scene, returns=returns))(means2D=None, **arguments_of(scene.leaves()))


def test_four_columns_receive_absolute_gradients() -> None:
    scene = random_scene(7, n=30)
    screen, three = (torch.zeros(30, columns, dtype=torch.float64, requires_grad=True) for columns in (4, 3))
    incoming = torch.randn(3, 30, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for points in (screen, three):
        color = GaussianRasterizer(settings_of(scene))(means2D=points, **arguments_of(scene.leaves()))[0]
        (color * incoming).sum().backward()
    expected = rasterize(**scene.leaves(), **scene.settings, absgrad=True)
    (expected.color * incoming).sum().backward()
    half = torch.tensor([scene.settings["width"], scene.settings["height"]]) / 2
    assert screen.grad is not None and three.grad is not None
    torch.testing.assert_close(screen.grad[:, :2], three.grad[:, :2], atol=0, rtol=0)
    absgrad = expected.means2d.absgrad  # type: ignore[attr-defined]
    torch.testing.assert_close(screen.grad[:, 2:], absgrad * half, atol=1e-6, rtol=1e-6)
    assert (screen.grad[:, 2:] > screen.grad[:, :2].abs() * 1.01).any()


def test_settings_as_public_scripts_have_them() -> None:
    """Sizes of numpy's, torch's or floats; matrices with a leading 1 or of another dtype; a list; flat opacities."""
    scene = random_scene(8, n=20)
    arguments: dict[str, Any] = {"means2D": None, **arguments_of(scene.leaves(torch.float32))}
    plain = settings_of(scene, torch.float32)
    expected = GaussianRasterizer(plain)(**arguments)
    width, height = plain.image_width, plain.image_height
    assert expected[0].any()
    for changes in (
        {"image_width": np.int64(width), "image_height": np.int32(height)},
        {"image_width": torch.tensor(width), "image_height": float(height)},
        {"viewmatrix": plain.viewmatrix[None], "projmatrix": plain.projmatrix[None]},
        {"bg": plain.bg.double().tolist()},
        {"tanfovx": torch.tensor(plain.tanfovx, dtype=torch.float64), "scale_modifier": torch.tensor(1.0)},
    ):
        for found, image in zip(GaussianRasterizer(plain._replace(**changes))(**arguments), expected, strict=True):
            assert torch.equal(found, image), changes
    flat = {**arguments, "opacities": arguments["opacities"][:, 0]}
    assert torch.equal(GaussianRasterizer(plain)(**flat)[0], expected[0])
    apart = {**arguments, "dc": arguments["shs"][:, :1], "shs": arguments["shs"][:, 1:]}
    assert torch.equal(GaussianRasterizer(plain)(**apart)[0], expected[0])
    double = settings_of(scene, torch.float64)
    torch.testing.assert_close(GaussianRasterizer(double)(**arguments)[0], expected[0], atol=1e-2, rtol=0)
    with pytest.raises(TypeError, match="image_width is 40.5"):
        GaussianRasterizer(plain._replace(image_width=40.5))(**arguments)


def test_mark_visible_is_what_lies_behind_the_near_plane() -> None:
    scene = random_scene(9, n=60)
    visible = GaussianRasterizer(settings_of(scene)).markVisible(scene.tensors["means"])
    viewmat = scene.tensors["viewmat"]
    assert torch.equal(visible, (scene.tensors["means"] @ viewmat[:3, :3].T + viewmat[:3, 3])[:, 2] > 0.2)
    assert visible.any() and not visible.all() and visible.dtype == torch.bool


def test_what_only_other_builds_have_says_what_to_use() -> None:
    scene = random_scene(10, n=3)
    with pytest.raises(TypeError, match="has no projmatrix_raw; .*pass viewmat"):
        settings_of(scene, projmatrix_raw=torch.eye(4))
    with pytest.raises(TypeError, match="has no kernel_size; .*antialiasing"):
        settings_of(scene, kernel_size=0.1)
    with pytest.raises(TypeError, match="has no theta; .*pass viewmat"):
        GaussianRasterizer(settings_of(scene))(
            means2D=None, theta=torch.zeros(3), **arguments_of(scene.leaves())
        )  # fmt: skip


def test_features_of_any_number_of_channels() -> None:
    scene = random_scene(11, n=30, sh_degree=None, channels=6)
    color, *_ = GaussianRasterizer(settings_of(scene))(means2D=None, **arguments_of(scene.leaves()))
    torch.testing.assert_close(color, scene.render(rasterize).color, atol=1e-9, rtol=1e-9)
    assert color.shape == (6, 30, 40) and color.any()

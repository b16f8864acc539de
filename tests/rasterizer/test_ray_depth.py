"""Depths along each pixel's ray: what must hold of them whatever the implementation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from diff_gaussian_rasterization import Thresholds, rasterize
from diff_gaussian_rasterization.reference import axes, pixel_samples, rasterize_reference
from tests.rasterizer.scenes import RasterScene, normal, random_scene, uniform

CAMERA: dict[str, Any] = dict(fx=40.0, fy=44.0, cx=19.0, cy=16.0, width=40, height=32, depth_model="ray")
RAYS = {"depth_model": "ray"}


def one_gaussian(mean: list[float], scales: list[float], quat: list[float], opacity: float = 0.9) -> RasterScene:
    tensors = {
        "means": torch.tensor([mean]),
        "scales": torch.tensor([scales]),
        "quats": torch.tensor([quat]),
        "opacities": torch.tensor([[opacity]]),
        "colors": torch.ones(1, 3),
        "viewmat": torch.eye(4),
        "background": torch.zeros(3),
    }
    return RasterScene("one", {name: tensor.double() for name, tensor in tensors.items()}, CAMERA)


def depths_of(scene: RasterScene, **settings: Any) -> Tensor:
    """(H, W) depths of a scene of one Gaussian, NaN where it is not seen."""
    output = scene.render(rasterize, **settings)
    return torch.where(output.alpha > 0, output.depth / output.alpha, math.nan)[0]


def rays(settings: dict[str, Any]) -> Tensor:
    """(H, W, 3) through the pixels, z = 1."""
    samples = pixel_samples(settings["width"], settings["height"], torch.zeros((), dtype=torch.float64))
    u, v = samples.reshape(settings["height"], settings["width"], 2).unbind(-1)
    x, y = (u - settings["cx"]) / settings["fx"], (v - settings["cy"]) / settings["fy"]
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def test_a_disc_has_the_depths_of_its_plane() -> None:
    """But for the 0.3 pixels² of blur, which take 1 % of the slope of a disc of 5 pixels."""
    scene = one_gaussian([0.2, -0.1, 40.0], [5.0, 5.0, 1e-6], [0.9, 0.15, 0.2, 0.0])
    normal_of_disc = axes(scene.tensors["quats"], torch.ones(1, 3, dtype=torch.float64))[0, :, 2]
    found, center = depths_of(scene), scene.tensors["means"][0]
    plane = (normal_of_disc @ center) / (rays(CAMERA) @ normal_of_disc)
    seen = ~found.isnan()
    moved = (plane - center[2])[seen].abs()
    assert seen.sum() > 300 and moved.max() > 4.0
    assert (found - plane)[seen].abs().max() <= 0.025 * moved.max()


def test_the_depth_is_where_the_density_is_greatest_but_for_its_second_order() -> None:
    """z* = z_plane·(1 − D²·Var(z | pixel)/z²), D the ray's Mahalanobis distance: an identity without the blur."""
    rng = torch.Generator().manual_seed(3)
    camera = {**CAMERA, "fx": 400.0, "fy": 440.0}
    for _ in range(20):
        scales = (3.0 * torch.exp(0.5 * normal(rng, 3))).tolist()
        scene = one_gaussian([0.5, -0.4, 90.0], scales, normal(rng, 4).tolist()).with_settings(**camera)
        shape = axes(scene.tensors["quats"], scene.tensors["scales"])[0]
        precision = torch.linalg.inv(shape @ shape.T)
        p, r = scene.tensors["means"][0], rays(camera)
        exact = (r @ precision @ p) / ((r @ precision) * r).sum(-1)
        offset = exact[..., None] * r - p
        plane = exact / (1 - ((offset @ precision) * offset).sum(-1) / (p @ precision @ p))
        found = depths_of(scene)
        seen = ~found.isnan()
        error, moved = (found - plane)[seen].abs(), (plane - p[2])[seen].abs()
        assert seen.sum() > 300 and moved.max() > 0.01
        assert error.max() <= 0.02 * moved.max(), scales


@pytest.mark.parametrize("seed", range(6))
def test_no_splat_is_drawn_outside_its_own_depths(seed: int) -> None:
    """|z_i − z| within its reach of σ_z, to first order in 1/z; never nearer than half of z, nor behind the camera."""
    for one in range(8):
        scene = random_scene(seed, n=8, kinds=["ordinary", "needle", "huge", "border"], **RAYS).rows([one])
        found, z = depths_of(scene), scene.render(rasterize, depth_model="center")
        center = (z.depth / z.alpha)[0]
        seen = ~found.isnan()
        turn = scene.tensors["viewmat"][:3, :3]
        depth_axis = (turn @ axes(scene.tensors["quats"], scene.tensors["scales"])[0])[2]
        sigma = depth_axis.norm()
        shift = (1 / found - 1 / center)[seen].abs()
        assert (shift <= 3.33 * sigma / center[seen] ** 2 * (1 + 1e-9)).all()
        assert (found[seen] >= 0.4 * center[seen]).all()
        assert (1 / found[seen] >= 0.5 / center[seen] * (1 - 1e-9)).all()


@pytest.mark.parametrize("alpha_min", [1 / 255, 1e-6])
def test_a_gaussian_around_the_camera_is_held_in_front_of_it(alpha_min: float) -> None:
    """A needle that comes from behind the camera: the bound ½ on z/z_i is approached and not passed."""
    turn = -(math.pi / 2 - 0.05)
    scene = one_gaussian([0.0, 0.0, 1.0], [3.0, 0.1, 0.1], [math.cos(turn / 2), 0.0, math.sin(turn / 2), 0.0], 0.9999)
    inverse = 1 / depths_of(scene, thresholds=Thresholds(alpha_min=alpha_min))
    inverse = inverse[inverse.isfinite()]
    assert 0.5 - 1e-9 <= inverse.min() < 0.8 and 1.2 < inverse.max() <= 1.5 + 1e-9


def test_balls_needles_and_points() -> None:
    ball = depths_of(one_gaussian([0.0, 0.0, 5.0], [0.4, 0.4, 0.4], [1.0, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(ball[~ball.isnan()], torch.full_like(ball[~ball.isnan()], 5.0), rtol=0, atol=0.02)
    # A needle that comes towards the camera, bent aside: its near end is drawn nearer.
    needle = depths_of(one_gaussian([0.0, 0.0, 6.0], [1.0, 0.01, 0.01], [math.cos(0.5), 0.0, math.sin(0.5), 0.0]))
    seen = ~needle.isnan()
    columns = torch.arange(40).expand(32, 40)[seen]
    depth = needle[seen]
    assert depth[columns < 17].min() > 6.3 and depth[columns > 21].max() < 5.8
    # Smaller than a pixel: its center's depth, whatever its shape.
    point = depths_of(one_gaussian([0.1, 0.1, 6.0], [0.004, 0.0004, 0.0004], [0.7, 0.1, 0.7, 0.2]))
    assert (point[~point.isnan()] - 6.0).abs().max() < 2e-3


@pytest.mark.parametrize("depth_model", ["center", "ray"])
def test_color_alpha_order_and_radii_do_not_depend_on_the_depth_model(depth_model: str) -> None:
    scene = random_scene(5, n=60)
    for dtype in (torch.float32, torch.float64):
        one, other = scene.render(rasterize, dtype), scene.render(rasterize, dtype, depth_model=depth_model)
        for name in ("color", "alpha", "radii", "means2d"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        assert torch.equal(one.depth, other.depth) == (depth_model == "center")


def test_a_tilted_plane_of_discs_is_thinner_along_rays() -> None:
    """Along rays the spread of the centers falls to λ/(S + λ) of itself, S the variance of the discs' footprint."""
    tilt, size, focal = math.radians(60.0), 4 * 2.0 / 300, 300.0
    along = torch.tensor([math.cos(tilt), 0.0, math.sin(tilt)], dtype=torch.float64)
    steps = 0.35 * size * torch.arange(-60, 61, dtype=torch.float64)[:, None]
    n = len(steps)
    tensors = {
        "means": torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64) + steps * along,
        "scales": torch.tensor([size, size, 1e-5], dtype=torch.float64).expand(n, 3).contiguous(),
        "quats": torch.tensor([math.cos(tilt / 2), 0.0, -math.sin(tilt / 2), 0.0], dtype=torch.float64).repeat(n, 1),
        "opacities": torch.full((n, 1), 0.1, dtype=torch.float64),
        "colors": torch.zeros(n, 3, dtype=torch.float64),
        "viewmat": torch.eye(4, dtype=torch.float64),
        "background": torch.zeros(3, dtype=torch.float64),
    }
    scene = RasterScene("plane", tensors, dict(fx=focal, fy=focal, cx=8.0, cy=8.0, width=16, height=16))
    spread = {model: scene.render(rasterize, depth_model=model).distortion.mean().sqrt() for model in ("center", "ray")}
    footprint = (focal * size * math.cos(tilt) / 2.0) ** 2
    expected = 0.3 / (footprint + 0.3)
    assert spread["center"] > 0.005
    assert 0.5 * expected < spread["ray"] / spread["center"] < 2.0 * expected


def test_float32_is_close_to_float64() -> None:
    """The slope is a product of minors, so that needles and discs keep their digits."""
    for seed in range(6):
        scene = random_scene(seed, n=60, kinds=["ordinary", "needle", "huge"], **RAYS)
        expected, found = scene.render(rasterize_reference), scene.render(rasterize, torch.float32)
        hit = expected.alpha > 0.05
        error = ((found.depth.double() - expected.depth).abs() / expected.depth)[hit]
        assert hit.any() and error.quantile(0.99) < 1e-4 and error.max() < 1e-2, seed


def test_the_median_is_the_depth_where_half_of_the_light_is_taken() -> None:
    for model in ("center", "ray"):
        scene = random_scene(7, n=15, kinds=["ordinary"], depth_model=model)
        expected = scene.render(rasterize_reference, median_depth=True)
        found = scene.render(rasterize, median_depth=True)
        assert expected.median_depth is not None and found.median_depth is not None
        torch.testing.assert_close(found.median_depth, expected.median_depth, rtol=1e-12, atol=0)
        assert torch.equal(found.median_depth > 0, found.alpha >= 0.5) and (found.alpha < 0.5).any()
        assert found.statistics is None and scene.render(rasterize, statistics=True).median_depth is None


# ---- a sensor's depth


def test_a_sensor_takes_the_place_of_the_mean_only_where_it_measured() -> None:
    rng = torch.Generator().manual_seed(0)
    scene = random_scene(8, n=60, **RAYS)
    shape = (1, scene.settings["height"], scene.settings["width"])
    measured = uniform(rng, *shape, low=1.0, high=8.0) * (uniform(rng, *shape) > 0.5)
    plain, about = scene.render(rasterize), scene.render(rasterize, sensor_depth=measured)
    known = measured > 0
    assert torch.equal(about.distortion[~known], plain.distortion[~known])
    # About another point than the mean a sum of squares is larger by A·(distance)², Steiner.
    apart = plain.alpha * (plain.depth / plain.alpha.clamp(min=1e-12) - measured) ** 2
    hit = known & (plain.alpha > 0)
    torch.testing.assert_close(about.distortion[hit], (plain.distortion + apart)[hit], rtol=1e-9, atol=1e-12)
    bounded = scene.render(rasterize, sensor_depth=measured, sensor_limit=0.5).distortion
    assert (bounded[known] <= 0.25 * plain.alpha[known] * (1 + 1e-12)).all() and (bounded < about.distortion).any()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(depth_model="rays"), ["depth_model", "'rays'", "center, ray"]),
        (dict(depth_model="ray", thresholds=Thresholds(alpha_min=0.0)), ["alpha_min", "ray"]),
        (dict(sensor_depth=torch.ones(1, 30, 40)), ["sensor_depth", "'center'", "'ray'"]),
        (dict(depth_model="ray", sensor_depth=torch.ones(30, 40)), ["sensor_depth", "(30, 40)"]),
        (dict(depth_model="ray", sensor_limit=-1.0), ["sensor_limit", "-1"]),
        (dict(depth_model="ray", sensor_limit=math.nan), ["sensor_limit", "nan"]),
    ],
    ids=str,
)
def test_bad_settings_are_named(settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        random_scene(1, n=4).render(rasterize, torch.float32, **settings)
    assert all(word in str(error.value) for word in words), error.value

"""Central differences in float64 through the whole of `rasterize`: every input, every image alone and all together.

A pixel's rules make choices (who is hit, who comes first, what is clamped). No derivative sees them, so the scenes are
such that no choice changes within a step; that, and that there is something to see, is asserted first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from diff_gaussian_rasterization import Thresholds, rasterize
from diff_gaussian_rasterization.reference import (
    COMPENSATION_FLOOR,
    FRUSTUM_MARGIN,
    blend_weights,
    depth_reach,
    pair_depths,
    pixel_samples,
    splat_alphas,
    surface_labels,
)
from tests.rasterizer.scenes import (
    CAMERA_TENSORS,
    IMAGES,
    RasterScene,
    backward,
    forward,
    random_cotangents,
    random_scene,
    reference_splats,
)

STEP = 1e-6
TOLERANCE = 1e-6
RULES = Thresholds()

SCENES: dict[str, dict[str, Any]] = {
    "harmonics": dict(seed=1, n=3, kinds=["ordinary"], sh_degree=3),
    "needles": dict(seed=2, n=6, kinds=["ordinary", "needle"], sh_degree=None),
    "opaque": dict(seed=239, n=6, kinds=["opaque"], sh_degree=1),
    "border": dict(seed=4, n=5, kinds=["border"], sh_degree=0),
    "antialiased": dict(seed=5, n=5, kinds=["ordinary", "needle"], sh_degree=None, antialiasing=True),
}
# Depths along rays; some Gaussians of "rays" and all of "huge" are so deep that they are held in front of the camera.
RAY_SCENES: dict[str, dict[str, Any]] = {
    "rays": dict(seed=5, n=5, kinds=["ordinary", "needle"], sh_degree=None, depth_model="ray", scale_modifier=0.35),
    "rays, border": dict(seed=4, n=5, kinds=["border"], sh_degree=0, depth_model="ray", antialiasing=True),
    "rays, huge": dict(seed=11, n=4, kinds=["huge"], sh_degree=None, depth_model="ray"),
}
SCENES |= RAY_SCENES
SURFACES = (  # scene, space, gap: such that each Gaussian shares a surface with another somewhere
    ("opaque", "linear", 0.5),
    ("border", "inverse", 0.5),
    ("rays", "linear", 0.8),
    ("rays, border", "linear", 0.8),
    ("rays, huge", "inverse", 0.8),
)


def deep_splats(tensors: dict[str, Tensor], settings: dict[str, Any], reach: float) -> Tensor:
    """(S,) bool: whose depths along rays are held, since they would otherwise leave (z/2, ∞)."""
    if settings.get("depth_model") != "ray":
        return torch.zeros(0, dtype=torch.bool)
    _, held = reference_splats(tensors, settings)
    _, free = reference_splats(tensors, settings, reach=1e-9)
    return ~torch.isclose(held.slopes, free.slopes, rtol=1e-12, atol=0).all(dim=1)


def surfaces(tensors: dict[str, Tensor], settings: dict[str, Any]) -> Tensor:
    """(P, S) the surface of each splat that is seen, −1 for the others."""
    _, splats = reference_splats(tensors, settings)
    samples = pixel_samples(settings["width"], settings["height"], tensors["means"])
    weights, _, _ = blend_weights(splat_alphas(splats, samples, alpha_max=RULES.alpha_max), RULES)
    z = pair_depths(splats, samples, weights > 0)
    m = z if settings["distortion_space"] == "linear" else 1 / z
    return torch.where(weights > 0, surface_labels(weights, m, settings["distortion_gap"]), -1)


class Choices:
    """What a pixel's rules decide: no derivative knows of these."""

    def __init__(self, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
        self.order, splats = reference_splats(tensors, settings)
        samples = pixel_samples(settings["width"], settings["height"], tensors["means"])
        alphas = splat_alphas(splats, samples, alpha_max=1.0)
        weights, _, self.kept = blend_weights(alphas.clamp(max=RULES.alpha_max), RULES)
        self.seen = weights > 0
        self.held = alphas >= RULES.alpha_max
        self.black = splats.colors <= 0
        floor = tensors["opacities"][self.order, 0] * COMPENSATION_FLOOR**0.5
        self.floored = splats.opacities < floor * (1 + 1e-12)
        points = tensors["means"][self.order] @ tensors["viewmat"][:3, :3].T + tensors["viewmat"][:3, 3]
        half_view = torch.tensor([settings["width"] / settings["fx"], settings["height"] / settings["fy"]]) / 2
        reach = depth_reach(RULES.alpha_min)
        self.deep = deep_splats(tensors, settings, reach)
        self.outside = (points[:, :2] / points[:, 2:]).abs() > FRUSTUM_MARGIN * half_view

    def __eq__(self, other: object) -> bool:
        return all(torch.equal(value, vars(other)[name]) for name, value in vars(self).items())


def neighbors(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """All that central differences will look at."""
    for name, tensor in tensors.items():
        for entry in range(tensor.numel()):
            for step in (-STEP, STEP):
                moved = tensor.clone()
                moved.view(-1)[entry] += step
                yield {**tensors, name: moved}


def steady(scene: RasterScene, name: str) -> Choices:
    """The scene's choices, of which none changes within a step; each Gaussian is seen."""
    choices = Choices(scene.tensors, scene.settings)
    assert len(choices.order) == len(scene) and choices.seen.any(dim=0).all(), f"{name}: some Gaussian is not seen"
    unchanged = all(Choices(moved, scene.settings) == choices for moved in neighbors(scene.tensors))
    assert unchanged, f"{name}: a choice changes within a step"
    return choices


@cache
def steady_scene(name: str, width: int = 12, height: int = 10) -> tuple[RasterScene, Choices]:
    """A scene in which no choice changes within a step, and in which there is something to see."""
    scene = random_scene(**SCENES[name], width=width, height=height)
    return scene, steady(scene, name)


def assert_something_to_see(scene: RasterScene, images: Sequence[str]) -> None:
    """The images vary, and the gradient of every input that they depend on is not 0, for each Gaussian."""
    output, inputs = forward(rasterize, scene)
    found = backward(output, random_cotangents(output, 0, images), inputs)
    for name in images:
        image = getattr(output, name)
        assert image.std() > 1e-3 * image.abs().max() > 1e-6, f"{name} is nearly constant"
    if "color" not in images:
        for name in {"shs", "colors", "background"} & set(found):
            assert not found.pop(name).any()
    for name, gradient in found.items():
        rows = gradient[None] if name in CAMERA_TENSORS else gradient
        assert rows.flatten(1).abs().amax(dim=1).min() > 1e-6, f"gradient of {name} is 0"


def check(scene: RasterScene, images: Sequence[str]) -> None:
    assert_something_to_see(scene, images)
    names, leaves = list(scene.tensors), scene.leaves()

    def render(*tensors: Tensor) -> tuple[Tensor, ...]:
        arguments: dict[str, Any] = dict(zip(names, tensors, strict=True))
        output = rasterize(**arguments, **scene.settings)
        return tuple(getattr(output, name) for name in images)

    assert gradcheck(render, tuple(leaves.values()), eps=STEP, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("image", ["color", "inv_depth", "depth", "alpha"])
@pytest.mark.slow
def test_one_image(image: str, name: str) -> None:
    check(steady_scene(name)[0], [image])


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("space", ["linear", "inverse"])
def test_distortion(space: str, name: str) -> None:
    check(steady_scene(name)[0].with_settings(distortion_space=space), ["distortion"])


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("space", ["linear", "inverse"])
@pytest.mark.slow
def test_all_images_together(space: str, name: str) -> None:
    check(steady_scene(name)[0].with_settings(distortion_space=space), IMAGES)


@pytest.mark.parametrize("name", RAY_SCENES)
@pytest.mark.parametrize("space", ["linear", "inverse"])
def test_distortion_about_a_sensors_depth(space: str, name: str) -> None:
    """With a limit that some splats are beyond; that others are not shows in their gradients, which are not 0."""
    scene = steady_scene(name)[0].with_settings(distortion_space=space)
    output = scene.render(rasterize)
    measured = torch.where(output.alpha > 0, 1.1 * output.depth / output.alpha.clamp(min=1e-12), 0)
    limit = 0.3 if space == "linear" else 0.05
    measured[0, ::3] = 0
    scene = scene.with_settings(sensor_depth=measured, sensor_limit=limit)
    bounded, free = (scene.render(rasterize, sensor_limit=each).distortion for each in (limit, math.inf))
    assert (bounded < free).any()
    check(scene, ["distortion"])


@pytest.mark.parametrize(("name", "space", "gap"), SURFACES)
def test_distortion_of_surfaces(name: str, space: str, gap: float) -> None:
    """Some pixels see several, and no splat goes from one to another within a step."""
    scene = steady_scene(name)[0].with_settings(distortion_space=space, distortion_gap=gap)
    found = surfaces(scene.tensors, scene.settings)
    assert (found == 0).sum() > 50 and (found > 0).sum() >= 5
    assert all(torch.equal(surfaces(moved, scene.settings), found) for moved in neighbors(scene.tensors))
    apart, whole = (scene.render(rasterize, distortion_gap=each).distortion for each in (gap, math.inf))
    assert apart.sum() < 0.95 * whole.sum()
    check(scene, ["distortion"])


def test_the_scenes_are_what_they_are_for() -> None:
    choices = {name: steady_scene(name)[1] for name in SCENES}
    opaque = choices["opaque"]
    assert opaque.held.any() and (opaque.kept & ~opaque.seen).any(), "no alpha is held, or no pixel ends early"
    assert choices["border"].outside.any(dim=0).all() and not choices["border"].outside.all()
    assert choices["rays, huge"].deep.all()
    assert choices["rays"].deep.any() and not choices["rays"].deep.all()
    assert choices["harmonics"].black.any() and not choices["harmonics"].black.all()
    for name in SCENES:
        assert not choices[name].held.all() and (name == "rays, huge" or (~choices[name].kept).any()), name

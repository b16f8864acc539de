"""The compiled rasterizer against the reference in float64, on random scenes with every kind of Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from diff_gaussian_rasterization import RasterOutput, Thresholds, rasterize
from diff_gaussian_rasterization.reference import Splats, rasterize_reference
from tests.rasterizer.scenes import (
    IMAGES,
    KINDS,
    RasterScene,
    backward,
    forward,
    gradients,
    random_cotangents,
    random_scene,
    reference_splats,
    varied_scene,
)

SEEDS = range(60)
SETS_OF_IMAGES = (IMAGES, *((name,) for name in IMAGES))  # the loss reads all of them, or one alone


@dataclass(frozen=True)
class Truth:
    scene: RasterScene
    output: RasterOutput
    cotangents: dict[str, Tensor]  # incoming gradients of some of the images
    gradients: dict[str, Tensor]  # that they give


@cache
def truth(seed: int) -> Truth:
    """A scene of the family and what the reference says of it."""
    scene = varied_scene(seed)
    output, inputs = forward(rasterize_reference, scene)
    cotangents = random_cotangents(output, seed, SETS_OF_IMAGES[seed // 4 % len(SETS_OF_IMAGES)])
    assert all(getattr(output, name).any() for name in IMAGES), f"seed {seed} shows nothing"
    found = backward(output, cotangents, inputs)
    return Truth(scene, RasterOutput(*(detached(part) for part in output)), cotangents, found)


def detached(part: Any) -> Any:
    return part.detach() if isinstance(part, Tensor) else part


def worst(found: Tensor, expected: Tensor) -> tuple[float, float]:
    """The relative error in the Euclidean norm, and the largest error relative to the largest value."""
    error = found.double() - expected
    if not (expected != 0).any():
        return float(error.abs().max()), 0.0
    return float(error.norm() / expected.norm()), float(error.abs().max() / expected.abs().max())


def check_gradients(true: Truth, dtype: torch.dtype, tolerance: float) -> None:
    found = gradients(rasterize, true.scene, true.cotangents, dtype)
    for name, gradient in true.gradients.items():
        error = max(worst(found[name], gradient))
        of = ", ".join(true.cotangents)
        assert error <= tolerance, f"{true.scene.name}, loss of {of}: gradient of {name} is off by {error:.2g}"


@pytest.mark.parametrize("seed", SEEDS)
def test_float32_images(seed: int) -> None:
    true = truth(seed)
    output = true.scene.render(rasterize, torch.float32)
    for name in IMAGES:
        expected = getattr(true.output, name)
        scale = 1.0 if name in ("color", "alpha") else float(expected.abs().max())
        error = (getattr(output, name).double() - expected).abs().amax(dim=0) / scale
        share = float((error <= 1e-4).double().mean())
        assert share >= 0.999, (
            f"seed {seed}: {name} is within 1e-4 at {share:.2%} of pixels only, worst {error.max():.2g}"
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_float32_gradients(seed: int) -> None:
    check_gradients(truth(seed), torch.float32, 1e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_float64(seed: int) -> None:
    true = truth(seed)
    output = true.scene.render(rasterize)
    for name in IMAGES:
        error = max(worst(getattr(output, name), getattr(true.output, name)))
        assert error <= 1e-9, f"seed {seed}: {name} is off by {error:.2g}"
    check_gradients(true, torch.float64, 1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_alone(kind: str, dtype: torch.dtype) -> None:
    """So that no kind hides among others; each is also drawn without the rest of the image to dilute an error."""
    scene = random_scene(100 + KINDS.index(kind), n=40, kinds=[kind])
    expected, output = scene.render(rasterize_reference), scene.render(rasterize, dtype)
    if kind == "behind":
        assert not output.radii.any() and not output.alpha.any()
        return
    assert kind == "beyond" or expected.alpha.max() > 0.05
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    for name in IMAGES:
        image = getattr(expected, name)
        error = (getattr(output, name).double() - image).abs().amax(dim=0) / image.abs().max().clamp(min=1e-6)
        assert float((error <= tolerance).double().mean()) >= 0.999, f"{name}: {error.max():.2g}"


@pytest.mark.parametrize("thinning", [0.5, 1e-4], ids=["compensated", "floored"])
def test_antialiasing_of_thin_splats(thinning: float) -> None:
    """Below some 0.002 pixels of width all compensation has reached its floor, where it must not be differentiated."""
    scene = random_scene(201, n=30, kinds=["opaque"], antialiasing=True)
    scales = scene.tensors["scales"].clone()
    scales[:, 1:] *= thinning
    scene = scene.with_tensors(scales=scales, opacities=torch.full((30, 1), 0.999, dtype=torch.float64))
    _, splats = reference_splats(scene.tensors, scene.settings)
    floored = splats.opacities <= 0.999 * 0.005 * (1 + 1e-9)
    assert floored.all() if thinning < 0.1 else not floored.any()
    output = scene.render(rasterize_reference)
    assert output.alpha.any()
    cotangents = random_cotangents(output, 201)
    check_gradients(
        Truth(scene, output, cotangents, gradients(rasterize_reference, scene, cotangents)), torch.float64, 1e-9
    )


@pytest.mark.parametrize(
    "thresholds", [Thresholds(0.0, 0.99, 0.0), Thresholds(0.02, 0.9, 0.05), Thresholds(alpha_max=0.999)], ids=str
)
def test_other_thresholds(thresholds: Thresholds) -> None:
    scene = random_scene(200, n=60, thresholds=thresholds)
    cotangents = random_cotangents(scene.render(rasterize_reference), 200)
    expected, found = (gradients(rasterizer, scene, cotangents) for rasterizer in (rasterize_reference, rasterize))
    for name, image in scene.render(rasterize_reference)._asdict().items():
        if name in IMAGES:
            assert max(worst(getattr(scene.render(rasterize), name), image)) <= 1e-9, name
    for name, gradient in expected.items():
        assert max(worst(found[name], gradient)) <= 1e-9, name


@pytest.mark.parametrize("seed", range(12))
def test_radii(seed: int) -> None:
    """Positive for whatever touches a pixel, 0 for what is behind and for what stays beside the image."""
    scene, touched = truth(seed).scene, truth(seed).output.radii > 0
    radii = scene.render(rasterize).radii
    assert radii.dtype == torch.int32 and radii.shape == (len(scene),)
    assert touched.any() and not touched.all()
    assert radii[touched].all(), (
        f"touch a pixel, but have radius 0: {torch.nonzero(touched & (radii == 0)).flatten().tolist()}"
    )
    order, splats = reference_splats(scene.tensors, scene.settings)
    drawn = torch.zeros(len(scene), dtype=torch.bool).index_fill(0, order, True)
    assert not radii[~drawn].any()
    assert not radii[order[beside_image(splats, scene)]].any()


def beside_image(splats: Splats, scene: RasterScene) -> Tensor:
    """Whether the box around the ellipse where alpha reaches 1/255 holds no sample, or there is no such ellipse."""
    size = torch.tensor([scene.settings["width"], scene.settings["height"]])
    reach = torch.sqrt(2 * torch.log(255 * splats.opacities))[:, None]  # NaN where too faint
    half = reach * splats.covariances.diagonal(dim1=1, dim2=2).sqrt()
    first = torch.ceil(splats.means2d - half - 0.5).clamp(min=0)
    last = torch.minimum(torch.floor(splats.means2d + half - 0.5), size - 1)
    return ~(first <= last).all(dim=1)


def test_radii_of_the_invisible() -> None:
    """Too faint at its very center, and ordinary but pushed out of the image."""
    scene = random_scene(300, n=30, kinds=["ordinary"])
    faint = scene.with_tensors(opacities=torch.full((30, 1), 1 / 255 - 1e-6, dtype=torch.float64))
    assert not faint.render(rasterize).radii.any()
    assert scene.render(rasterize).radii.any()
    assert not scene.with_settings(cx=1e4).render(rasterize).radii.any()


def test_a_tie_in_depth_goes_by_index() -> None:
    one, two = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    scene = random_scene(301, n=2, kinds=["ordinary"], sh_degree=None, move=False)
    same = scene.rows([0, 0]).with_tensors(colors=torch.stack([one, two]).double())
    seen = same.with_tensors(opacities=torch.full((2, 1), 0.9, dtype=torch.float64), background=torch.zeros(3).double())
    color = seen.render(rasterize).color
    hit = color[0] > 0.1
    assert hit.any() and (color[0][hit] > color[1][hit]).all()
    torch.testing.assert_close(color, seen.render(rasterize_reference).color)


@pytest.mark.parametrize("near", [0.0, 0.2, 2.5])
def test_near_culls_what_is_at_or_before_it(near: float) -> None:
    scene = random_scene(302, n=40, kinds=["ordinary"], move=False, near=near)
    z = scene.tensors["means"][:, 2].clone()
    z[0] = near
    scene = scene.with_tensors(means=torch.cat([scene.tensors["means"][:, :2], z[:, None]], dim=1))
    output = scene.render(rasterize)
    assert not output.radii[z <= near].any() and output.radii[z > near].any()
    torch.testing.assert_close(output.depth, scene.render(rasterize_reference).depth, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("scale_modifier", [0.25, 3.0])
def test_scale_modifier(scale_modifier: float) -> None:
    scene = random_scene(303, n=40)
    modified = scene.with_settings(scale_modifier=scale_modifier)
    multiplied = scene.with_tensors(scales=scene.tensors["scales"] * scale_modifier)
    assert not torch.equal(modified.render(rasterize).color, scene.render(rasterize).color)
    torch.testing.assert_close(modified.render(rasterize).color, multiplied.render(rasterize).color)
    cotangents = random_cotangents(modified.render(rasterize_reference), 303)
    expected = gradients(rasterize_reference, modified, cotangents)["scales"]
    assert max(worst(gradients(rasterize, modified, cotangents)["scales"], expected)) <= 1e-9


def test_a_lower_degree_ignores_the_other_coefficients() -> None:
    scene = random_scene(304, n=30, sh_degree=3)
    low = scene.with_settings(sh_degree=1)
    cut = low.with_tensors(shs=scene.tensors["shs"][:, :4])
    assert torch.equal(low.render(rasterize).color, cut.render(rasterize).color)
    cotangents = random_cotangents(low.render(rasterize), 304, ["color"])
    gradient = gradients(rasterize, low, cotangents)["shs"]
    assert gradient.shape == (30, 16, 3) and gradient[:, :4].any() and not gradient[:, 4:].any()

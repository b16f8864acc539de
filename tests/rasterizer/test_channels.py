"""Features of any number of channels: the images and gradients of the reference, and nothing else changes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

from diff_gaussian_rasterization import ops, rasterize
from diff_gaussian_rasterization.reference import rasterize_reference
from tests.rasterizer.scenes import IMAGES, RasterScene, backward, forward, random_cotangents, random_scene
from tests.rasterizer.test_against_reference import Truth, check_gradients, worst
from tests.rasterizer.test_determinism import assert_same_bits, everything
from tests.rasterizer.test_gradcheck import check, steady_scene

COMPILED = ops.CHANNEL_COUNTS
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 35)  # compiled, filled up, and in two and three chunks
PARAMS_H = Path(__file__).parents[2] / "submodules/diff-gaussian-rasterization/csrc/params.h"


def scene_of(channels: int, **settings: object) -> RasterScene:
    return random_scene(60 + channels, sh_degree=None, channels=channels, **settings)


@cache
def truth(channels: int) -> Truth:
    scene = scene_of(channels, distortion_space=("linear", "inverse")[channels % 2])
    output, inputs = forward(rasterize_reference, scene)
    cotangents = random_cotangents(output, channels)
    assert output.color.shape == (channels, 30, 40) and (output.color.flatten(1).std(dim=1) > 1e-3).all()
    found = backward(output, cotangents, inputs)
    assert all((found["colors"][:, c] != 0).any() for c in range(channels)), "a channel has no gradient"
    return Truth(scene, output, cotangents, found)


def test_the_compiled_numbers_are_the_kernels() -> None:
    assert f"CHANNEL_COUNTS[] = {{{', '.join(map(str, COMPILED))}}}" in PARAMS_H.read_text()


@pytest.mark.parametrize("channels", CHANNELS)
def test_float64(channels: int) -> None:
    true = truth(channels)
    output = true.scene.render(rasterize)
    for name in IMAGES:
        assert max(worst(getattr(output, name), getattr(true.output, name).detach())) <= 1e-9, name
    check_gradients(true, torch.float64, 1e-9)


@pytest.mark.parametrize("channels", CHANNELS)
def test_float32(channels: int) -> None:
    true = truth(channels)
    error = (true.scene.render(rasterize, torch.float32).color.double() - true.output.color).abs().amax(dim=0)
    assert float((error <= 1e-4).double().mean()) >= 0.999
    check_gradients(true, torch.float32, 1e-3)


@pytest.mark.parametrize("channels", [1, 2, 4, 8, 16, 18])
@pytest.mark.slow
def test_central_differences(channels: int) -> None:
    """One image alone, and all at once."""
    scene = steady_scene("needles", 8, 6)[0]
    rng = torch.Generator().manual_seed(channels)
    features = {
        "colors": torch.rand(6, channels, generator=rng, dtype=torch.float64),
        "background": torch.rand(channels, generator=rng, dtype=torch.float64),
    }
    check(scene.with_tensors(**features), ["color"])
    check(scene.with_tensors(**features), IMAGES)


@pytest.mark.parametrize("channels", [1, 4, 8, 16, 21])
def test_the_same_bits_for_any_number_of_threads(channels: int) -> None:
    scene = scene_of(channels, n=1500, width=100, height=70)
    absgrad = channels <= ops.MAX_CHANNELS
    alone = everything(scene, torch.float32, 1, absgrad)
    assert all(value.any() for name, value in alone.items() if name != "num_nonfinite")
    for threads in (2, 3):
        assert_same_bits(everything(scene, torch.float32, threads, absgrad), alone, f"with {threads} threads")


def test_a_channel_does_not_see_the_others() -> None:
    """Its image and the other images are, to rounding, what they are for it alone."""
    scene = scene_of(21)
    full = scene.render(rasterize)
    for c in (0, 5, 20):
        t = scene.tensors
        alone = scene.with_tensors(colors=t["colors"][:, c : c + 1], background=t["background"][c : c + 1])
        output = alone.render(rasterize)
        torch.testing.assert_close(output.color[0], full.color[c], rtol=1e-12, atol=1e-12)
        for name in IMAGES[1:]:
            torch.testing.assert_close(getattr(output, name), getattr(full, name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("channels", [2, 16, 17])
def test_a_channel_that_is_not_finite_culls_its_gaussian(channels: int) -> None:
    scene = scene_of(channels, n=30)
    colors = scene.tensors["colors"].clone()
    seen = scene.render(rasterize).radii > 0
    rows = torch.nonzero(seen).flatten()[:2].tolist()
    colors[rows[0], channels - 1], colors[rows[1], 0] = torch.nan, torch.inf
    broken = scene.with_tensors(colors=colors)
    output = broken.render(rasterize)
    assert output.num_nonfinite == 2 and not output.radii[rows].any()
    others = [i for i in range(30) if i not in rows]
    torch.testing.assert_close(output.color, scene.rows(others).render(rasterize).color)


def test_absgrad_is_gathered_only_when_asked_for() -> None:
    scene = random_scene(5, n=20)
    gradients = []
    for absgrad in (False, True):
        leaves = scene.leaves(torch.float32)
        output = rasterize(**leaves, **scene.settings, absgrad=absgrad)
        (output.color.square().sum() + output.distortion.sum()).backward()
        assert hasattr(output.means2d, "absgrad") == absgrad
        gradients.append([leaf.grad for leaf in leaves.values()])
    assert all(gradient is not None and gradient.any() for gradient in gradients[0])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_a_receiver_asks_for_absgrad_and_receives_it() -> None:
    scene = random_scene(5, n=20)
    receiver = torch.full((20, 2), torch.nan, dtype=torch.float64, requires_grad=True)
    output = rasterize(**scene.leaves(), **scene.settings, absgrad_receiver=receiver)
    output.color.square().sum().backward()
    assert receiver.grad is not None and receiver.grad.any()
    assert torch.equal(receiver.grad, output.means2d.absgrad)  # type: ignore[attr-defined]
    assert torch.equal(output.color, scene.render(rasterize).color)

"""The same bits, forward and backward, for any number of threads and from one call to the next."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from diff_gaussian_rasterization import rasterize
from tests.rasterizer.scenes import IMAGES, RasterScene, random_cotangents, random_scene

Bits = dict[str, Tensor]


def everything(scene: RasterScene, dtype: torch.dtype, threads: int, absgrad: bool = True) -> Bits:
    """All outputs, statistics and gradients. (The fixture in conftest.py puts the number of threads back.)"""
    torch.set_num_threads(threads)
    leaves = scene.leaves(dtype)
    output = rasterize(**leaves, **scene.settings, statistics=True, absgrad=absgrad)
    output.means2d.retain_grad()
    cotangents = random_cotangents(output, 0)
    torch.autograd.backward([getattr(output, name) for name in IMAGES], [v.to(dtype) for v in cotangents.values()])
    assert output.statistics is not None and output.means2d.grad is not None
    bits = {name: getattr(output, name).detach() for name in (*IMAGES, "radii", "means2d", "num_nonfinite")}
    bits |= output.statistics._asdict()
    bits["means2d.grad"] = output.means2d.grad
    if absgrad:
        bits["means2d.absgrad"] = output.means2d.absgrad  # type: ignore[attr-defined]
    for name, leaf in leaves.items():
        assert leaf.grad is not None
        bits[f"gradient of {name}"] = leaf.grad
    return bits


def assert_same_bits(found: Bits, expected: Bits, what: str) -> None:
    for name, value in expected.items():
        assert torch.equal(found[name], value), f"{name} differs {what}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("settings", [{}, {"antialiasing": True, "distortion_space": "inverse"}], ids=str)
def test_the_same_bits_for_any_number_of_threads(settings: dict[str, Any], dtype: torch.dtype) -> None:
    scene = random_scene(1, n=3000, width=150, height=110, sh_degree=2, **settings)
    alone = everything(scene, dtype, 1)
    assert all(value.any() for name, value in alone.items() if name != "num_nonfinite"), "something is 0 everywhere"
    assert all(value.isfinite().all() for value in alone.values())
    for threads in (2, 4, 1):
        assert_same_bits(everything(scene, dtype, threads), alone, f"between 1 and {threads} threads")


def test_the_same_bits_for_a_crowded_tile() -> None:
    """A single tile that thousands share: whoever splits its list must still add up in one order."""
    scene = random_scene(2, n=5000, width=16, height=16, kinds=["ordinary", "huge"], sh_degree=None)
    faint = scene.with_tensors(opacities=scene.tensors["opacities"] * 0.02)
    alone = everything(faint, torch.float32, 1)
    for threads in (2, 4):
        assert_same_bits(everything(faint, torch.float32, threads), alone, f"between 1 and {threads} threads")


def test_the_gaussians_beside_do_not_change_a_pixels_bits() -> None:
    """Which lane, tile or block a splat falls in changes nothing: the image is that of the visible ones alone."""
    scene = random_scene(3, n=300, width=70, height=50)
    full = scene.render(rasterize, torch.float32)
    visible = torch.nonzero(full.radii > 0).squeeze(1)
    assert 0 < len(visible) < 300
    alone = scene.rows(visible).render(rasterize, torch.float32)
    for name in IMAGES:
        assert torch.equal(getattr(full, name), getattr(alone, name)), name

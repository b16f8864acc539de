"""Spherical harmonics in two tensors give the bits of one, with gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, library

from diff_gaussian_rasterization import ops, rasterize
from diff_gaussian_rasterization.reference import rasterize_reference
from tests.rasterizer.scenes import RasterScene, gradients, random_cotangents, random_scene
from tests.rasterizer.test_opcheck import cotangents as some_like
from tests.rasterizer.test_opcheck import project_arguments


def in_two(scene: RasterScene) -> RasterScene:
    shs = scene.tensors["shs"]
    return scene.with_tensors(shs=shs[:, :1].contiguous(), sh_rest=shs[:, 1:].contiguous())


@pytest.mark.parametrize("used", [0, 1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 37])  # ragged in every vector width
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_tensors_are_one(dtype: torch.dtype, n: int, used: int) -> None:
    scene = random_scene(7, n=n, width=30, height=20, sh_degree=3).with_settings(sh_degree=used)
    cotangents = random_cotangents(scene.render(rasterize), 3)
    whole, parts = (gradients(rasterize, each, cotangents, dtype) for each in (scene, in_two(scene)))
    by_shs = torch.cat([parts.pop("shs"), parts.pop("sh_rest")], dim=1)
    assert torch.equal(by_shs, whole.pop("shs")) and (n < 2 or by_shs[:, : (used + 1) ** 2].any())
    for name, gradient in whole.items():
        assert torch.equal(parts[name], gradient), name
    output, expected = (each.render(rasterize, dtype) for each in (in_two(scene), scene))
    assert torch.equal(output.color, expected.color) and torch.equal(output.radii, expected.radii)


def test_as_the_reference_has_it() -> None:
    scene = in_two(random_scene(8, n=20, width=24, height=16, sh_degree=2))
    found, expected = (scene.render(each).color for each in (rasterize, rasterize_reference))
    assert expected.max() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opcheck(dtype: torch.dtype) -> None:
    scene = random_scene(9, n=12, width=20, height=12, sh_degree=3, depth_model="ray")

    def arguments(gradient: bool) -> tuple[Any, ...]:
        *given, none = project_arguments(scene, dtype, gradient)
        assert none is None
        shs: Tensor = given[4].detach()
        given[4] = shs[:, :1].contiguous().requires_grad_(gradient)
        return (*given, shs[:, 1:].contiguous().requires_grad_(gradient))

    library.opcheck(torch.ops.diff_gaussian_rasterization.project.default, arguments(True))
    *splats, _, radii, _ = ops.project(*arguments(False))
    backward = torch.ops.diff_gaussian_rasterization.project_backward.default
    library.opcheck(backward, (*arguments(False), radii, *some_like(tuple(splats))))


WRONG = [
    ({"shs": torch.zeros(5, 2, 3)}, r"shs has shape \(5, 2, 3\); it must be \(5, 1, 3\)"),
    ({"sh_rest": torch.zeros(4, 3, 3)}, r"sh_rest has shape \(4, 3, 3\); it must be \(5, K - 1, 3\)"),
    ({"sh_degree": 2}, r"sh_rest has shape \(5, 3, 3\); sh_degree 2 needs \(N, K - 1, 3\) with K of at least 9"),
    ({"shs": None, "colors": torch.zeros(5, 3)}, "sh_rest is given with colors; it goes with shs"),
]


@pytest.mark.parametrize("changes, message", WRONG)
def test_bad_input(changes: dict[str, Any], message: str) -> None:
    scene = in_two(random_scene(9, n=5, width=20, height=12, sh_degree=1))
    tensors = {name: tensor.float() for name, tensor in scene.tensors.items()}
    with pytest.raises(ValueError, match=message):
        rasterize(**{**tensors, **scene.settings, **changes})

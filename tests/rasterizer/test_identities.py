"""What must hold of the distortion whatever the implementation, and that float32 keeps its digits far away."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diff_gaussian_rasterization import rasterize
from diff_gaussian_rasterization.reference import rasterize_reference
from tests.rasterizer.scenes import IMAGES, RasterScene, gradients, random_cotangents, random_scene, uniform

SPACES = ["linear", "inverse"]
DTYPES = [torch.float32, torch.float64]


def weights_of(scene: RasterScene) -> Tensor:
    """(N, H, W) the weight of every Gaussian at every pixel, read off the color image three Gaussians at a time."""
    n = len(scene)
    black = torch.zeros(3, dtype=torch.float64)
    tensors = {name: tensor for name, tensor in scene.tensors.items() if name != "shs"}
    weights = []
    for first in range(0, n, 3):
        marks = torch.zeros(n, 3, dtype=torch.float64)
        for channel in range(min(3, n - first)):
            marks[first + channel, channel] = 1
        marked = RasterScene(scene.name, {**tensors, "colors": marks, "background": black}, scene.settings)
        weights.append(marked.render(rasterize).color)
    return torch.cat(weights)[:n]


def camera_points(scene: RasterScene) -> Tensor:
    viewmat = scene.tensors["viewmat"]
    return scene.tensors["means"] @ viewmat[:3, :3].T + viewmat[:3, 3]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("seed", range(4))
def test_the_images_are_sums_over_the_weights(seed: int, space: str) -> None:
    """Σw, Σw·z, Σw/z; and A·distortion = ½·Σ_ij w_i·w_j·(m_i − m_j)², the pairwise form."""
    scene = random_scene(seed, n=24, sh_degree=None, distortion_space=space)
    w, z = weights_of(scene), camera_points(scene)[:, 2]
    m = z if space == "linear" else 1 / z
    output = scene.render(rasterize)
    alpha = w.sum(dim=0)
    pairwise = torch.einsum("ihw,jhw,ij->hw", w, w, (m[:, None] - m[None]) ** 2) / 2
    assert (pairwise > 1e-6).any()
    torch.testing.assert_close(output.alpha[0], alpha, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(output.depth[0], torch.einsum("ihw,i->hw", w, z), atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(output.inv_depth[0], torch.einsum("ihw,i->hw", w, 1 / z), atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(alpha * output.distortion[0], pairwise, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift", [2.0, 50.0])
def test_adding_a_constant_to_every_depth_leaves_the_distortion(shift: float, seed: int) -> None:
    """Scaled about the camera's center, a Gaussian looks the same: so each is scaled to lie `shift` deeper."""
    scene = random_scene(seed, n=30, sh_degree=None, kinds=["ordinary", "opaque", "needle"])
    center = -torch.linalg.solve(scene.tensors["viewmat"][:3, :3], scene.tensors["viewmat"][:3, 3])
    z = camera_points(scene)[:, 2:]
    factor = (z + shift) / z
    moved = scene.with_tensors(
        means=center + factor * (scene.tensors["means"] - center), scales=factor * scene.tensors["scales"]
    )
    before, after = scene.render(rasterize), moved.render(rasterize)
    assert before.distortion.max() > 0.01
    torch.testing.assert_close(after.depth, before.depth + shift * before.alpha, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(after.distortion, before.distortion, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("space", SPACES)
def test_one_gaussian_has_no_distortion(space: str, dtype: torch.dtype) -> None:
    """Exactly 0, not nearly; and none for any number of Gaussians at one depth."""
    for seed in range(10):
        scene = random_scene(seed, n=1, kinds=["ordinary"], distortion_space=space)
        output = scene.render(rasterize, dtype)
        assert output.alpha.any() and not output.distortion.any(), f"seed {seed}"
    flat = random_scene(20, n=20, kinds=["ordinary"], distortion_space=space, move=False)
    means = flat.tensors["means"].clone()
    means[:, 2] = 3.7
    output = flat.with_tensors(means=means).render(rasterize, dtype)
    assert output.alpha.any() and not output.distortion.any()


@pytest.mark.parametrize("space", SPACES)
def test_the_order_of_the_arguments_does_not_matter(space: str) -> None:
    scene = random_scene(7, n=60, distortion_space=space)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    shuffled = scene.rows(order)
    one, two = scene.render(rasterize, statistics=True), shuffled.render(rasterize, statistics=True)
    for name in IMAGES:
        torch.testing.assert_close(getattr(two, name), getattr(one, name), atol=1e-12, rtol=1e-12)
    assert torch.equal(two.radii, one.radii[order])
    for found, expected in zip(two.statistics or (), one.statistics or (), strict=True):
        torch.testing.assert_close(found, expected[order], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("space", SPACES)
def test_nothing_is_seen_where_nothing_is_hit(space: str) -> None:
    scene = random_scene(8, n=3, kinds=["tiny"], distortion_space=space)
    output = scene.render(rasterize)
    empty = output.alpha[0] == 0
    assert empty.any() and not empty.all()
    for name in ("inv_depth", "depth", "distortion"):
        assert not getattr(output, name)[0][empty].any()
    background = scene.tensors["background"][:, None].expand(3, int(empty.sum()))
    torch.testing.assert_close(output.color[:, empty], background, atol=0, rtol=0)


def far_layers(distance: float, gap: float, foreground: bool) -> RasterScene:
    """Translucent walls `gap` apart; before them, if asked for, something faint that comes first and is far off."""
    rng = torch.Generator().manual_seed(9)
    layers = 8
    z = distance + gap * torch.arange(layers, dtype=torch.float64)
    opacities = uniform(rng, layers, low=0.05, high=0.4)
    if foreground:
        z = torch.cat([torch.tensor([distance / 2], dtype=torch.float64), z])
        opacities = torch.cat([torch.tensor([1.2 / 255], dtype=torch.float64), opacities])
    n = len(z)
    slopes = uniform(rng, n, 2, low=-0.2, high=0.2)
    tensors = {
        "means": torch.cat([slopes * z[:, None], z[:, None]], dim=1),
        "scales": (2.0 * z)[:, None].expand(n, 3) * torch.tensor([1.0, 0.7, 1e-6]),
        "quats": torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(n, 4),
        "opacities": opacities[:, None],
        "colors": uniform(rng, n, 3),
        "viewmat": torch.eye(4),
        "background": torch.zeros(3),
    }
    tensors = {name: tensor.float().double().contiguous() for name, tensor in tensors.items()}
    return RasterScene("far layers", tensors, dict(fx=20.0, fy=20.0, cx=12.0, cy=10.0, width=24, height=20))


@pytest.mark.parametrize("foreground", [False, True], ids=["alone", "behind something faint"])
@pytest.mark.parametrize("space", SPACES)
def test_float32_keeps_its_digits_far_away(space: str, foreground: bool) -> None:
    """Layers 0.01 apart at z = 1000: within 1e-3 relative of float64, at every pixel, and in the gradients."""
    scene = far_layers(1000.0, 0.01, foreground).with_settings(distortion_space=space)
    expected = scene.render(rasterize_reference)
    found = scene.render(rasterize, torch.float32)
    assert expected.distortion.min() > 1e-3 * expected.distortion.max()
    error = (found.distortion.double() / expected.distortion - 1).abs().max()
    assert error <= 1e-3, f"distortion is off by {error:.2g} relative"
    cotangents = random_cotangents(expected, 9, ["distortion"])
    truth = gradients(rasterize_reference, scene, cotangents)
    for name, gradient in gradients(rasterize, scene, cotangents, torch.float32).items():
        size, error = truth[name].norm(), (gradient.double() - truth[name]).norm()
        assert error <= 1e-3 * size, f"gradient of {name} is off by {error / size:.2g}"


@pytest.mark.parametrize("space", SPACES)
def test_float32_keeps_the_statistics_digits_far_away(space: str) -> None:
    scene = far_layers(1000.0, 0.01, foreground=False).with_settings(distortion_space=space, statistics=True)
    expected, found = scene.render(rasterize_reference), scene.render(rasterize, torch.float32)
    assert expected.statistics is not None and found.statistics is not None
    share = expected.statistics.distortion_share
    assert (share > 0).all()
    error = (found.statistics.distortion_share.double() - share).abs().max() / share.max()
    assert error <= 1e-3, f"distortion_share is off by {error:.2g}"


def test_float32_keeps_the_digits_of_a_saturated_alpha() -> None:
    """Of a thousand veils alpha is 1 − 1e-4: its derivative by each is T_end/(1 − α_i), not a difference of ones."""
    rng = torch.Generator().manual_seed(0)
    n = 1000
    z = uniform(rng, n, 1, low=2.0, high=6.0)
    tensors = {
        "means": torch.cat([uniform(rng, n, 2, low=-0.1, high=0.1) * z, z], dim=1),
        "scales": (z / 2).expand(n, 3),
        "quats": torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(n, 4),
        "opacities": torch.full((n, 1), 0.00905),
        "colors": torch.zeros(n, 3),
        "viewmat": torch.eye(4),
        "background": torch.zeros(3),
    }
    tensors = {name: tensor.float().double().contiguous() for name, tensor in tensors.items()}
    scene = RasterScene("veils", tensors, dict(fx=20.0, fy=20.0, cx=2.0, cy=2.0, width=4, height=4))
    expected = scene.render(rasterize_reference)
    assert expected.alpha.min() > 0.999 and expected.alpha.max() < 1 - 1e-4
    cotangents = random_cotangents(expected, 0, ["alpha"])
    truth = gradients(rasterize_reference, scene, cotangents)
    found = gradients(rasterize, scene, cotangents, torch.float32)
    for name in ("means", "opacities", "viewmat", "means2d"):
        error = (found[name].double() - truth[name]).norm() / truth[name].norm()
        assert error <= 1e-3, f"gradient of {name} is off by {error:.2g}"

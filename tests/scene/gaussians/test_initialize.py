"""The first Gaussians: scales from neighbours, and clouds too small or too odd to have any."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scene.gaussians.initialize import SH_DC, initialize, point_scales
from scene.types import PointCloud
from utils.errors import UserError


def cloud(positions: np.ndarray) -> PointCloud:
    positions = np.asarray(positions, dtype=np.float32).reshape(-1, 3)
    colors = np.random.default_rng(0).random((len(positions), 3), dtype=np.float32)
    return PointCloud(positions, colors)


def test_a_grid_has_the_scale_of_its_step() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(4) * 0.25] * 3), axis=-1).reshape(-1, 3)
    gaussians = initialize(cloud(grid), sh_degree=3, extent=2.0)
    assert len(gaussians) == 64
    assert torch.allclose(gaussians.activated_scales, torch.tensor(0.25))
    assert torch.allclose(gaussians.activated_opacities, torch.tensor(0.1))
    assert torch.equal(gaussians.quats, torch.tensor([1.0, 0, 0, 0]).expand(64, 4))
    assert gaussians.shs_rest.shape == (64, 15, 3) and not gaussians.shs_rest.any()


def test_colors_come_back_from_the_harmonics() -> None:
    points = cloud(np.random.default_rng(1).normal(size=(9, 3)))
    gaussians = initialize(points, sh_degree=0, extent=1.0)
    colors = 0.5 + 0.28209479177387814 * gaussians.shs_dc[:, 0]
    assert pytest.approx(0.28209479177387814) == SH_DC
    assert np.allclose(colors.detach().numpy(), points.colors, atol=1e-6)
    assert gaussians.shs_rest.shape == (9, 0, 3)


def test_scales_are_means_over_the_three_nearest() -> None:
    positions = np.random.default_rng(2).normal(size=(50, 3))
    distances = np.sort(np.linalg.norm(positions[:, None] - positions[None], axis=-1), axis=1)
    assert np.allclose(point_scales(positions, 1.0), distances[:, 1:4].mean(axis=1))


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([[1, 2, 3]], [0.02]),
        ([[1, 2, 3]] * 5, [0.02] * 5),
        ([[0, 0, 0], [0, 0, 3]], [3, 3]),
        ([[0, 0, 0], [0, 0, 3], [0, 4, 0]], [3.5, 4, 4.5]),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 3]], [3, 3, 3]),
        ([[0, 0, 0], [0, 0, 1e-12]], [2e-6, 2e-6]),
    ],
)
def test_degenerate_clouds(positions: list[list[float]], expected: list[float]) -> None:
    assert point_scales(np.array(positions, dtype=float), 2.0) == pytest.approx(expected)


def test_points_that_are_not_finite_are_left_out() -> None:
    gaussians = initialize(cloud(np.array([[0, 0, 0], [np.nan, 0, 0], [0, np.inf, 0], [0, 0, 1]])), 3, extent=1.0)
    assert len(gaussians) == 2
    assert all(bool(values.isfinite().all()) for values in gaussians.parameters.values())


@pytest.mark.parametrize("positions", [np.zeros((0, 3)), np.full((2, 3), np.nan)])
def test_no_points_is_an_error_that_names_its_fix(positions: np.ndarray) -> None:
    with pytest.raises(UserError, match="points3D"):
        initialize(cloud(positions), sh_degree=3, extent=1.0)


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_the_unit_of_the_scene_does_not_matter(unit: float) -> None:
    positions = np.random.default_rng(3).normal(size=(30, 3))
    positions[:5] = positions[5]  # some in one place
    assert np.allclose(point_scales(positions * unit, unit), unit * point_scales(positions, 1.0), rtol=1e-9)


def test_no_gaussian_begins_around_a_camera() -> None:
    """Points far apart are as large as that, but not as the way to a camera; those that are near each other stay."""
    apart, together = np.array([[0, 0, 5], [4, 0, 5], [0, 4, 6.0]]), 0.1 * np.eye(4, 3) + [0, 0, 2]
    positions = cloud(np.concatenate([apart, together]))
    centers = np.array([[0, 0, 0], [0, 0, -3.0]])
    free, held = (initialize(positions, 0, 1.0, centers=each).activated_scales[:, 0] for each in (None, centers))
    way = torch.tensor(np.linalg.norm(apart, axis=1), dtype=torch.float32)
    assert (free[:3] > 0.4 * way).all() and torch.allclose(held[:3], way / 3)
    assert torch.equal(free[3:], held[3:])
    at_the_camera = initialize(cloud(np.array([[0, 0, 0], [1, 0, 0]])), 0, 1.0, centers=centers)
    assert at_the_camera.scales.isfinite().all()

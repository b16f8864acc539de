"""The evidence about spikes: against plain formulas, from rendered views, and as rows come and go."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gaussian_renderer import RenderSettings, render
from scene.densify import densify
from scene.gaussians import PARAMETERS, Gaussians
from scene.optimizer import Optimizer
from scene.spikes import DEPTH_MARGIN, SPIKE_ROWS, SpikeStatistics, against_depth
from scene.types import Camera
from tests.clouds import random_gaussians
from tests.scenes import looking_at_origin

RATES = dict.fromkeys(PARAMETERS, 1e-3)
WIDTH, HEIGHT = 40, 30
FACING = Camera("facing", WIDTH, HEIGHT, 35.0, 36.0, 19.5, 15.5, np.eye(4))  # at the origin, along z


def camera_at(angle: float, unit: float = 1.0) -> Camera:
    pose = looking_at_origin(angle)
    pose[:3, 3] *= unit
    return Camera(f"{angle}", WIDTH, HEIGHT, 35.0, 36.0, 19.5, 15.5, pose)


def in_unit(gaussians: Gaussians, unit: float) -> Gaussians:
    """The same, a unit of length being `unit`."""
    values = {name: gaussians.parameters[name].detach() for name in PARAMETERS}
    values["means"], values["scales"] = values["means"] * unit, values["scales"] + np.log(unit)
    return Gaussians(values)


def observe(statistics: SpikeStatistics, gaussians: Gaussians, camera: Camera, unit: float = 1.0, **others) -> None:
    settings = RenderSettings(near=0.1 * unit, sh_degree=0, statistics=True)
    gathered = render(gaussians, camera, torch.zeros(3), settings).statistics
    assert gathered is not None
    statistics.observe_spikes(
        gaussians,
        camera,
        gathered.weight_sum,
        gathered.weight_max,
        gathered.distortion_share,
        ray_ratio_max=1.5,
        **others,
    )


def wall(z: float, valid: Tensor | None = None) -> dict[str, Tensor]:
    """A sensor's view of a wall across the camera's axis."""
    return dict(
        depth=torch.full((1, HEIGHT, WIDTH), z),
        depth_valid=torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool) if valid is None else valid,
    )


def test_rows_add_up_over_views() -> None:
    gaussians = random_gaussians(30, sh_degree=0)
    statistics, parts = SpikeStatistics(30), []
    for angle in (0.0, 1.0, 2.0):
        observe(statistics, gaussians, camera_at(angle))
        parts.append(SpikeStatistics(30))
        observe(parts[-1], gaussians, camera_at(angle))
    for name in ("spike_views", "weight", "weight_max", "distortion", "ray_views"):
        rows = torch.stack([part.rows[name] for part in parts])
        assert torch.allclose(statistics.rows[name], rows.amax(dim=0) if name == "weight_max" else rows.sum(dim=0))
        assert statistics.rows[name].any() and statistics.rows[name].std() > 0
    assert statistics.rows["spike_views"].max() == 3
    assert not any(statistics.rows[name].any() for name in ("views_before", "views_on", "grad_sum", "views"))


def test_a_needle_along_the_ray_is_counted_where_it_points_at_the_camera() -> None:
    gaussians = random_gaussians(2, sh_degree=0)
    gaussians.means.detach()[:] = torch.tensor([[0.0, 0, 0], [0.2, 0.1, 0]])
    gaussians.quats.detach()[:] = torch.tensor([1.0, 0, 0, 0])
    gaussians.scales.detach()[:] = torch.tensor([[0.05, 0.05, 0.5], [0.05, 0.05, 0.05]]).log()
    statistics = SpikeStatistics(2)
    for angle in (0.0, 0.1, 1.5708, -1.5708, 3.1416):  # along z, nearly, from both sides, from behind
        observe(statistics, gaussians, camera_at(angle))
    assert statistics.rows["spike_views"].tolist() == [5, 5]
    assert statistics.rows["ray_views"].tolist() == [3, 0]


def test_the_spread_is_the_distance_from_the_mean_depth() -> None:
    """A faint Gaussian before a dense wall: M is nearly the wall's depth, so its spread is its distance from there."""
    gaussians = random_gaussians(3, sh_degree=0)
    gaussians.means.detach()[:] = torch.tensor([[0.0, 0, 1.0], [0, 0, 3.0], [50, 0, 3]])
    gaussians.scales.detach()[:] = torch.tensor([0.02, 3.0, 0.1]).log()[:, None]
    gaussians.opacities.detach()[:, 0] = torch.tensor([0.02, 0.99, 0.9]).logit()
    statistics = SpikeStatistics(3)
    observe(statistics, gaussians, FACING)
    spread = statistics.spread()
    assert spread[0].item() == pytest.approx(2.0, rel=0.05)
    assert 0 < spread[1] < 0.05 and spread[2] == 0
    expected = statistics.rows["distortion"][0] / statistics.rows["weight"][0]
    assert spread[0].item() == pytest.approx(expected.item() ** 0.5)


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_before_and_on_the_measured_depth(unit: float) -> None:
    z = torch.tensor([1.0, 2.0 * (1 - 1.1 * DEPTH_MARGIN), 2.0 * (1 - 0.9 * DEPTH_MARGIN), 2.0, 2.09, 2.2, -1.0, 1.0])
    means = torch.stack([torch.zeros(8), torch.zeros(8), z], dim=1)
    means[7, 0] = 40  # beside the image
    before, on = against_depth(means * unit, FACING, **wall_arguments(wall(2.0 * unit)))
    assert before.tolist() == [True, True, False, False, False, False, False, False]
    assert on.tolist() == [False, False, True, True, True, False, False, False]


def wall_arguments(sensor: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(depth=sensor["depth"], valid=sensor["depth_valid"])


def test_the_centre_is_looked_up_in_its_own_pixel() -> None:
    """One column is far; a centre in it, or next to it, has the far depth in its window."""
    sensor = wall(1.0)
    sensor["depth"][..., 25] = 3.0
    columns = torch.arange(WIDTH) + 0.5
    z = 2.0
    means = torch.stack([(columns - FACING.cx) / FACING.fx * z, torch.zeros(WIDTH), torch.full((WIDTH,), z)], dim=1)
    before, on = against_depth(means, FACING, **wall_arguments(sensor))
    assert not before.any() and on.nonzero().flatten().tolist() == [24, 25, 26]  # between the near side and the far
    sensor["depth"][:] = 3.0
    sensor["depth"][..., 10] = 1.0
    before, _ = against_depth(means, FACING, **wall_arguments(sensor))
    assert (~before).nonzero().flatten().tolist() == [9, 10, 11]


@pytest.mark.parametrize("junk", [0.0, -1000.0, float("nan"), float("inf"), 65535.0])
def test_invalid_depth_says_nothing(junk: float) -> None:
    sensor = wall(junk, valid=torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool))
    before, on = against_depth(torch.tensor([[0.0, 0, 1]]), FACING, **wall_arguments(sensor))
    assert not before.any() and not on.any()
    sensor["depth_valid"][..., 20:] = True
    sensor["depth"][..., 20:] = 2.0
    means = torch.tensor([[0.0, 0, 1], [-0.4, 0, 1]])  # column 19, whose window reaches the valid ones, and column 5
    before, on = against_depth(means, FACING, **wall_arguments(sensor))
    assert before.tolist() == [True, False] and not on.any()


def test_only_who_has_a_part_in_a_view_is_judged_by_it() -> None:
    gaussians = random_gaussians(3, sh_degree=0)
    gaussians.means.detach()[:] = torch.tensor([[0.0, 0, 1.0], [0, 0, 2.0], [0.1, 0, 1.0]])
    gaussians.scales.detach()[:] = np.log(0.05)
    gaussians.opacities.detach()[:, 0] = torch.tensor([0.5, 0.5, 0.001]).logit()
    statistics = SpikeStatistics(3)
    for _ in range(2):
        observe(statistics, gaussians, FACING, **wall(2.0))
    observe(statistics, gaussians, FACING)  # a view without depth
    assert statistics.rows["views_before"].tolist() == [2, 0, 0] and statistics.rows["views_on"].tolist() == [0, 2, 0]
    assert statistics.rows["spike_views"].tolist() == [3, 3, 0]


def test_the_two_kinds_of_rows_are_reset_on_their_own() -> None:
    gaussians = random_gaussians(10, sh_degree=0)
    statistics = SpikeStatistics(10)
    observe(statistics, gaussians, camera_at(0.3), **wall(3.0))
    statistics.observe(torch.ones(10, 2), torch.ones(10), 20, 10)
    spikes = {name: statistics.rows[name].clone() for name in SPIKE_ROWS}
    statistics.reset()
    assert not statistics.rows["grad_sum"].any() and not statistics.rows["views"].any()
    assert all(torch.equal(statistics.rows[name], values) for name, values in spikes.items()) and spikes["weight"].any()
    statistics.observe(torch.ones(10, 2), torch.ones(10), 20, 10)
    statistics.reset_spikes()
    assert not any(statistics.rows[name].any() for name in SPIKE_ROWS) and statistics.rows["grad_sum"].any()


def test_rows_follow_their_gaussians() -> None:
    gaussians = random_gaussians(6, sh_degree=0)
    statistics = SpikeStatistics(6)
    statistics.rows["weight"][:] = torch.arange(1.0, 7.0)
    statistics.observe(torch.tensor([[0.0, 0], [9, 0], [0, 0], [9, 0], [0, 0], [0, 0]]), torch.ones(6), 2, 2)
    longest = gaussians.activated_scales.detach().amax(dim=1)
    between = float(longest[[1, 3]].mean())  # one of the two is cloned, the other split
    grown = densify(
        gaussians,
        Optimizer(gaussians, RATES),
        statistics,
        grad_threshold=1.0,
        clone_below=between,
        max_gaussians=0,
        generator=torch.Generator().manual_seed(0),
    )
    assert grown == (1, 1)
    split = 2.0 if longest[1] > longest[3] else 4.0
    kept = [weight for weight in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0) if weight != split]
    assert statistics.rows["weight"].tolist() == [*kept, 0, 0, 0]
    assert all(len(values) == len(gaussians) == 8 for values in statistics.rows.values())


def test_a_checkpoint_keeps_all_rows() -> None:
    gaussians = random_gaussians(10, sh_degree=0)
    statistics, restored = SpikeStatistics(10), SpikeStatistics(10)
    observe(statistics, gaussians, camera_at(0.3), **wall(3.0))
    restored.load_state(statistics.state())
    assert restored.rows.keys() == statistics.rows.keys() >= set(SPIKE_ROWS)
    assert torch.equal(restored.spread(), statistics.spread()) and statistics.spread().any()


def test_the_unit_of_the_scene_does_not_matter() -> None:
    found = []
    for unit in (1.0, 1000.0):
        gaussians = in_unit(random_gaussians(40, sh_degree=0), unit)
        statistics = SpikeStatistics(40)
        for angle in (0.0, 1.0, 2.0):
            observe(statistics, gaussians, camera_at(angle, unit), unit, **wall(3.0 * unit))
        found.append((statistics.rows, statistics.spread() / unit))
    for name in ("spike_views", "ray_views", "views_before", "views_on"):
        assert torch.equal(found[0][0][name], found[1][0][name]) and found[0][0][name].any()
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-3) and found[0][1].max() > 0.01

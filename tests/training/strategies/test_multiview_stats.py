"""The survey's evidence about spikes, against plain formulas and from rendered views; and needles cut to pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from gaussian_renderer import RasterOutput, RenderSettings, render
from scene.gaussians.model import PARAMETERS, Gaussians
from scene.loading.image_cache import LoadedView
from scene.types import Camera
from tests.helpers.clouds import random_gaussians
from tests.helpers.scenes import looking_at_origin
from training.strategies.multiview_stats import (
    DEPTH_MARGIN,
    MAX_VIEWS,
    MultiViewStats,
    against_depth,
    collect_multiview_stats,
)
from training.strategies.split_needles import ENDS, PIECE_ELONGATION, PIECE_LENGTH, PIECES, ends_of, split_needles

WIDTH, HEIGHT = 40, 30
FACING = Camera("facing", WIDTH, HEIGHT, 35.0, 36.0, 19.5, 15.5, np.eye(4))  # at the origin, along z
TOLERANCE = 0.05


def camera_at(angle: float, unit: float = 1.0) -> Camera:
    pose = looking_at_origin(angle)
    pose[:3, 3] *= unit
    return Camera(f"{angle}", WIDTH, HEIGHT, 35.0, 36.0, 19.5, 15.5, pose)


def in_unit(gaussians: Gaussians, unit: float) -> Gaussians:
    """The same, a unit of length being `unit`."""
    values = {name: gaussians.parameters[name].detach() for name in PARAMETERS}
    values["means"], values["scales"] = values["means"] * unit, values["scales"] + np.log(unit)
    return Gaussians(values)


def photo(
    camera: Camera, depth: Tensor | None = None, valid: Tensor | None = None, measured: bool = True
) -> LoadedView:
    return LoadedView(camera, torch.zeros(3, HEIGHT, WIDTH), None, None, 0.0, depth, valid, measured)


def wall(z: float, camera: Camera = FACING, measured: bool = True) -> LoadedView:
    """A sensor's view of a wall across the camera's axis."""
    everywhere = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    return photo(camera, torch.full((1, HEIGHT, WIDTH), z), everywhere, measured)


class Photos(list[LoadedView]):
    """Of a cache, what a survey asks for."""

    def undamaged(self, order: Sequence[int]) -> Iterator[LoadedView]:
        return (self[index] for index in order)


def look(gaussians: Gaussians, photos: list[LoadedView], unit: float = 1.0) -> MultiViewStats:
    def draw(camera: Camera) -> RasterOutput:
        settings = RenderSettings(near=0.1 * unit, sh_degree=0, statistics=True)
        return render(gaussians, camera, torch.zeros(3), settings)

    return collect_multiview_stats(gaussians, Photos(photos), draw, tolerance=TOLERANCE * unit, ray_ratio_max=1.5)


def gaussians_at(means: list[list[float]], scales: list[list[float]], opacities: list[float]) -> Gaussians:
    gaussians = random_gaussians(len(means), sh_degree=0)
    gaussians.means.detach()[:] = torch.tensor(means)
    gaussians.scales.detach()[:] = torch.tensor(scales).log()
    gaussians.quats.detach()[:] = torch.tensor([1.0, 0, 0, 0])
    gaussians.opacities.detach()[:, 0] = torch.tensor(opacities).logit()
    return gaussians


# ---- evidence


def test_evidence_adds_up_over_views() -> None:
    gaussians = random_gaussians(30, sh_degree=0)
    photos = [photo(camera_at(angle)) for angle in (0.0, 1.0, 2.0)]
    whole, parts = look(gaussians, photos), [look(gaussians, [each]) for each in photos]
    for name in ("views", "weight", "max_contribution", "distortion", "ray_views", "end_views", "end_on"):
        rows = torch.stack([getattr(part, name) for part in parts])
        assert torch.allclose(getattr(whole, name), rows.amax(dim=0) if name == "max_contribution" else rows.sum(dim=0))
        assert getattr(whole, name).any() and getattr(whole, name).std() > 0, name
    assert whole.views.max() == 3
    assert not whole.views_before.any() and not whole.views_on.any()  # no sensor


def test_many_views_are_looked_at_evenly() -> None:
    gaussians = gaussians_at([[0, 0, 0]], [[0.1] * 3], [0.5])
    looked: list[str] = []

    def draw(camera: Camera) -> RasterOutput:
        looked.append(camera.name)
        return render(gaussians, camera, torch.zeros(3), RenderSettings(near=0.1, sh_degree=0, statistics=True))

    photos = [photo(camera_at(0.01 * index)) for index in range(2 * MAX_VIEWS + 10)]
    found = collect_multiview_stats(gaussians, Photos(photos), draw, tolerance=0.1, ray_ratio_max=2)
    indices = [round(float(name) / 0.01) for name in looked]
    assert len(indices) == MAX_VIEWS == found.views.item() and set(np.diff(indices)) == {2, 3}


def test_a_needle_along_the_ray_is_counted_where_it_points_at_the_camera() -> None:
    gaussians = gaussians_at([[0.0, 0, 0], [0.2, 0.1, 0]], [[0.05, 0.05, 0.5], [0.05, 0.05, 0.05]], [0.5, 0.5])
    angles = (0.0, 0.1, 1.5708, -1.5708, 3.1416)  # along z, nearly, from both sides, from behind
    found = look(gaussians, [photo(camera_at(angle)) for angle in angles])
    assert found.views.tolist() == [5, 5]
    assert found.ray_views.tolist() == [3, 0]


def test_the_spread_is_the_distance_from_the_mean_depth() -> None:
    """A faint Gaussian before a dense wall: M is nearly the wall's depth, so its spread is its distance from there."""
    scales = [[0.02] * 3, [3.0] * 3, [0.1] * 3]
    found = look(gaussians_at([[0.0, 0, 1.0], [0, 0, 3.0], [50, 0, 3]], scales, [0.02, 0.99, 0.9]), [photo(FACING)])
    spread = found.spread()
    assert spread[0].item() == pytest.approx(2.0, rel=0.05)
    assert 0 < spread[1] < 0.05 and spread[2] == 0
    assert spread[0].item() == pytest.approx((found.distortion[0] / found.weight[0]).item() ** 0.5)


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_before_and_on_the_measured_depth(unit: float) -> None:
    z = torch.tensor([1.0, 1.89, 1.91, 2.0, 2.09, 2.2, -1.0, 1.0])
    means = torch.stack([torch.zeros(8), torch.zeros(8), z], dim=1)
    means[7, 0] = 40  # beside the image
    before, on, judged = against(means * unit, wall(2.0 * unit), 0.1 * unit)
    assert before.tolist() == [True, True, False, False, False, False, False, False]
    assert on.tolist() == [False, False, True, True, True, False, False, False]
    assert judged.tolist() == [True] * 6 + [False] * 2


def against(points: Tensor, sensor: LoadedView, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    assert sensor.depth is not None and sensor.depth_valid is not None
    margins = torch.full_like(sensor.depth, margin)
    return against_depth(points, sensor.camera, sensor.depth, sensor.depth_valid, margins)


def test_the_center_is_looked_up_in_its_own_pixel() -> None:
    """One column is far; a center in it, or next to it, has the far depth in its window."""
    sensor = wall(1.0)
    assert sensor.depth is not None
    sensor.depth[..., 25] = 3.0
    columns = torch.arange(WIDTH) + 0.5
    z = 2.0
    means = torch.stack([(columns - FACING.cx) / FACING.fx * z, torch.zeros(WIDTH), torch.full((WIDTH,), z)], dim=1)
    before, on, _ = against(means, sensor, 0.05)
    assert not before.any() and on.nonzero().flatten().tolist() == [24, 25, 26]  # between the near side and the far
    sensor.depth[:] = 3.0
    sensor.depth[..., 10] = 1.0
    before, _, _ = against(means, sensor, 0.05)
    assert (~before).nonzero().flatten().tolist() == [9, 10, 11]


@pytest.mark.parametrize("junk", [0.0, -1000.0, float("nan"), float("inf"), 65535.0])
def test_invalid_depth_says_nothing(junk: float) -> None:
    sensor = wall(junk)
    assert sensor.depth is not None and sensor.depth_valid is not None
    sensor.depth_valid[:] = False
    assert not any(flags.any() for flags in against(torch.tensor([[0.0, 0, 1]]), sensor, 0.05))
    sensor.depth_valid[..., 20:] = True
    sensor.depth[..., 20:] = 2.0
    means = torch.tensor([[0.0, 0, 1], [-0.4, 0, 1]])  # column 19, whose window reaches the valid ones, and column 5
    before, on, _ = against(means, sensor, 0.05)
    assert before.tolist() == [True, False] and not on.any()


def test_only_who_has_a_part_in_a_view_is_judged_by_it() -> None:
    z = 2.0
    means = [[0.0, 0, 1.0], [0, 0, z], [0.1, 0, 1.0], [0.4, 0, z * (1 - 0.9 * DEPTH_MARGIN)]]
    gaussians = gaussians_at(means, [[0.05] * 3] * 4, [0.5, 0.5, 0.001, 0.5])
    guessed = wall(z, measured=False)  # monocular depth is not exact enough to judge by
    found = look(gaussians, [wall(z), wall(z), photo(FACING), guessed])
    assert found.views_before.tolist() == [2, 0, 0, 0] and found.views_on.tolist() == [0, 2, 0, 2]
    assert found.views.tolist() == [4, 4, 0, 4]


def test_the_unit_of_the_scene_does_not_matter() -> None:
    found = []
    for unit in (1.0, 1000.0):
        gaussians = in_unit(random_gaussians(40, sh_degree=0), unit)
        found.append(look(gaussians, [wall(3.0 * unit, camera_at(angle, unit)) for angle in (0.0, 1.0, 2.0)], unit))
    for name in ("views", "ray_views", "views_before", "views_on", "end_views", "end_on"):
        assert torch.equal(getattr(found[0], name), getattr(found[1], name)) and getattr(found[0], name).any()
    assert torch.allclose(found[0].spread(), found[1].spread() / 1000, rtol=1e-3) and found[0].spread().max() > 0.01


# ---- needles


def needles() -> Gaussians:
    """Of 10 to 1: one in a wall at z = 2, one that sticks out of it towards the camera, one crosswise before it."""
    means = [[-0.5, 0, 2.0], [0.0, 0, 1.8], [0.5, 0, 1.5]]
    return gaussians_at(means, [[0.01, 0.1, 0.01], [0.01, 0.01, 0.1], [0.01, 0.1, 0.01]], [0.9] * 3)


def test_ends_lie_on_the_longest_axis() -> None:
    ends = ends_of(needles())
    assert ends.shape == (3, 2, 3)
    assert torch.allclose(ends[1, :, 2], 1.8 + 0.1 * torch.tensor(ENDS)) and not ends[1, :, :2].any()
    assert torch.allclose(ends[0, :, 1], 0.1 * torch.tensor(ENDS), atol=1e-6)
    turned = random_gaussians(5)
    offsets = ends_of(turned)[:, -1] - turned.means
    assert torch.allclose(offsets.norm(dim=1), ENDS[-1] * turned.activated_scales.amax(dim=1), rtol=1e-4)


def test_ends_off_the_surface_are_told_by_the_sensor() -> None:
    found = look(needles(), [wall(2.0), wall(2.0)])
    assert found.off_surface().tolist() == [[False, False], [True, False], [True, True]]
    assert not look(needles(), [wall(2.0)]).off_surface().any()  # one view is no judgement


def test_ends_off_the_surface_are_told_by_what_is_rendered() -> None:
    """Without a sensor: the wall is a large Gaussian, and the needle before it so faint that its depth stays."""
    gaussians = gaussians_at(
        [[0.0, 0, 2.0], [0.0, 0, 1.6], [0.3, 0, 2.0]],
        [[3.0, 3.0, 0.001], [0.01, 0.01, 0.1], [0.01, 0.1, 0.01]],
        [0.98, 0.05, 0.05],
    )
    found = look(gaussians, [photo(FACING), photo(FACING)])
    assert found.off_surface()[1].all() and not found.off_surface()[2].any()


def test_pieces_are_what_lies_on_the_surface() -> None:
    gaussians = needles()
    spikes = torch.tensor([False, True, True])
    parts = split_needles(gaussians, spikes, torch.tensor([[True, True], [True, False], [False, False]]))
    assert {name: len(values) for name, values in parts.items()} == dict.fromkeys(PARAMETERS, 9)
    z = 1.8 + 0.1 * torch.tensor(PIECES[1:])
    assert torch.allclose(parts["means"][:4], torch.stack([torch.zeros(4), torch.zeros(4), z], dim=1))
    assert torch.allclose(parts["means"][4:, 1], 0.1 * torch.tensor(PIECES), atol=1e-6)
    length = min(0.1 * PIECE_LENGTH, 0.01 * PIECE_ELONGATION)
    assert torch.allclose(parts["scales"][:4].exp(), torch.tensor([0.01, 0.01, length]))
    assert torch.equal(parts["opacities"][:4], gaussians.opacities.detach()[[1] * 4])
    assert torch.equal(parts["shs_dc"][4:], gaussians.shs_dc.detach()[[2] * 5])


def test_pieces_of_nothing() -> None:
    none = split_needles(needles(), torch.zeros(3, dtype=torch.bool), torch.zeros(3, 2, dtype=torch.bool))
    assert {name: values.shape[0] for name, values in none.items()} == dict.fromkeys(PARAMETERS, 0)

"""The benchmark's measures of spikes and thickness, on clouds about a wall whose numbers are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from spike_metrics import SpikeMetrics, ends_of, spike_metrics, weighted_quantiles

from scene.types import GaussianArrays

EXTENT = 5.0  # an end farther than 0.1 from the wall is off it
WALL = np.stack([*np.meshgrid(np.linspace(-2, 2, 201), np.linspace(-2, 2, 201)), np.zeros((201, 201))], -1).reshape(
    -1, 3
)


def cloud(count: int = 8) -> GaussianArrays:
    """Half-opaque discs on the wall z = 0, flat in it."""
    rng = np.random.default_rng(0)
    means = np.zeros((count, 3), np.float32)
    means[:, :2] = rng.integers(-50, 50, (count, 2)) * 0.02
    scales = np.tile(np.log(np.float32([0.3, 0.3, 0.001])), (count, 1))
    quats = np.tile(np.float32([1, 0, 0, 0]), (count, 1))
    shs = np.zeros((count, 1, 3), np.float32)
    return GaussianArrays(means, scales, quats, np.zeros((count, 1), np.float32), shs)


def needle(gaussians: GaussianArrays, row: int, length: float, width: float, quat: tuple[float, ...]) -> None:
    """Make a needle along its own x axis."""
    gaussians.scales[row] = np.log([length, width, width])
    gaussians.quats[row] = quat


UPRIGHT = (0.7071068, 0.0, -0.7071068, 0.0)  # turns x to z
FLAT = (1.0, 0.0, 0.0, 0.0)


def test_a_cloud_of_discs_on_the_wall_is_perfect() -> None:
    assert spike_metrics(cloud(), WALL, EXTENT) == SpikeMetrics(
        0, 0, pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6)
    )


def test_ends_are_where_the_longest_axis_points() -> None:
    gaussians = cloud(2)
    needle(gaussians, 1, 0.2, 0.01, UPRIGHT)
    offsets = ends_of(gaussians)[1] - gaussians.means[1]
    assert offsets[:, :2] == pytest.approx(0, abs=1e-6) and sorted(offsets[:, 2]) == pytest.approx(
        [-0.4, 0.4], rel=1e-5
    )


def test_spikes_are_needles_whose_end_is_off_the_wall() -> None:
    gaussians = cloud()
    needle(gaussians, 1, 0.2, 0.01, UPRIGHT)  # the one spike
    needle(gaussians, 2, 0.2, 0.01, FLAT)  # in the wall
    needle(gaussians, 3, 0.2, 0.03, UPRIGHT)  # too stout
    needle(gaussians, 4, 0.04, 0.001, UPRIGHT)  # its ends at 0.08
    gaussians.scales[5] = np.log([0.3, 0.2, 0.001])  # a disc out of the wall
    gaussians.quats[5] = UPRIGHT
    found = spike_metrics(gaussians, WALL, EXTENT)
    assert found.spikes == pytest.approx(0.5) and found.spike_share == pytest.approx(1 / 8)
    gaussians.opacities[1] = np.log(0.1 / 0.9)
    found = spike_metrics(gaussians, WALL, EXTENT)
    assert found.spikes == pytest.approx(0.1) and found.spike_share == pytest.approx(0.1 / 3.6)


def test_one_end_is_enough() -> None:
    gaussians = cloud()
    needle(gaussians, 0, 0.2, 0.01, UPRIGHT)
    gaussians.means[0, 2] = 0.4  # its lower end on the wall
    assert spike_metrics(gaussians, WALL, EXTENT).spikes == pytest.approx(0.5)


def test_thickness_is_weighted_by_opacity() -> None:
    gaussians = cloud(10)
    gaussians.means[:, 2] = np.arange(10) * 0.1
    found = spike_metrics(gaussians, WALL, EXTENT)
    assert (found.thickness_median, found.thickness_p90) == (pytest.approx(0.4), pytest.approx(0.8))
    gaussians.opacities[5:] = -20.0
    found = spike_metrics(gaussians, WALL, EXTENT)
    assert (found.thickness_median, found.thickness_p90) == (pytest.approx(0.2), pytest.approx(0.4))


def test_weighted_quantiles() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 1.0])
    assert weighted_quantiles(values, weights, (0.25, 0.5, 0.51, 0.75, 0.9, 1.0)) == [1, 1, 2, 2, 3, 3]


def test_the_unit_matters_to_lengths_alone() -> None:
    gaussians = cloud()
    needle(gaussians, 1, 0.2, 0.01, UPRIGHT)
    gaussians.means[:, 2] = np.arange(8) * 0.01
    metres = spike_metrics(gaussians, WALL, EXTENT)
    scaled = dataclasses.replace(
        gaussians, means=gaussians.means * 1000, scales=gaussians.scales + np.float32(np.log(1000))
    )
    millimetres = spike_metrics(scaled, WALL * 1000, EXTENT * 1000)
    assert millimetres[:2] == pytest.approx(metres[:2]) and metres.spikes > 0
    assert millimetres[2:] == pytest.approx([1000 * each for each in metres[2:]], rel=1e-5) and metres[2] > 0


def test_nothing_to_measure_is_said() -> None:
    with pytest.raises(ValueError, match="0 surface points"):
        spike_metrics(cloud(), WALL[:0], EXTENT)

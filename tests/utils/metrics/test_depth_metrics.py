"""Depth scores against numbers worked out by hand and in loops."""

from __future__ import annotations

import json
import math
import statistics

import numpy as np
import pytest
import torch

from utils.metrics.depth import NAMES, average_depth, depth_scores, in_front_text


def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """depth, target, valid, alpha of 12×15 pixels."""
    rng = np.random.default_rng(0)
    target = rng.uniform(0.5, 4, (12, 15))
    depth = target * rng.uniform(0.6, 1.5, target.shape)
    return depth, target, rng.random(target.shape) < 0.7, rng.random(target.shape)


def test_by_hand():
    depth = np.array([[1.0, 2.5, 2.0, 9.0, 9.0]])
    target = np.array([[1.1, 2.0, 2.3, 2.0, 2.0]])
    valid = np.array([[True, True, True, True, False]])
    alpha = np.array([[1.0, 0.9, 0.6, 0.5, 1.0]])
    scores = depth_scores(depth, target, valid, alpha)
    assert tuple(scores) == NAMES
    assert scores["MAE"] == pytest.approx((0.1 + 0.5 + 0.3) / 3)
    assert scores["median"] == pytest.approx(0.3)
    assert scores["RMSE"] == pytest.approx(math.sqrt((0.01 + 0.25 + 0.09) / 3))
    assert scores["delta<1.25"] == pytest.approx(2 / 3)  # 2.5 is 1.25 times 2, not less
    assert scores["completeness"] == pytest.approx(3 / 4)
    assert scores["in_front"] == pytest.approx(2 / 3)  # by 0.1 of 1.1 and 0.3 of 2.3, over 2 %


def test_in_front_of_the_surface():
    depth, target = np.array([[1.89, 1.91, 2.2, 3.89, 3.0]]), np.array([[2.0, 2.0, 2.0, 4.0, 4.0]])
    valid, alpha = np.array([[True, True, True, True, False]]), np.ones((1, 5))

    def share(meters_per_unit):
        return depth_scores(depth, target, valid, alpha, meters_per_unit)["in_front"]

    assert share(1.0) == pytest.approx(2 / 4)  # 10 cm are 0.1
    assert share(2.0) == pytest.approx(3 / 4)  # 0.05
    assert share(0.5) == 0  # 0.2
    assert share(None) == pytest.approx(3 / 4)  # 0.04 and 0.08
    assert (in_front_text(2.0), in_front_text(None)) == ("10 cm", "2 % of the depth")


def test_in_loops():
    depth, target, valid, alpha = sample()
    rows = list(zip(depth.flat, target.flat, valid.flat, alpha.flat, strict=True))
    seen = [(z, z_true) for z, z_true, v, a in rows if v and a > 0.5]
    errors = [abs(z - z_true) for z, z_true in seen]
    scores = depth_scores(depth, target, valid, alpha)
    assert scores["MAE"] == pytest.approx(statistics.mean(errors), rel=1e-12) and scores["MAE"] > 0.1
    assert scores["median"] == pytest.approx(statistics.median(errors), rel=1e-12)
    assert scores["RMSE"] == pytest.approx(math.hypot(*errors) / math.sqrt(len(errors)), rel=1e-12)
    right = sum(max(z / z_true, z_true / z) < 1.25 for z, z_true in seen)
    assert scores["delta<1.25"] == pytest.approx(right / len(seen)) and 0.2 < right / len(seen) < 0.8
    assert scores["completeness"] == pytest.approx(len(seen) / sum(v for _, _, v, _ in rows))


@pytest.mark.parametrize("junk", [math.nan, math.inf, 0.0, -1000.0])
def test_only_valid_pixels_count(junk: float):
    depth, target, valid, alpha = sample()
    clean = depth_scores(depth, target, valid, alpha)
    everything = np.ones_like(valid)
    assert depth_scores(depth, target, everything, alpha) != clean
    assert depth_scores(depth, np.where(valid, target, junk), everything, alpha) == clean
    unseen = ~valid | (alpha <= 0.5)
    assert depth_scores(np.where(unseen, junk, depth), target, valid, alpha) == clean


def test_units_are_those_of_the_input():
    depth, target, valid, alpha = sample()
    metres, millimetres = (depth_scores(unit * depth, unit * target, valid, alpha) for unit in (1, 1000))
    for name in NAMES:
        factor = 1000 if name in ("MAE", "median", "RMSE") else 1
        assert millimetres[name] == pytest.approx(factor * metres[name], rel=1e-12)


def test_tensors_do_as_well_as_arrays():
    arrays = sample()
    assert depth_scores(*(torch.from_numpy(each) for each in arrays)) == depth_scores(*arrays)


def test_a_perfect_render():
    _, target, valid, _ = sample()
    scores = depth_scores(target, target, valid, np.ones_like(target))
    assert scores == {"MAE": 0.0, "median": 0.0, "RMSE": 0.0, "delta<1.25": 1.0, "completeness": 1.0, "in_front": 0.0}


def test_nothing_to_measure():
    depth, target, valid, alpha = sample()
    nothing = depth_scores(depth, target, np.zeros_like(valid), alpha)
    assert nothing == dict.fromkeys(NAMES)
    empty_render = depth_scores(np.full_like(depth, math.nan), target, valid, np.zeros_like(alpha))
    assert empty_render == {**dict.fromkeys(NAMES), "completeness": 0.0}
    assert json.loads(json.dumps(empty_render)) == empty_render


def test_average_is_over_the_views_that_have_a_score():
    views = [
        dict(zip(NAMES, (0.1, 0.0, 1.0, 1.0, 1.0, 0.02), strict=True)),
        dict(zip(NAMES, (0.3, 0.2, 2.0, 0.5, 0.5, 0.04), strict=True)),
        {**dict.fromkeys(NAMES), "completeness": 0.0},
    ]
    expected = dict(zip(NAMES, (0.2, 0.1, 1.5, 0.75, 0.5, 0.03), strict=True))
    assert average_depth(views) == pytest.approx(expected)
    assert average_depth(iter([])) == dict.fromkeys(NAMES)

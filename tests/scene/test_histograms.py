"""Histograms count every Gaussian that has a finite shape."""

from __future__ import annotations

import numpy as np

from scene.histograms import BINS, histograms
from scene.types import GaussianArrays
from tests.helpers.clouds import random_gaussians


def test_each_gaussian_is_counted_once() -> None:
    found = histograms(random_gaussians(500, sh_degree=0).to_arrays())
    for each in found.values():
        assert sum(each["counts"]) == 500 and len(each["edges"]) == BINS + 1
        assert (np.diff(each["edges"]) > 0).all()


def test_the_numbers_are_those_of_the_shape() -> None:
    scales = np.log(np.array([[0.01, 0.02, 0.5], [0.03, 0.015, 0.09], [np.nan, 1, 1]], np.float32))
    arrays = GaussianArrays(
        means=np.zeros((3, 3), np.float32),
        scales=scales,
        quats=np.ones((3, 4), np.float32),
        opacities=np.array([[0.0], [0.0], [np.inf]], np.float32),
        shs=np.zeros((3, 1, 3), np.float32),
    )
    found = histograms(arrays)
    assert found["Longest / middle axis"]["note"] == "median 14, 50.0% over 10"
    assert found["Longest / shortest axis"]["note"] == "median 28, 50.0% over 10"
    assert found["Longest axis, world units"]["note"] == "median 0.295"
    assert found["Opacity"]["note"] == "median 0.5" and sum(found["Opacity"]["counts"]) == 3
    aspects = found["Longest / middle axis"]
    filled = [aspects["edges"][index] for index, count in enumerate(aspects["counts"]) if count]
    assert filled[0] <= 3 < filled[1] <= 25 < filled[1] * 1.2


def test_of_nothing() -> None:
    empty = GaussianArrays(*(np.zeros((0, *shape), np.float32) for shape in ((3,), (3,), (4,), (1,), (1, 3))))
    assert all(sum(each["counts"]) == 0 for each in histograms(empty).values())
    assert histograms(empty)["Opacity"]["note"] == "none"

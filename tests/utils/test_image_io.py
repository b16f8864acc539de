from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.helpers.pictures import noise
from utils import image_io
from utils.errors import UserError
from utils.image_io import NOTHING, ColorScale, depth_scale, distortion_scale


def test_a_tensor_comes_back_from_a_png(tmp_path):
    image = torch.rand(3, 7, 9, generator=torch.Generator().manual_seed(0))
    image_io.write_png(tmp_path / "new" / "a.png", image_io.to_bytes(image))
    read = torch.from_numpy(image_io.read_png(tmp_path / "new" / "a.png")).permute(2, 0, 1) / 255
    assert read.shape == (3, 7, 9)
    assert (read - image).abs().max() <= 0.5 / 255 + 1e-6


def test_values_outside_are_clamped():
    assert image_io.to_bytes(torch.tensor([-1.0, 0.5, 7.0]).reshape(3, 1, 1)).tolist() == [[[0, 128, 255]]]


def test_the_file_has_its_channels_in_order(tmp_path):
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    image_io.write_png(tmp_path / "red.png", red)
    assert cv2.imread(str(tmp_path / "red.png"))[0, 0].tolist() == [0, 0, 255]  # cv2 has blue first


def test_no_picture(tmp_path):
    (tmp_path / "text.png").write_text("text")
    for name in ("text.png", "missing.png"):
        with pytest.raises(UserError, match=name):
            image_io.read_png(tmp_path / name)


def test_resizing_keeps_shape_and_mean():
    picture = noise(1, (60, 80))
    small = image_io.resized(picture, 20)
    assert small.shape == (15, 20, 3)
    assert small.mean() == pytest.approx(picture.mean(), abs=0.5)


@pytest.mark.parametrize("scale", image_io.SCALES)
def test_colors_follow_the_scale(scale: str):
    low, high = (1.0, 16.0) if scale == "logarithmic" else (0.0, 16.0)
    half = {"linear": 8.0, "square root": 4.0, "logarithmic": 4.0}[scale]
    painted = ColorScale("inferno", low, high, scale).paint(np.array([[low, half, high, -5.0, 99.0]]))[0]
    bar = ColorScale("inferno", low, high, scale).bar(256, 3)
    assert bar.shape == (3, 256, 3)
    assert painted[0].tolist() == painted[3].tolist() == bar[0, 0].tolist()
    assert painted[2].tolist() == painted[4].tolist() == bar[0, 255].tolist()
    assert painted[1].tolist() == bar[0, 128].tolist()


def test_reversed_colors():
    values = np.linspace(1, 3, 5)[None]
    forward, backward = (ColorScale("turbo", 1, 3, reverse=reverse) for reverse in (False, True))
    assert np.array_equal(forward.paint(values), backward.paint(4 - values))
    assert np.array_equal(forward.bar(11, 1), backward.bar(11, 1)[:, ::-1])


def test_what_has_no_value_has_its_own_color():
    values = np.array([[1.0, np.nan, np.inf, 2.0]])
    painted = ColorScale("turbo", 1, 2).paint(values, np.array([[True, True, True, False]]))
    assert [tuple(pixel) == NOTHING for pixel in painted[0].tolist()] == [False, True, True, True]


def test_a_scale_survives_json():
    scale = depth_scale([np.array([1.0, 2.0])])
    assert ColorScale(**scale.describe()) == scale


def test_depth_range_ignores_a_few_outliers():
    depths = np.concatenate([np.linspace(2, 4, 10_000), [1e-9, 1e9]])
    scale = depth_scale([depths[:5000], depths[5000:]])
    assert 2 <= scale.low < 2.1 and 3.9 < scale.high <= 4


@pytest.mark.parametrize("samples", [[], [np.empty(0)], [np.zeros(5)], [np.full(5, 3.0)], [np.full(3, np.nan)]])
def test_scales_of_next_to_nothing_still_paint(samples):
    for scale in (depth_scale(samples), distortion_scale(samples)):
        assert scale.high > scale.low >= 0
        assert scale.paint(np.array([[0.0, 1.0, 3.0]])).shape == (1, 3, 3)


def test_a_scale_is_read_as_it_was_written_and_damage_is_none() -> None:
    scale = ColorScale("turbo", 0.5, 3.0, "logarithmic", reverse=True, unit="m")
    written = scale.describe()
    assert ColorScale.from_described(written) == scale
    wrong: list[dict[str, Any]] = [{"colors": "no map"}, {"scale": "cubic"}, {"unit": 3}, {"other": 1}]
    wrong += [{"high": high} for high in (10**400, 1e301, float("inf"), float("nan"), 0.5, "3", None, True)]
    wrong += [{"low": low} for low in (-1.0, float("nan"), 10**400, "0")]
    assert all(ColorScale.from_described({**written, **each}) is None for each in wrong)
    assert ColorScale.from_described([1]) is None and ColorScale.from_described(None) is None

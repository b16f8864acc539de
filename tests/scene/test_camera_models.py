"""Every camera model: its formula against another source, and the undistorted view against the distorted one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from scene import camera_models
from scene.types import CameraModel
from utils.errors import UserError

WIDTH, HEIGHT = 320, 240
LENSES = {
    "SIMPLE_RADIAL": (250.0, 161.0, 118.0, -0.08),
    "RADIAL": (250.0, 161.0, 118.0, -0.08, 0.01),
    "OPENCV": (250.0, 255.0, 161.0, 118.0, 0.06, -0.08, -0.002, 0.003),
    "FULL_OPENCV": (250.0, 255.0, 161.0, 118.0, 0.06, -0.08, -0.002, 0.003, 0.01, 0.02, -0.01, 0.005),
    "OPENCV_FISHEYE": (250.0, 255.0, 161.0, 118.0, 0.02, -0.01, 0.003, -0.001),
    "FOV": (250.0, 255.0, 161.0, 118.0, 0.6),
    "SIMPLE_RADIAL_FISHEYE": (250.0, 161.0, 118.0, 0.02),
    "RADIAL_FISHEYE": (250.0, 161.0, 118.0, 0.02, -0.01),
    "THIN_PRISM_FISHEYE": (250.0, 255.0, 161.0, 118.0, 0.02, -0.01, 0.001, 0.002, 0.003, -0.001, 0.001, 0.002),
}


def lens(model: str) -> CameraModel:
    return camera_models.checked(model, WIDTH, HEIGHT, LENSES[model], "test")


def slopes() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-0.5, 0.5, (200, 2))


@pytest.mark.parametrize("model", ["SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"])
def test_polynomial_models_agree_with_opencv(model: str) -> None:
    p = camera_models.named(lens(model))
    matrix = np.array([[p["fx"], 0, p["cx"]], [0, p["fy"], p["cy"]], [0, 0, 1]])
    coefficients = np.array([p[name] for name in ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")])
    rays = np.concatenate([slopes(), np.ones((200, 1))], axis=1)
    expected = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix, coefficients)[0][:, 0]
    np.testing.assert_allclose(camera_models.distort(lens(model), slopes()), expected, atol=1e-9)


@pytest.mark.parametrize("model", ["OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE"])
def test_fisheye_models_agree_with_opencv(model: str) -> None:
    p = camera_models.named(lens(model))
    matrix = np.array([[p["fx"], 0, p["cx"]], [0, p["fy"], p["cy"]], [0, 0, 1]])
    coefficients = np.array([p[name] for name in ("k1", "k2", "k3", "k4")])
    expected = cv2.fisheye.distortPoints(slopes()[:, None], matrix, coefficients)[:, 0]
    np.testing.assert_allclose(camera_models.distort(lens(model), slopes()), expected, atol=1e-9)


def test_fov_is_what_its_paper_says() -> None:
    # Devernay & Faugeras 2001: r_d = atan(2·r_u·tan(ω/2))/ω, along the same direction.
    pixels = camera_models.distort(lens("FOV"), np.array([[0.3, 0.4]]))
    bent = np.arctan(2 * 0.5 * np.tan(0.3)) / 0.6
    np.testing.assert_allclose(pixels, [[250 * bent * 0.6 + 161, 255 * bent * 0.8 + 118]], atol=1e-9)


@pytest.mark.parametrize("model", LENSES)
def test_an_undistorted_pixel_shows_the_ray_of_the_pinhole_camera(model: str) -> None:
    # In a picture whose value is its column, each undistorted pixel must show the column that the distorted camera
    # gives to the pinhole ray of that pixel.
    fx, fy, cx, cy = camera_models.pinhole(lens(model))
    columns = np.tile(np.arange(WIDTH, dtype=np.float32) + 0.5, (HEIGHT, 1))
    undistorted = cv2.remap(columns, *camera_models.sampling_map(lens(model)), cv2.INTER_LINEAR)
    for row, column in ((20, 30), (120, 160), (200, 290)):
        ray = np.array([(column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy])
        expected = camera_models.distort(lens(model), ray)[0]
        assert abs(undistorted[row, column] - expected) < 0.02


@pytest.mark.parametrize("model", LENSES)
def test_the_undistorted_view_has_no_blank_border_and_wastes_little(model: str) -> None:
    x, y = camera_models.sampling_map(lens(model))
    assert x.min() >= -0.51 and x.max() <= WIDTH - 0.49 and y.min() >= -0.51 and y.max() <= HEIGHT - 0.49
    slack = (x.min() + 0.5, WIDTH - 0.5 - x.max(), y.min() + 0.5, HEIGHT - 0.5 - y.max())
    assert min(slack) < 1.5


def test_a_pinhole_has_nothing_to_undo() -> None:
    simple = camera_models.checked("SIMPLE_PINHOLE", 10, 8, (9.0, 5.0, 4.0), "test")
    assert camera_models.is_pinhole(simple) and camera_models.pinhole(simple) == (9.0, 9.0, 5.0, 4.0)
    assert not camera_models.is_pinhole(
        camera_models.checked("OPENCV_FISHEYE", 10, 8, (9.0, 9.0, 5.0, 4.0, 0, 0, 0, 0), "test")
    )


def test_what_is_no_camera_is_refused() -> None:
    with pytest.raises(UserError, match="cameras.txt: camera model 'WIDE'"):
        camera_models.checked("WIDE", 10, 8, (9.0,), "cameras.txt")
    with pytest.raises(UserError, match="PINHOLE has 4 parameters, not 3"):
        camera_models.checked("PINHOLE", 10, 8, (9.0, 5.0, 4.0), "cameras.txt")
    with pytest.raises(UserError, match="cannot be"):
        camera_models.checked("SIMPLE_PINHOLE", 10, 8, (float("nan"), 5.0, 4.0), "cameras.txt")

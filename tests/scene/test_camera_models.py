"""Every camera model: its formula against another source, and the undistorted view against the distorted one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from scene import camera_models
from scene.types import CameraModel
from utils.errors import UserError

WIDTH, HEIGHT = 320, 240
PRISM = (0.001, 0.002, 0.001, -0.002, 0.003, 0.001)
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
    "RAD_TAN_THIN_PRISM_FISHEYE": (250.0, 255.0, 161.0, 118.0, 0.02, 0.03, -0.01, 0.004, 0.002, -0.001, *PRISM),
    "SIMPLE_DIVISION": (250.0, 161.0, 118.0, -0.05),
    "DIVISION": (250.0, 255.0, 161.0, 118.0, -0.05),
    "SIMPLE_FISHEYE": (250.0, 161.0, 118.0),
    "FISHEYE": (250.0, 255.0, 161.0, 118.0),
    "EUCM": (250.0, 255.0, 161.0, 118.0, 0.4, 1.2),
}
# What pycolmap 4.2.1 gives for the rays (0.3, -0.2, 1) and (-0.5, 0.4, 1), f 100, fx 100, fy 103, cx 101, cy 76.
OF_COLMAP = {
    "THIN_PRISM_FISHEYE": ((129.832489, 56.209914), (55.984241, 113.119713)),
    "RAD_TAN_THIN_PRISM_FISHEYE": ((129.889346, 56.240706), (56.130923, 113.190021)),
    "SIMPLE_DIVISION": ((130.807495, 56.128337), (51.985012, 115.21199)),
    "DIVISION": ((130.807495, 55.532187), (51.985012, 116.38835)),
    "SIMPLE_FISHEYE": ((129.792845, 56.80477), (56.526804, 111.578557)),
    "FISHEYE": ((129.792845, 56.228913), (56.526804, 112.645914)),
    "EUCM": ((130.124241, 56.001355), (55.069017, 113.84713)),
}
THEIR_VALUES = dict(
    f=100.0, fx=100.0, fy=103.0, cx=101.0, cy=76.0, k=-0.05, k0=0.02, k1=0.03, k2=-0.01, k3=0.004, k4=0.002, k5=-0.001,
    p0=0.001, p1=0.002, p2=-0.003, sx1=0.004, sy1=-0.002, s0=0.001, s1=-0.002, s2=0.003, s3=0.001, alpha=0.4, beta=1.2,
)  # fmt: skip


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


@pytest.mark.parametrize("model", OF_COLMAP)
def test_models_that_only_colmap_has_agree_with_it(model: str) -> None:
    params = tuple(THEIR_VALUES[name] for name in camera_models.PARAMETERS[model].split())
    pixels = camera_models.distort(CameraModel(model, 200, 150, params), np.array([[0.3, -0.2], [-0.5, 0.4]]))
    np.testing.assert_allclose(pixels, OF_COLMAP[model], atol=1e-6)


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
    keeps_its_focal_length = camera_models.pinhole(lens(model))[0] == LENSES[model][0]
    assert min(slack) < 1.5 or (camera_models.is_wide(lens(model)) and keeps_its_focal_length)


@pytest.mark.parametrize("degrees", [100, 150, 190, 220])
def test_the_middle_of_a_wide_lens_keeps_its_focal_length(degrees: int) -> None:
    focal = 100 / np.radians(degrees / 2)
    wide = camera_models.checked("OPENCV_FISHEYE", 200, 200, (focal, focal, 100.0, 100.0, 0, 0, 0, 0), "test")
    assert camera_models.pinhole(wide) == (focal, focal, 100.0, 100.0)
    x, y = np.meshgrid(np.arange(200) - 99.5, np.arange(200) - 99.5)
    angle = np.hypot(x, y) / focal
    out = focal * np.tan(np.minimum(angle, 1.57)) / np.hypot(x, y)  # how much farther out the pinhole image has a pixel
    shown = (angle < 1.57) & (np.abs(x) * out < 100) & (np.abs(y) * out < 100)
    assert camera_models.shown_share(wide) == pytest.approx(shown.mean(), abs=0.01) and 0.2 < shown.mean() < 0.9


@pytest.mark.parametrize("k1", [1e-4, -1e-4, -0.3, 0.1])
def test_a_crop_that_lies_beside_the_principal_point_has_a_pinhole_view(k1: float) -> None:
    crop = camera_models.checked("OPENCV", 96, 72, (200.0, 200.0, -30.0, 36.0, k1, 0, 0, 0), "test")
    fx, fy, cx, cy = camera_models.pinhole(crop)
    assert fx == fy and 160 < fx < 220 and abs(cx + 30) < 10 and abs(cy - 36) < 1
    x, y = camera_models.sampling_map(crop)
    assert x.min() >= -0.51 and x.max() <= 95.51 and y.min() >= -0.51 and y.max() <= 71.51


def test_a_pinhole_has_nothing_to_undo() -> None:
    simple = camera_models.checked("SIMPLE_PINHOLE", 10, 8, (9.0, 5.0, 4.0), "test")
    assert camera_models.is_pinhole(simple) and camera_models.pinhole(simple) == (9.0, 9.0, 5.0, 4.0)
    assert not camera_models.is_pinhole(
        camera_models.checked("OPENCV_FISHEYE", 10, 8, (9.0, 9.0, 5.0, 4.0, 0, 0, 0, 0), "test")
    )


def test_what_is_no_camera_is_refused() -> None:
    with pytest.raises(UserError, match="cameras.txt: camera model 'WIDE'"):
        camera_models.checked("WIDE", 10, 8, (9.0,), "cameras.txt")
    with pytest.raises(UserError, match="EQUIRECTANGULAR, which no pinhole image shows"):
        camera_models.checked("EQUIRECTANGULAR", 10, 8, (10.0, 8.0), "cameras.txt")
    for params in ((float("inf"), 5.0, 4.0), (0.0, 5.0, 4.0), (1e-300, 5.0, 4.0), (-9.0, 5.0, 4.0), (9.0, 1e30, 4.0)):
        with pytest.raises(UserError, match="cannot be"):
            camera_models.checked("SIMPLE_PINHOLE", 10, 8, params, "cameras.txt")
    with pytest.raises(UserError, match="cannot be"):
        camera_models.checked("SIMPLE_PINHOLE", 2**63, 8, (9.0, 5.0, 4.0), "cameras.txt")
    with pytest.raises(UserError, match="PINHOLE has 4 parameters, not 3"):
        camera_models.checked("PINHOLE", 10, 8, (9.0, 5.0, 4.0), "cameras.txt")
    with pytest.raises(UserError, match="cannot be"):
        camera_models.checked("SIMPLE_PINHOLE", 10, 8, (float("nan"), 5.0, 4.0), "cameras.txt")

"""The reference itself, against something still more naive: NumPy, SciPy's rotations and harmonics, Python loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from diff_gaussian_rasterization import Thresholds
from diff_gaussian_rasterization.reference import jacobian, project_points, rasterize_reference, sh_basis
from tests.rasterizer.scenes import IMAGES, RasterScene, backward, forward, normal, random_cotangents, random_scene


def real_harmonics(direction: np.ndarray, degree: int) -> np.ndarray:
    """Order m of degree l: √2·Im Y of |m| for m < 0, Y for 0, √2·Re Y for m > 0; Y with the Condon-Shortley phase."""
    polar, azimuth = math.acos(direction[2]), math.atan2(direction[1], direction[0])
    values = []
    for order_l in range(degree + 1):
        for m in range(-order_l, order_l + 1):
            harmonic = sph_harm_y(order_l, abs(m), polar, azimuth)
            values.append(harmonic.real if m == 0 else math.sqrt(2) * (harmonic.imag if m < 0 else harmonic.real))
    return np.array(values)


def naive_splat(scene: RasterScene, k: int) -> dict[str, np.ndarray]:
    """One Gaussian in the image: pixel, inverse covariance, opacity, color, z."""
    t = {name: tensor.numpy() for name, tensor in scene.tensors.items()}
    s = scene.settings
    rotation, translation = t["viewmat"][:3, :3], t["viewmat"][:3, 3]
    x, y, z = rotation @ t["means"][k] + translation
    turned = Rotation.from_quat(t["quats"][k], scalar_first=True).as_matrix()
    sigma = turned @ np.diag((t["scales"][k] * s.get("scale_modifier", 1.0)) ** 2) @ turned.T
    slope_x = np.clip(x / z, -1.3 * s["width"] / (2 * s["fx"]), 1.3 * s["width"] / (2 * s["fx"]))
    slope_y = np.clip(y / z, -1.3 * s["height"] / (2 * s["fy"]), 1.3 * s["height"] / (2 * s["fy"]))
    j = np.array([[s["fx"] / z, 0, -s["fx"] * slope_x / z], [0, s["fy"] / z, -s["fy"] * slope_y / z]])
    sharp = j @ rotation @ sigma @ rotation.T @ j.T
    blurred = sharp + 0.3 * np.eye(2)
    opacity = t["opacities"][k, 0]
    if s.get("antialiasing"):
        opacity = opacity * math.sqrt(max(np.linalg.det(sharp) / np.linalg.det(blurred), 0.000025))
    color = t["colors"][k] if "colors" in t else None
    if color is None:
        away = t["means"][k] + rotation.T @ translation
        harmonics = real_harmonics(away / np.linalg.norm(away), s["sh_degree"])
        color = np.maximum(harmonics @ t["shs"][k, : len(harmonics)] + 0.5, 0)
    pixel = np.array([s["fx"] * x / z + s["cx"], s["fy"] * y / z + s["cy"]])
    return {"pixel": pixel, "inverse": np.linalg.inv(blurred), "opacity": opacity, "color": color, "z": z}


def naive_pixel(splats: list[dict[str, np.ndarray]], i: int, j: int, scene: RasterScene) -> dict[str, np.ndarray]:
    light, hits = 1.0, []
    for splat in splats:
        d = splat["pixel"] - np.array([j + 0.5, i + 0.5])
        alpha = min(0.99, splat["opacity"] * math.exp(-0.5 * d @ splat["inverse"] @ d))
        if alpha < 1 / 255:
            continue
        if light * (1 - alpha) < 1e-4:
            break
        hits.append((alpha * light, splat))
        light *= 1 - alpha
    inverse = scene.settings.get("distortion_space") == "inverse"
    m = [1 / splat["z"] if inverse else splat["z"] for _, splat in hits]
    total = sum(w for w, _ in hits)
    w_m = [(w, value) for (w, _), value in zip(hits, m, strict=True)]
    pairs = sum(wi * wj * (mi - mj) ** 2 for wi, mi in w_m for wj, mj in w_m)
    return {
        "color": sum((w * s["color"] for w, s in hits), start=light * scene.tensors["background"].numpy()),
        "inv_depth": np.array([sum(w / s["z"] for w, s in hits)]),
        "depth": np.array([sum(w * s["z"] for w, s in hits)]),
        "alpha": np.array([total]),
        "distortion": np.array([pairs / (2 * total) if hits else 0.0]),
    }


@pytest.mark.parametrize("seed", range(6))
def test_the_reference_is_what_loops_over_pixels_give(seed: int) -> None:
    scene = random_scene(
        seed, n=16, width=9, height=7, sh_degree=None if seed == 1 else 3, antialiasing=seed % 2 == 0,
        distortion_space="inverse" if seed >= 3 else "linear", scale_modifier=1.3 if seed == 2 else 1.0,
    )  # fmt: skip
    output = rasterize_reference(**scene.tensors, **scene.settings)
    splats = [naive_splat(scene, k) for k in range(len(scene))]
    in_order = sorted((splat for splat in splats if splat["z"] > 0.2), key=lambda splat: float(splat["z"]))
    assert 0 < len(in_order) < len(splats)
    for i in range(scene.settings["height"]):
        for j in range(scene.settings["width"]):
            pixel = naive_pixel(in_order, i, j, scene)
            for name in IMAGES:
                found = getattr(output, name)[:, i, j].numpy()
                np.testing.assert_allclose(found, pixel[name], rtol=1e-9, atol=1e-9, err_msg=f"{name} at {i}, {j}")


def test_harmonics_are_scipys() -> None:
    directions = torch.nn.functional.normalize(normal(torch.Generator().manual_seed(0), 50, 3), dim=1)
    expected = np.stack([real_harmonics(direction, 3) for direction in directions.numpy()])
    np.testing.assert_allclose(sh_basis(directions, 3).numpy(), expected, atol=1e-12)


def test_the_jacobian_is_the_pinholes_derivative_at_the_clamped_point() -> None:
    fx, fy, width, height = 20.0, 25.0, 30, 20
    inside = torch.tensor([0.3, -0.2, 1.7], dtype=torch.float64)
    outside = torch.tensor([5.0, -7.0, 1.7], dtype=torch.float64)
    limit = torch.tensor([1.3 * width / (2 * fx) * 1.7, -1.3 * height / (2 * fy) * 1.7, 1.7], dtype=torch.float64)
    for point, taken_at in ((inside, inside), (outside, limit)):
        derivative = torch.autograd.functional.jacobian(lambda p: project_points(p, fx, fy, 3.0, 4.0), taken_at)
        torch.testing.assert_close(jacobian(point[None], fx, fy, width, height)[0], derivative)


def test_the_clamp_is_differentiated_as_written() -> None:
    """Outside, J's last column is −fx·limit/z: its derivative by z is fx·limit/z², and by x nothing."""
    fx, width, z = 20.0, 30, 1.7
    point = torch.tensor([[5.0, 0.1, z]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(jacobian(point, fx, 20.0, width, 20)[0, 0, 2], point)
    expected = torch.tensor([[0.0, 0.0, fx * (1.3 * width / (2 * fx)) / z**2]], dtype=torch.float64)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("space", ["linear", "inverse"])
def test_thresholds_of_zero_are_safe(space: str) -> None:
    scene = random_scene(3, n=60, distortion_space=space, thresholds=Thresholds(0.0, 0.99, 0.0))
    output, inputs = forward(rasterize_reference, scene)
    for name, gradient in backward(output, random_cotangents(output, 3), inputs).items():
        assert gradient.isfinite().all() and (gradient != 0).any(), name


def test_any_floating_dtype() -> None:
    scene = random_scene(5, n=20)
    double = scene.render(rasterize_reference)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 0)):
        output = scene.render(rasterize_reference, dtype)
        assert output.color.dtype == dtype
        torch.testing.assert_close(output.color.double(), double.color, atol=tolerance, rtol=0)

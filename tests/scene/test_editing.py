"""Edits of whole clouds: what was moved looks the same to a camera that was moved with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gaussian_renderer import RenderSettings, render
from scene.editing import (
    Similarity,
    at_most,
    inside_box,
    inside_sphere,
    opacity_times_area,
    transform,
    transform_camera,
    with_sh_degree,
)
from scene.gaussians.model import Gaussians
from scene.types import Camera, GaussianArrays
from tests.helpers.splats import covariances, splats
from utils.errors import UserError

TURN = Rotation.from_euler("xyz", (40, -70, 110), degrees=True).as_matrix()


def picture(gaussians: GaussianArrays, camera: Camera, mirrored: bool = False) -> np.ndarray:
    """Mirrored pictures are flipped back."""
    with torch.no_grad():
        color = render(Gaussians.from_arrays(gaussians), camera, torch.zeros(3), RenderSettings(0.01, 3)).color
    return color.numpy()[:, :, ::-1] if mirrored else color.numpy()


def scene() -> tuple[GaussianArrays, Camera]:
    """Gaussians, and a camera that looks at them from afar."""
    gaussians = splats(60)
    gaussians.scales[:] += 2
    pose = np.eye(4)
    pose[2, 3] = 5
    return gaussians, Camera("a", 64, 48, 60.0, 60.0, 32.0, 24.0, pose)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_a_turned_world_looks_the_same_to_a_turned_camera(scale: float) -> None:
    gaussians, camera = scene()
    moved = Similarity(TURN, np.array([1.0, -2.0, 3.0]), scale)
    follows = transform_camera(camera, moved)
    np.testing.assert_allclose(follows.center, scale * TURN @ camera.center + moved.translation, atol=1e-12)
    before, after = picture(gaussians, camera), picture(transform(gaussians, moved), follows)
    assert before.std() > 0.1
    np.testing.assert_allclose(after, before, atol=2e-4)
    wrong = GaussianArrays(**{**vars(transform(gaussians, moved)), "shs": gaussians.shs})
    assert np.abs(picture(wrong, follows) - before).max() > 0.05, "the spherical harmonics matter in this test"


def test_a_mirrored_world_is_the_mirrored_picture() -> None:
    gaussians, camera = scene()
    mirrored = transform(gaussians, Similarity(np.diag([-1.0, 1.0, 1.0]), np.zeros(3)))
    np.testing.assert_allclose(picture(mirrored, camera, mirrored=True), picture(gaussians, camera), atol=2e-4)


def test_covariances_turn() -> None:
    gaussians = splats(30)
    moved = transform(gaussians, Similarity(TURN, np.zeros(3), 3.0))
    expected = 9 * TURN @ covariances(gaussians) @ TURN.T
    np.testing.assert_allclose(covariances(moved), expected, rtol=1e-4, atol=1e-9)


def test_a_matrix_becomes_a_similarity_or_is_refused() -> None:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = 2 * TURN, (1, 2, 3)
    found = Similarity.from_matrix(matrix, "--transform")
    np.testing.assert_allclose(found.rotation, TURN, atol=1e-12)
    assert found.scale == pytest.approx(2) and found.translation.tolist() == [1, 2, 3]
    for wrong, problem in (
        (np.diag([1.0, 2, 1, 1]), "stretches space by 2, 1, 1"),
        (np.diag([0.0, 0, 0, 1]), "stretches space by 0"),
        (np.diag([1.0, 1, 1, 2]), "last row 0 0 0 1"),
        (np.full((4, 4), np.nan), "finite"),
    ):
        with pytest.raises(UserError, match=f"--transform.*{problem}"):
            Similarity.from_matrix(wrong, "--transform")


def test_what_lies_inside() -> None:
    means = np.array([(0, 0, 0), (1, 1, 1), (2, 0, 0)], np.float32)
    assert inside_box(means, np.array([1.5, 1.5, 1.5, -1, -1, -1])).tolist() == [True, True, False]
    assert inside_sphere(means, np.array([2.0, 0, 0]), 1.9).tolist() == [False, True, True]


def test_the_most_important_stay_in_their_order() -> None:
    gaussians = splats(10)
    gaussians.means[:, 0] = np.arange(10)
    kept = at_most(gaussians, 3, np.array([0, 9, 1, 8, 2, 7, 3, 6, 4, 5]))
    assert kept.means[:, 0].tolist() == [1, 3, 5] and kept.shs.shape == (3, 16, 3)
    assert at_most(gaussians, 10, np.zeros(10)) is gaussians


def test_opacity_times_area() -> None:
    gaussians = splats(2)
    gaussians.scales[:] = np.log([(1, 3, 2), (0.001, 2, 2)])
    gaussians.opacities[:] = 0
    np.testing.assert_allclose(opacity_times_area(gaussians), [3, 2], rtol=1e-6)


def test_degrees_are_cut_and_filled() -> None:
    gaussians = splats(4, 9)
    assert with_sh_degree(gaussians, 1).shs.shape == (4, 4, 3)
    filled = with_sh_degree(gaussians, 3).shs
    assert filled.shape == (4, 16, 3) and not filled[:, 9:].any()
    np.testing.assert_array_equal(filled[:, :9], gaussians.shs)

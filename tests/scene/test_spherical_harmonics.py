"""The spherical harmonics in numpy: the rasterizer's own functions, and their rotation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from scene.spherical_harmonics import SH_COUNTS, degree_of, rotate_sh, rotation_of_degree, sh_basis


def directions(count: int = 40) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


MIRRORED = Rotation.random(random_state=2).as_matrix() @ np.diag([1.0, 1.0, -1.0])


@pytest.mark.parametrize("turn", [Rotation.random(random_state=1).as_matrix(), MIRRORED], ids=["turned", "mirrored"])
def test_turned_coefficients_are_the_turned_function(turn: np.ndarray) -> None:
    shs, seen = np.random.default_rng(1).normal(size=(5, 16, 3)), directions()
    turned = rotate_sh(shs, turn)
    before = np.einsum("dk,nkc->ndc", sh_basis(seen), shs)
    after = np.einsum("dk,nkc->ndc", sh_basis(seen @ turn.T), turned)
    np.testing.assert_allclose(after, before, atol=1e-13)
    assert np.abs(turned - shs)[:, 1:].max() > 0.5
    np.testing.assert_array_equal(turned[:, 0], shs[:, 0])


def test_the_matrices_are_orthogonal_and_follow_each_other() -> None:
    one, other = (Rotation.random(random_state=seed).as_matrix() for seed in (3, 4))
    for degree in range(4):
        a, b, both = (rotation_of_degree(degree, each) for each in (one, other, other @ one))
        np.testing.assert_allclose(a @ a.T, np.eye(2 * degree + 1), atol=1e-13)
        np.testing.assert_allclose(b @ a, both, atol=1e-13)


def test_half_turns_change_signs_only() -> None:
    for degree in range(4):
        matrix = rotation_of_degree(degree, np.diag([1.0, -1.0, -1.0]))
        np.testing.assert_allclose(np.abs(matrix), np.eye(2 * degree + 1), atol=1e-13)


def test_the_functions_are_those_of_the_rasterizer() -> None:
    """One opaque Gaussian before the camera for each function: its color is the function at the view's direction."""
    from diff_gaussian_rasterization import rasterize

    for place in directions(4):
        shs = torch.zeros(1, 16, 3)
        for index in range(1, 16):
            shs.zero_()
            shs[0, index] = 0.5
            mean = torch.tensor(place * 3, dtype=torch.float32)[None]
            forward = Rotation.align_vectors([(0, 0, 1)], [place])[0].as_matrix()
            pose = torch.eye(4)
            pose[:3, :3] = torch.tensor(forward)
            color = rasterize(
                mean, torch.full((1, 3), 2.0), torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 1), 0.9), shs,
                viewmat=pose, fx=8.0, fy=8.0, cx=4.5, cy=4.5, width=9, height=9,
                background=torch.zeros(3), sh_degree=3,
            ).color[0, 4, 4]  # fmt: skip
            assert float(color) / 0.9 == pytest.approx(0.5 + 0.5 * sh_basis(place[None])[0, index], abs=1e-4)


def test_degrees() -> None:
    assert [degree_of(count) for count in SH_COUNTS] == [0, 1, 2, 3]

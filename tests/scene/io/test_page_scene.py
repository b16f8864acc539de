"""What viewer.html holds of a PLY: the same in fewer bytes, rounded so that nobody sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene.editing import rows
from scene.io import page_scene, ply
from scene.io.packing import morton_order
from tests.helpers.splats import alphas, covariances, splats


@pytest.mark.parametrize("sh_count", [1, 4, 16])
def test_errors_are_those_of_the_steps(tmp_path: Path, sh_count: int) -> None:
    original = splats(2000, sh_count)
    original.means[0] = 1e5, -2e5, 3e5  # one that is far away costs the others nothing
    packed = page_scene.pack(original)
    (tmp_path / "a.ply").write_bytes(page_scene.unpack(packed))
    read, original = ply.read(tmp_path / "a.ply"), rows(original, morton_order(original.means))
    size = np.exp(original.scales.mean(axis=1, keepdims=True))
    rounding = 2 * np.spacing(np.abs(original.means))
    assert (np.abs(read.means - original.means) <= 0.003 * size + rounding).all()
    assert np.abs(read.scales - original.scales).max() <= page_scene.LOG_SCALE / 2
    assert np.abs(read.shs - original.shs).max() <= page_scene.COEFFICIENT / 2
    assert np.abs(alphas(read) - alphas(original)).max() <= page_scene.LOGIT / 8 + 1e-6, "its slope is 1/4 at most"
    off = np.abs(covariances(read) - covariances(original)).max(axis=(1, 2))
    assert (off <= 0.02 * covariances(original).trace(axis1=1, axis2=2)).all()


def test_it_is_far_smaller_than_the_file() -> None:
    """Colors that hardly change with the view, as after a short training, cost nearly nothing."""
    plain = splats(5000, 16)
    plain.shs[:, 1:] *= 0.01
    data = ply.encode(plain)
    assert len(page_scene.pack(plain).packed) < len(data) / 5
    assert len(page_scene.pack(splats(5000, 16)).packed) < len(data) / 2


def test_no_gaussians(tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_bytes(page_scene.unpack(page_scene.pack(splats(0, 4))))
    assert (tmp_path / "a.ply").read_bytes() == ply.encode(splats(0, 4))

"""export.py: the Gaussians of a model, in the format of a suffix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import export
from scene.io import read_gaussians, write_gaussians
from scene.types import GaussianArrays
from utils.errors import UserError
from utils.output_dir import point_cloud_path

pytestmark = pytest.mark.slow


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model with two saved iterations, of 7 and of 30 Gaussians."""
    for iteration in (7, 30):
        sizes = dict(means=3, scales=3, quats=4, opacities=1)
        values = {name: np.full((iteration, size), 0.5, np.float32) for name, size in sizes.items()}
        arrays = GaussianArrays(**values, shs=np.full((iteration, 1, 3), 0.5, np.float32))
        write_gaussians(point_cloud_path(tmp_path / "model", iteration), arrays)
    return tmp_path / "model"


def test_the_last_or_the_chosen_iteration(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export.main(["-m", str(model), str(tmp_path / "last.ply")])
    assert "last.ply: 30 Gaussians of " in capsys.readouterr().out
    export.main(["-m", str(model), str(tmp_path / "folder" / "first.ply"), "--iteration", "7", "--quiet"])
    assert capsys.readouterr().out == ""
    counts = [len(read_gaussians(tmp_path / name).means) for name in ("last.ply", "folder/first.ply")]
    assert counts == [30, 7]


@pytest.mark.parametrize(
    ("words", "problem"),
    [("a.ksplat", "a.ksplat has the suffix .ksplat"), ("a.ply --iteration 8", "--iteration 8 was not saved.*7, 30")],
)
def test_what_cannot_be_is_refused(model: Path, tmp_path: Path, words: str, problem: str) -> None:
    name, *flags = words.split()
    with pytest.raises(UserError, match=problem):
        export.main(["-m", str(model), str(tmp_path / name), *flags])
    assert not (tmp_path / name).exists()

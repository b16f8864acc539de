"""Formats by suffix: the one seam through which files of Gaussians go."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from scene.io import FORMATS, format_of, ply, read_gaussians, write_gaussians
from scene.types import GaussianArrays
from tests.test_architecture import MODULES
from utils.errors import UserError


class Numpy:
    """A toy format."""

    def write(self, path: Path, gaussians: GaussianArrays) -> None:
        with open(path, "wb") as file:
            np.savez(file, **vars(gaussians))

    def read(self, path: Path) -> GaussianArrays:
        return GaussianArrays(**np.load(path))


def gaussians() -> GaussianArrays:
    rng = np.random.default_rng(3)
    shapes = {"means": (3,), "scales": (3,), "quats": (4,), "opacities": (1,), "shs": (4, 3)}
    return GaussianArrays(**{name: rng.normal(size=(5, *shape)).astype(np.float32) for name, shape in shapes.items()})


def test_the_suffix_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, ".npz", Numpy())
    for name in ("a.ply", "B.PLY", "c.npz"):
        write_gaussians(tmp_path / name, gaussians())
        read = read_gaussians(tmp_path / name)
        assert all(np.array_equal(value, getattr(read, key)) for key, value in vars(gaussians()).items())
    assert (tmp_path / "B.PLY").read_bytes().startswith(b"ply\n")
    assert not (tmp_path / "c.npz").read_bytes().startswith(b"ply\n")
    assert format_of(Path("x.ply")) is ply


@pytest.mark.parametrize(("name", "found"), [("a.ksplat", "the suffix .ksplat"), ("a", "no suffix")])
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path, name: str, found: str) -> None:
    known = ", ".join(sorted(FORMATS))
    for action in (lambda path: write_gaussians(path, gaussians()), read_gaussians):
        with pytest.raises(UserError, match=rf"{name} has {found}; .* as {known}"):
            action(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_page_is_written_and_not_read(tmp_path: Path) -> None:
    write_gaussians(tmp_path / "a.html", gaussians())
    assert (tmp_path / "a.html").read_bytes().startswith(b"<!doctype html>")
    with pytest.raises(UserError, match=r"a\.html is a page to look at.*; give the file that it was made of"):
        read_gaussians(tmp_path / "a.html")


def test_nobody_goes_past_the_registry() -> None:
    """Only the registry imports a format's module."""
    for module, path in MODULES.items():
        if module.startswith("scene.io"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = {name.name for name in node.names} if isinstance(node, ast.ImportFrom) else set()
            assert not (isinstance(node, ast.ImportFrom) and node.module == "scene.io.ply"), f"{path} imports ply"
            assert not (isinstance(node, ast.ImportFrom) and node.module == "scene.io" and "ply" in names), path

"""The house plan's arrows, held by reading every import: who may use whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {"train", "render", "metrics"}
PARTS = {"arguments", "utils", "scene", "gaussian_renderer", "diff_gaussian_rasterization"} | SCRIPTS
EXTENSION = "submodules/diff-gaussian-rasterization/diff_gaussian_rasterization"

# folder or file -> the parts it may import beside itself
MAY_IMPORT: dict[str, set[str]] = {
    "arguments": {"utils.errors"},  # everyone may tell people what is wrong
    "utils": {"diff_gaussian_rasterization"},  # for SSIM: the extension knows nothing of the project
    "scene": {"arguments", "utils", "diff_gaussian_rasterization"},  # for Adam
    "gaussian_renderer": {"arguments", "scene", "utils", "diff_gaussian_rasterization"},
    EXTENSION: set(),
    "train.py": {"arguments", "utils", "scene", "gaussian_renderer"},
    "render.py": {"arguments", "utils", "scene", "gaussian_renderer"},
    "metrics.py": {"arguments", "utils", "scene", "gaussian_renderer"},
}


def sources(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The full names of the modules a file imports, inside functions too; relative imports stay at home."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def allowed(name: str, allowances: set[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in allowances)


@pytest.mark.parametrize("place", MAY_IMPORT)
def test_arrows_point_one_way(place: str) -> None:
    files = sources(place)
    assert all(path.exists() for path in files) and files, f"{place} is not there"
    own = Path(place).stem
    for path in files:
        for name in imported(path):
            if name.split(".")[0] in PARTS - {own}:
                assert allowed(name, MAY_IMPORT[place]), f"{path.relative_to(ROOT)} must not import {name}"


def test_only_the_report_prints() -> None:
    for place in ("arguments", "utils", "scene", "gaussian_renderer", "train.py"):
        for path in sources(place):
            if path == ROOT / "utils" / "report.py":
                continue
            calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            printing = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
            assert not printing, f"{path.relative_to(ROOT)} prints; utils/report.py does that"


def test_the_rasterizer_has_one_door() -> None:
    for place in ("train.py", "scene", "utils", "arguments"):
        for path in sources(place):
            names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
            assert not names & {"rasterize", "GaussianRasterizer"}, (
                f"{path.relative_to(ROOT)} goes past gaussian_renderer"
            )

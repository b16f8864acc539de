"""The arrows between the rooms of the house, held by reading every import, and that no circle exists.

A room is a top-level script, or a folder with its own Python files; `scene/depth` is another room than `scene`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTENSION = "submodules/diff-gaussian-rasterization/diff_gaussian_rasterization"
UTILS = {"utils", "utils.losses", "utils.losses.depth", "utils.metrics", "utils.reporting"}
DATA = {
    *("scene.io", "scene.depth", "scene.readers", "scene.loading", "scene.gaussians"),
    *("scene.inputs", "scene.sfm"),
}
LIVE = "gaussian_renderer.live"
ABOVE = {"gaussian_renderer", LIVE, "diff_gaussian_rasterization"}

# room -> the rooms that it may import, besides itself
MAY_IMPORT: dict[str, set[str]] = {
    "utils": set(),
    # L1 and SSIM, the mean distortion and the default depth loss are operators of the extension
    "utils.losses": {"utils", "diff_gaussian_rasterization"},
    "utils.losses.depth": {"utils", "diff_gaussian_rasterization"},
    "utils.metrics": {"utils", "utils.losses"},
    "utils.reporting": {"utils", "utils.metrics"},
    "arguments": {"utils", "utils.losses.depth"},  # the names and formulas of the losses
    "scene": {"utils", *DATA},  # types and images at the bottom, build and load_scene at the top: see below
    "scene.io": {"utils", "scene"},
    "scene.inputs": {"utils"},  # files that become folders
    "scene.sfm": {"utils", "scene", "scene.inputs"},
    "scene.readers": {"utils", "scene", "scene.io", "scene.inputs", "scene.sfm"},
    "scene.depth": {"utils", "scene"},
    "scene.loading": {"utils", "scene", "scene.depth"},
    "scene.gaussians": {"utils", "arguments", "scene", "diff_gaussian_rasterization"},  # Adam is an operator, too
    "scene.paths": {"utils", "scene", "scene.gaussians", "scene.readers"},
    "scene.mesh": {"utils", "scene", "scene.depth"},
    "scene.synthetic": {"utils", "scene", "scene.io", "scene.mesh", "scene.readers"},
    "gaussian_renderer": {*UTILS, "arguments", "scene", *DATA, "diff_gaussian_rasterization"},
    LIVE: {"utils", "scene", *DATA, "gaussian_renderer", "diff_gaussian_rasterization"},
    "training": {*UTILS, "arguments", "scene", *DATA, *ABOVE, "training.strategies", "training.distributed"},
    "training.strategies": {*UTILS, "arguments", "scene", *DATA, "training", "diff_gaussian_rasterization"},
    "training.distributed": {"utils", "arguments", "scene", *DATA, *ABOVE, "training", "training.strategies"},
    "diff_gaussian_rasterization": set(),
    "train": {
        *UTILS, "arguments", "scene", *DATA, "gaussian_renderer", LIVE,
        "training", "training.strategies", "training.distributed",
    },
    "render": {*UTILS, "arguments", "scene", *DATA, "scene.paths", "gaussian_renderer"},
    "view": {"utils", "arguments", "scene", *DATA, "gaussian_renderer", LIVE},
    "export": {"utils", "arguments", "scene", *DATA, "gaussian_renderer"},
    "mesh": {
        "utils", "arguments", "scene", "scene.io", "scene.gaussians", "scene.mesh", "scene.synthetic",
        "gaussian_renderer",
    },
    "metrics": UTILS,
}  # fmt: skip
PACKAGES = {room.split(".")[0] for room in MAY_IMPORT}


def path_of(room: str) -> Path:
    return ROOT / EXTENSION if room == "diff_gaussian_rasterization" else ROOT / room.replace(".", "/")


def files_of(room: str) -> list[Path]:
    folder = path_of(room)
    return sorted(folder.glob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for room in MAY_IMPORT for path in files_of(room)}  # by their full names


def imported(path: Path) -> Iterator[str]:
    """The modules of the project that a file imports, inside functions too; relative imports stay at home."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for name in node.names:
                full = f"{node.module}.{name.name}"
                yield full if full in MODULES else node.module or ""


def room_of(module: str) -> str:
    """The room that a module lies in: its own name where that is a room."""
    return module if module in MAY_IMPORT else module.rpartition(".")[0]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_arrows_point_one_way(room: str) -> None:
    files = files_of(room)
    assert files and all(path.exists() for path in files), f"{room} is not there"
    for path in files:
        for module in imported(path):
            if module.split(".")[0] in PACKAGES - {"diff_gaussian_rasterization"}:
                used = room_of(module)
                assert used == room or used in MAY_IMPORT[room], f"{path.relative_to(ROOT)} must not import {module}"
            elif module.split(".")[0] == "diff_gaussian_rasterization" and room != "diff_gaussian_rasterization":
                assert "diff_gaussian_rasterization" in MAY_IMPORT[room], (
                    f"{path.relative_to(ROOT)} must not import {module}"
                )


def test_every_folder_is_a_room() -> None:
    for package in PACKAGES - {"diff_gaussian_rasterization"}:
        for path in path_of(package).rglob("*.py"):
            assert room_of(module_of(path)) in MAY_IMPORT, f"{path.relative_to(ROOT)} lies in no room of MAY_IMPORT"


def test_no_circle() -> None:
    """Of modules: no file imports, directly or through others, what imports it."""
    arrows = {name: {m for m in imported(path) if m in MODULES and m != name} for name, path in MODULES.items()}
    left = dict(arrows)
    while free := {name for name, used in left.items() if not used & left.keys()}:
        left = {name: used for name, used in left.items() if name not in free}
    assert not left, f"modules in a circle, or above one: {', '.join(sorted(left))}"


def test_only_the_console_prints() -> None:
    for name, path in MODULES.items():
        if name == "utils.console" or name.startswith("submodules"):
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        printing = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not printing, f"{path.relative_to(ROOT)} prints; utils/console.py does that"


def test_the_rasterizer_has_one_door() -> None:
    for name, path in MODULES.items():
        if name.split(".")[0] in ("train", "training", "scene", "utils", "arguments"):
            names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
            assert not names & {"rasterize", "project_splats", "blend_splats", "GaussianRasterizer"}, (
                f"{path.relative_to(ROOT)} goes past gaussian_renderer"
            )


def test_stages_take_their_own_options() -> None:
    """All settings at once are for those who parse, store and hand them out."""
    allowed = {"train", "render", "training.startup", "gaussian_renderer.trained"}
    for name, path in MODULES.items():
        if name not in allowed and not name.startswith("arguments"):
            names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
            assert "TrainOptions" not in names, f"{path.relative_to(ROOT)} takes all settings, not its own group"

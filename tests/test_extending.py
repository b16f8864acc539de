"""The recipes of docs/extending.md: each is applied to a copy of the code, one new file and one edited, and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from scene import load_scene
from scene.io import write_gaussians
from scene.types import GaussianArrays
from tests.helpers import rgbd
from utils.output_dir import point_cloud_path

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "extending.md"
CODE = ("arguments", "scene", "gaussian_renderer", "training", "utils", "train.py", "export.py")
MAX_LINES = 35  # of a recipe's file, without empty ones


PRINT_GAUSSIANS = """
import json, sys
from pathlib import Path
from scene.io import read_gaussians
print(json.dumps({name: value.tolist() for name, value in vars(read_gaussians(Path(sys.argv[1]))).items()}))
"""


class Recipe(NamedTuple):
    """A new file, and what changes in a registry."""

    path: str
    code: str
    edited: str
    hunks: list[tuple[str, str]]  # what stands there, what is to stand there


def recipe(heading: str) -> Recipe:
    section = DOCUMENT.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    (python,), (diff,) = (re.findall(rf"```{kind}\n# (\S+)\n(.*?)```", section, re.S) for kind in ("python", "diff"))
    hunks = []
    for hunk in diff[1].split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        assert all(line[0] in " +-" for line in lines)
        hunks.append(tuple("".join(line[1:] for line in lines if line[0] != sign) for sign in "+-"))
    return Recipe(python[0], python[1], diff[0], hunks)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The code that a recipe may change; the extension is used as it is."""
    for name in CODE:
        source, target = ROOT / name, tmp_path / "copy" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extending") / "scene"
    rgbd.write_depth(folder, rgbd.write_scene(folder))
    return folder


def apply(heading: str, copy: Path) -> None:
    """One new file, one edited, and no more lines than the document promises."""
    made = recipe(heading)
    assert not (copy / made.path).exists(), f"{made.path} is there already"
    assert len([line for line in made.code.splitlines() if line.strip()]) <= MAX_LINES
    (copy / made.path).write_text(made.code)
    text = (copy / made.edited).read_text()
    for old, new in made.hunks:
        assert text.count(old) == 1, f"{made.edited} has no such lines, or has them more than once:\n{old}"
        text = text.replace(old, new)
    (copy / made.edited).write_text(text)


def run(copy: Path, *words: str) -> str:
    """What Python prints with the copy's code; a failure shows what it said."""
    paths = (copy, ROOT / "submodules" / "diff-gaussian-rasterization")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run([sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


TRAIN = """
import json, sys
import train
for place, flags in enumerate(json.loads(sys.argv[1])):
    train.main([*flags.split(), "-m", f"out{place}", "--quiet"])
"""


def trained(copy: Path, dataset: Path, *flags: str) -> list[list[dict[str, Any]]]:
    """The logs of short trainings with the copy's code, of one for each of `flags`."""
    run(copy, "-c", TRAIN, json.dumps([f"-s {dataset} {each}" for each in flags]))
    logs = [(copy / f"out{place}" / "metrics.jsonl").read_text().splitlines() for place in range(len(flags))]
    return [[json.loads(line) for line in lines] for lines in logs]


def test_a_dataset_reader(copy: Path, dataset: Path, tmp_path: Path) -> None:
    expected = load_scene(dataset)
    folder = tmp_path / "photos"
    shutil.copytree(dataset / "images", folder / "images")
    cameras = [view.camera for view in expected.train]
    entries = [
        dict(img_name=each.name, width=each.width, height=each.height, fx=each.fx, fy=each.fy)
        | dict(position=each.center.tolist(), rotation=each.camera_from_world[:3, :3].T.tolist())
        for each in cameras
    ]
    (folder / "cameras.json").write_text(json.dumps(entries))
    look = f"""
import json
from scene import load_scene
scene = load_scene({str(folder)!r})
views = [dict(name=view.camera.name, pose=view.camera.camera_from_world.tolist()) for view in scene.train]
print(json.dumps(dict(kind=scene.kind, views=views)))
"""
    apply("A dataset reader", copy)
    found = json.loads(run(copy, "-c", look))
    assert found["kind"] == "cameras.json" and len(found["views"]) == len(cameras) > 0
    for view, camera in zip(found["views"], cameras, strict=True):
        assert view["name"] == camera.name
        np.testing.assert_allclose(view["pose"], camera.camera_from_world, atol=1e-9)


def test_a_depth_loss(copy: Path, dataset: Path) -> None:
    apply("A depth loss", copy)
    flags = "--iterations 2 --depth_loss huber+0.5*l1 --huber_delta"
    (narrow, *_), (wide, *_) = trained(copy, dataset, f"{flags} 0.001", f"{flags} 0.5")
    assert 0 < wide["depth_huber"] < narrow["depth_huber"] <= narrow["depth_l1"]
    assert json.loads((copy / "out1" / "config.json").read_text())["extensions"]["huber_delta"] == 0.5


def test_a_densification_strategy(copy: Path, dataset: Path) -> None:
    apply("A densification strategy", copy)
    flags = "--iterations 5 --strategy fade --densification_interval 2 --fade_opacity"
    log, faded = trained(copy, dataset, f"{flags} 0.0001", f"{flags} 0.1001")
    kept = next(line["gaussians"] for line in log if "gaussians" in line)
    assert [line["densification"] for line in log if "densification" in line] == [{"faded": 0}] * 2
    removed = sum(line["densification"]["faded"] for line in faded if "densification" in line)
    left = next(line["gaussians"] for line in faded if "gaussians" in line)
    assert 0 < removed < kept and left == kept - removed


def test_an_export_format(copy: Path, tmp_path: Path) -> None:
    apply("An export format", copy)
    model = tmp_path / "model"
    rng = np.random.default_rng(0)
    shapes = dict(means=(3,), scales=(3,), quats=(4,), opacities=(1,), shs=(4, 3))
    values = {name: rng.normal(size=(5, *shape)).astype(np.float32) for name, shape in shapes.items()}
    write_gaussians(point_cloud_path(model, 7), GaussianArrays(**values))
    said = run(copy, "export.py", "-m", str(model), str(tmp_path / "a.npz"))
    assert "a.npz: 5 Gaussians" in said
    read = json.loads(run(copy, "-c", PRINT_GAUSSIANS, str(tmp_path / "a.npz")))
    assert read.keys() == values.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(np.array(read[name], np.float32), value)


NORMAL_MAP = """
import json, math
from normals import render_normals
import numpy as np, torch
from scene.gaussians.model import Gaussians
from scene.types import Camera
side = torch.linspace(-2, 2, 41)
grid = torch.cartesian_prod(side, side)
count, angle = len(grid), 0.4
means = torch.cat([grid, 4 - math.tan(angle) * grid[:, :1]], dim=1)  # a wall, turned about the y axis
quats = torch.tensor([[math.cos(angle / 2), 0, math.sin(angle / 2), 0]]).repeat(count, 1)
scales = torch.tensor([[0.08, 0.08, 0.001]]).log().repeat(count, 1)
values = dict(means=means, scales=scales, quats=quats, opacities=torch.full((count, 1), 4.0))
gaussians = Gaussians({**values, "shs_dc": torch.zeros(count, 1, 3), "shs_rest": torch.zeros(count, 0, 3)})
camera = Camera("a", 40, 30, 40.0, 40.0, 20.0, 15.0, np.eye(4))
image = render_normals(gaussians, camera, 0.1)
image[0].sum().backward()
found = image.detach()[:, 15, 20].tolist(), gaussians.quats.grad.abs().sum().item()
print(json.dumps(found))
"""


def test_an_image_through_feature_channels(copy: Path) -> None:
    """A file of one's own, beside the code, and nothing that is edited."""
    section = DOCUMENT.read_text().split("## An image through feature channels\n")[1]
    ((name, code),) = re.findall(r"```python\n# (\S+)\n(.*?)```", section, re.S)
    assert sum(bool(line.strip()) for line in code.splitlines()) <= MAX_LINES
    (copy / name).write_text(code)
    normal, gradient = json.loads(run(copy, "-c", NORMAL_MAP))
    np.testing.assert_allclose(normal, [-np.sin(0.4), 0, -np.cos(0.4)], atol=1e-3)
    assert gradient > 1e-3

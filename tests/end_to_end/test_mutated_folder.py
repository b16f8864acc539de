"""Model folders whose small files were changed by something else: never a traceback."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import metrics
import train
from tests.end_to_end.test_train import run
from tests.helpers.ring import make_dataset
from training import outputs
from utils.errors import UserError
from utils.metrics_log import read_log

pytestmark = pytest.mark.slow

JUNK: list[Any] = [None, -1, 2**70, 1e400, float("nan"), "x", "", [], {}, [None], {"a": 1}, True, [[1]], 0]
RESUMED = ("run.json", "metrics.jsonl", "config.json")
MEASURED = ("metrics.jsonl", "run.json", "test/ours_3/names.json", "test/ours_3/colors.json")
NO_DEPTH = {"MAE": 1.0, "median": 1.0, "RMSE": 1.0, "delta<1.25": 1.0, "completeness": 1.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 3 steps without its result, with a checkpoint after 2."""
    base = tmp_path_factory.mktemp("run")
    run(make_dataset(base / "data"), base / "out", "--eval --checkpoint_iterations 2", 3).unlink()
    return base / "out"


def ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """To everything in a value made of objects and lists."""
    yield way
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in pairs:
        yield from ways(each, (*way, name))


def replaced(value: Any, way: tuple[Any, ...], by: Any) -> Any:
    if not way:
        return by
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[way[0]] = replaced(value[way[0]], way[1:], by)
    return changed


def mutated(data: bytes, by_line: bool, rng: random.Random) -> bytes:
    """A few bytes changed, the end cut off, or something else in the place of one value."""
    kind = rng.randrange(4)
    if kind == 0:
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    if kind == 1:
        return data[: rng.randrange(len(data))]
    lines = data.splitlines() if by_line else [data]
    line = rng.randrange(len(lines))
    value = json.loads(lines[line])
    lines[line] = json.dumps(replaced(value, rng.choice(list(ways(value))), rng.choice(JUNK))).encode()
    return b"\n".join(lines)


def changed_copy(model: Path, copy: Path, names: tuple[str, ...], rng: random.Random) -> None:
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(model, copy)
    path = copy / rng.choice(names)
    path.write_bytes(mutated(path.read_bytes(), path.suffix == ".jsonl", rng))


def test_resuming(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "write_summary", lambda folder: [])
    monkeypatch.setattr(outputs, "render_views", lambda *_: iter(()))
    rng, refused = random.Random(5), 0
    for _ in range(40):
        changed_copy(model, tmp_path / "copy", RESUMED, rng)
        try:
            train.main(["-m", str(tmp_path / "copy"), "--resume", "--quiet"])
        except UserError:
            refused += 1
    assert 0 < refused < 40


def test_measuring(model: Path, tmp_path: Path) -> None:
    rng = random.Random(6)
    for _ in range(8):
        changed_copy(model, tmp_path / "copy", MEASURED, rng)
        metrics.main(["-m", str(tmp_path / "copy"), "--quiet"])
        assert (tmp_path / "copy/report.html").stat().st_size > 1000


@pytest.mark.parametrize(
    "scores", [[], {"00000.png": 1}, {"00000.png": {"MAE": 1}}, {"00000.png": {**NO_DEPTH, "MAE": "x"}}]
)
def test_scores_of_depth_that_are_none(scores: Any, model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy")
    (tmp_path / "copy/test/ours_3/depth_scores.json").write_text(json.dumps(scores))
    metrics.main(["-m", str(tmp_path / "copy"), "--quiet"])
    assert "depth" not in json.loads((tmp_path / "copy/results.json").read_text())["ours_3"]


@pytest.mark.parametrize(
    "line",
    [
        {"iteration": "1", "seconds": 1.0}, {"iteration": 1}, {"iteration": 1, "seconds": float("nan")}, [1], 7,
        {"iteration": 1, "seconds": 1.0, "loss": []}, {"iteration": 1, "seconds": 1.0, "test": 3.0},
        {"iteration": 1, "seconds": 1.0, "test": {"PSNR": "x"}}, {"iteration": 1, "seconds": 1.0, "loss": 0.5},
    ],
)  # fmt: skip
def test_lines_of_the_log_that_are_none(line: Any, tmp_path: Path) -> None:
    good = [
        {"iteration": 2, "seconds": 1.5, "loss": 0.5, "gaussians": 7},
        {"iteration": 2, "seconds": 2, "audit": {"l1": {}}},
        {"iteration": 2, "seconds": 2, "test": {"PSNR": None, "SSIM": 0.5}},
    ]
    (tmp_path / "log").write_text("\n".join(json.dumps(each) for each in (good[0], line, *good[1:])))
    assert read_log(tmp_path / "log") == good

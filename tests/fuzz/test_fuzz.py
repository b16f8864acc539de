"""A short run of the fuzzer, and the damaged inputs that were found before: a valid scene or the project's error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import features

from tests.conftest import REAL_SCENES
from tests.fuzz import reading
from tests.fuzz import run as run_module
from tests.fuzz.formats import FORMATS, chunks_resealed
from tests.fuzz.mutate import mutated
from tests.fuzz.run import FINE, TOO_LONG, Dataset, inputs_of, kind_of, outcome, read_table
from tests.fuzz.run import fuzz as run_fuzz

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CASES = REAL_SCENES.parent / "cases" / "fuzz"


def run(*arguments: str) -> str:
    """The fuzzer in a process of its own, whose memory is limited; it must find nothing."""
    command = [sys.executable, "-m", "tests.fuzz.run", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("kind", FORMATS)
def test_an_undamaged_dataset_is_valid(tmp_path: Path, kind: str) -> None:
    if kind == "spz_4" and sys.version_info < (3, 14):
        pytest.importorskip("backports.zstd", reason="SPZ version 4 needs it: pip install backports.zstd")
    if kind == "img_avif" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    if not FORMATS[kind].is_writable:
        pytest.skip(f"{FORMATS[kind].needs} is not installed")
    FORMATS[kind].write(tmp_path)
    assert outcome(tmp_path, kind) == "valid"
    assert all(list(tmp_path.glob(pattern)) for pattern in FORMATS[kind].damaged)


def test_damage_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    data = b'{"w": 16, "frames": [{"file_path": "a", "transform_matrix": [[1, 2]]}]}'
    results = [mutated(data, seed, ".json") for seed in range(200)]
    assert results == [mutated(data, seed, ".json") for seed in range(200)] and len(set(results)) > 100
    made = [Dataset(tmp_path / name, "tum") for name in "ab"]
    whole = {path: path.read_bytes() for path in (tmp_path / "b").rglob("*.txt")}
    with made[0].damaged(7) as one, made[1].damaged(7) as other:
        assert one.name == other.name and one.read_bytes() == other.read_bytes() != whole[other]
    assert {path: path.read_bytes() for path in (tmp_path / "b").rglob("*.txt")} == whole


def test_what_is_neither_valid_nor_refused_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyError("x")

    FORMATS["tum"].write(tmp_path)
    monkeypatch.setattr(reading, "load_scene", fails)
    assert outcome(tmp_path, "tum").startswith("KeyError at")


def test_what_takes_too_long_once_may_be_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, results = Dataset(tmp_path, "tum"), [TOO_LONG, "valid", TOO_LONG, TOO_LONG]
    monkeypatch.setattr(run_module, "judged", lambda read: results.pop(0))
    assert [run_module.tried(dataset, "tum", 1, None) for _ in range(2)] == ["valid", TOO_LONG]


def test_a_table_goes_on_where_the_last_run_ended(tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    counts = [run_fuzz(["tum", "splat"], 0, 60, most, None, table) for most in (3, 5)]
    assert [inputs_of(each, kind) for each in counts for kind in ("tum", "splat")] == [3, 3, 5, 5]
    assert read_table(table) == counts[1]


def test_damage_to_a_png_is_behind_its_check_sums(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path / "d", "img_png_sealed")
    whole = {path: path.read_bytes() for path in (tmp_path / "d" / "images").iterdir()}
    assert all(chunks_resealed(data) == data for data in whole.values())
    with dataset.damaged(5) as path:
        assert path.read_bytes() != whole[path] and path.read_bytes() == chunks_resealed(path.read_bytes())


def test_a_part_alone_sees_the_damage_that_the_whole_scene_sees(tmp_path: Path) -> None:
    """Damage to a text and of a photo: what refuses the part refuses the scene, or leaves the photo out."""
    for kind in ("colmap_txt", "img_png"):
        dataset = Dataset(tmp_path / kind, kind)
        results = [(dataset.outcome(seed)[0], dataset.outcome(seed, whole=True)[0]) for seed in range(1, 25)]
        assert {"valid", "refused"} == {part for part, _ in results} and {whole for _, whole in results} <= set(FINE)
        if kind == "colmap_txt":
            assert all(whole == "refused" for part, whole in results if part == "refused")


def test_a_few_damaged_inputs_of_every_format_are_fine() -> None:
    said = run("--inputs", "5", "--seconds", "240")
    assert "0 faults" in said and all(f"\n{kind} " in f"\n{said}" for kind in FORMATS)


def test_inputs_that_once_escaped_are_fine() -> None:
    if not CASES.exists():
        pytest.skip(f"the damaged inputs that were collected are not at {CASES}")
    known = [path for path in CASES.iterdir() if kind_of(path.name) in FORMATS]
    assert f"{len(known)} kept inputs, 0 of them not fine" in run("--replay", str(CASES)) and len(known) > 100

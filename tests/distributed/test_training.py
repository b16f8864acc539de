"""train.py on several ranks: one model, the same as of one rank with as many photos in a step."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train
from scene import load_scene
from scene.io.ply import read
from scene.loading.image_cache import ShuffledViews
from tests.helpers.ranks import Ended, run_processes
from tests.helpers.ring import BUSY
from training.checkpoint import load_checkpoint
from training.distributed import startup, watch
from training.distributed.checkpoint import load_sharded
from training.distributed.startup import scaling_text
from training.gradient_checks import ZeroGradientCheck
from training.startup import read_options
from training.strategies import surveys
from utils.distributed import Launch
from utils.errors import UserError
from utils.losses import regularizers
from utils.metrics_log import read_log

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]

FLAGS = f"{BUSY} --iterations 24 --quiet --test_iterations 10"
STRATEGIES = ("threshold", "budget", "mcmc")


def train_on(size: int, dataset: Path, model: Path, flags: str = "") -> list[Any]:
    words = ["-s", str(dataset), "-m", str(model), *FLAGS.split(), *flags.split()]
    return run_processes(size, train.main, words)


def ply_of(model: Path, iteration: int = 24) -> Path:
    return model / "point_cloud" / f"iteration_{iteration}" / "point_cloud.ply"


def sorted_rows(path: Path) -> np.ndarray:
    """All numbers of a PLY, the Gaussians in an order of their own."""
    arrays = vars(read(path))
    rows = np.concatenate([each.reshape(len(each), -1) for each in arrays.values()], axis=1)
    return np.asarray(rows[np.lexsort(rows.T)])


@pytest.fixture(scope="module", params=STRATEGIES)
def on_three(request: pytest.FixtureRequest, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on three ranks by each strategy, and its checkpoint in the middle."""
    model = tmp_path_factory.mktemp("three") / "model"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("training.outputs.write_summary", lambda folder: [])
        patched.setattr("training.outputs.write_viewer_page", lambda *_, **__: "")
        train_on(3, dataset, model, f"--strategy {request.param} --checkpoint_iterations 12")
    return model


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_ranks_train_as_one_with_two_photos(
    strategy: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = f"--strategy {strategy} --random_background --optimizer_type sparse_adam --exposure on"
    monkeypatch.setattr(surveys, "RESET_HEALS", 0)  # so that a survey comes, at step 19
    flags += " --opacity_reset_interval 500 --iterations 38 --max_gaussians 900 --eval"
    train_on(1, dataset, tmp_path / "one", f"{flags} --batch_size 2")
    for name in ("two", "again"):
        train_on(2, dataset, tmp_path / name, flags)
    one, two = (sorted_rows(ply_of(tmp_path / name, 38)) for name in ("one", "two"))
    assert one.shape == two.shape and len(one) > (60 if strategy == "mcmc" else 300)  # which grows by 5 % at a time
    assert np.abs(one - two).max() < 1e-3 * np.abs(one).max()
    assert ply_of(tmp_path / "two", 38).read_bytes() == ply_of(tmp_path / "again", 38).read_bytes()
    facts = [json.loads((tmp_path / name / "run.json").read_text()) for name in ("one", "two")]
    assert [each["ranks"] for each in facts] == [1, 2] and facts[1]["status"] == "finished"
    logs = [read_log(tmp_path / name / "metrics.jsonl") for name in ("one", "two")]
    assert [line["iteration"] for line in logs[0]] == [line["iteration"] for line in logs[1]]
    assert all(line.get("gaussians", 0) <= 900 for log in logs for line in log)
    changes = [[line["densification"] for line in log if "densification" in line] for log in logs]
    assert changes[0] == changes[1] and any(each["weight"] + each["needle"] for each in changes[0] if "weight" in each)
    for lines in zip(*logs, strict=True):
        for name in ("loss", "test"):
            found = [line[name]["PSNR"] if name == "test" else line[name] for line in lines if name in line]
            assert not found or found[0] == pytest.approx(found[1], rel=1e-3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fewer_gaussians_than_ranks_and_fewer_photos_than_a_step_has(
    strategy: str, dataset: Path, tmp_path: Path
) -> None:
    """Of three ranks one owns nothing, at the end and at the checkpoint too."""
    flags = f"--strategy {strategy} --max_gaussians 2 --batch_size 12 --eval --checkpoint_iterations 12"
    flags += " --opacity_reset_interval 100"
    train_on(1, dataset, tmp_path / "one", flags)
    train_on(3, dataset, tmp_path / "three", flags)
    assert json.loads((tmp_path / "three" / "chkpnt12" / "sealed.json").read_text())["counts"].count(0) >= 1
    shutil.copytree(tmp_path / "three", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "point_cloud")
    run_processes(3, train.main, ["-m", str(tmp_path / "again"), "--resume"])
    one, three = (sorted_rows(ply_of(tmp_path / name)) for name in ("one", "three"))
    assert 1 <= len(one) <= 2 and np.abs(one - three).max() < 1e-3 * np.abs(one).max()
    assert ply_of(tmp_path / "again").read_bytes() == ply_of(tmp_path / "three").read_bytes()


@pytest.mark.parametrize("size", [1, 2])
def test_a_small_cache_of_photos_changes_nothing(size: int, dataset: Path, tmp_path: Path) -> None:
    """Of nine photos one or three are kept."""
    train_on(size, dataset, tmp_path / "all", "--batch_size 2")
    train_on(size, dataset, tmp_path / "few", f"--batch_size 2 --photo_cache {4 - size}")
    assert ply_of(tmp_path / "few").read_bytes() == ply_of(tmp_path / "all").read_bytes()


def poses_of(model: Path) -> dict[str, Any]:
    """The refined poses of the training photos, and those fitted to the test photos."""
    fitted = json.loads((model / "test" / "ours_24" / "refined_poses.json").read_text())
    return {"training": json.loads((model / "poses_refined.json").read_text()), "test": fitted}


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in numbers_in(value[key])]
    if isinstance(value, list):
        return [number for each in value for number in numbers_in(each)]
    return [value] if isinstance(value, (int, float)) else []


def test_poses_are_refined_and_audited_as_on_one_rank(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.held_out_poses.STEPS", 20)
    flags = "--refine_poses --refine_poses_from_iter 4 --audit_gradients --lambda_ray 0.1 --ray_ratio_max 1 --eval"
    flags += " --strategy budget --max_gaussians 200 --exposure on --checkpoint_iterations 12"
    train_on(1, dataset, tmp_path / "one", f"{flags} --batch_size 2")
    train_on(2, dataset, tmp_path / "two", flags)
    shutil.copytree(tmp_path / "two", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "point_cloud")
    run_processes(1, train.main, ["-m", str(tmp_path / "again"), "--resume", "--batch_size", "2"])
    one, *others = (poses_of(tmp_path / name) for name in ("one", "two", "again"))
    expected = np.array(numbers_in(one))
    assert max(each["degrees"] for each in one["test"]["views"].values()) > 0.01
    for other in others:
        np.testing.assert_allclose(numbers_in(other), expected, rtol=1e-3, atol=1e-3)
    logs = [read_log(tmp_path / name / "metrics.jsonl") for name in ("one", "two")]
    audits = [[line["audit"] for line in log if "audit" in line] for log in logs]
    assert audits[0] and {"l1", "dssim", "ray"} <= audits[0][0].keys() == audits[1][0].keys()
    assert audits[0][0]["l1"]["gradients"]["pose"] > 0
    for alone, together in zip(*audits, strict=True):
        np.testing.assert_allclose(numbers_in(together), numbers_in(alone), rtol=1e-3)


def test_a_checkpoint_of_three_ranks_goes_on_on_any_number(on_three: Path, dataset: Path, tmp_path: Path) -> None:
    shards = json.loads((on_three / "chkpnt12" / "sealed.json").read_text())["counts"]
    whole = load_sharded(on_three / "chkpnt12", ("gaussians", "strategy"), torch.device("cpu"))
    assert len(shards) == 3 and len(whole["gaussians"]["means"]) == sum(shards) > 90
    assert bool((whole["ids"].diff() > 0).all())
    for size in (1, 2, 3):
        model = tmp_path / str(size)
        shutil.copytree(on_three, model)
        shutil.rmtree(model / "point_cloud")
        run_processes(size, train.main, ["-m", str(model), "--resume", "--batch_size", "3"])
        numbers = sorted_rows(ply_of(model))
        assert numbers.shape == sorted_rows(ply_of(on_three)).shape
        assert np.abs(numbers - sorted_rows(ply_of(on_three))).max() < 1e-3 * np.abs(numbers).max()
    assert ply_of(tmp_path / "3").read_bytes() == ply_of(on_three).read_bytes()


def test_a_checkpoint_of_one_rank_goes_on_on_two(dataset: Path, tmp_path: Path) -> None:
    train_on(1, dataset, tmp_path / "one", "--batch_size 2 --checkpoint_iterations 12")
    expected = sorted_rows(ply_of(tmp_path / "one"))
    assert len(load_checkpoint(tmp_path / "one" / "chkpnt12.pth")["gaussians"]["means"]) > 90
    shutil.rmtree(tmp_path / "one" / "point_cloud")
    run_processes(2, train.main, ["-m", str(tmp_path / "one"), "--resume"])
    found = sorted_rows(ply_of(tmp_path / "one"))
    assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def test_a_damaged_checkpoint_is_refused(on_three: Path, tmp_path: Path) -> None:
    shutil.copytree(on_three / "chkpnt12", tmp_path / "chkpnt12")
    (part,) = tmp_path.glob("chkpnt12/__1_*.distcp")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(UserError, match="__1_0.distcp is damaged"):
        load_sharded(tmp_path / "chkpnt12", (), torch.device("cpu"))
    part.unlink()
    with pytest.raises(UserError, match="__1_0.distcp is damaged"):
        load_sharded(tmp_path / "chkpnt12", (), torch.device("cpu"))
    with pytest.raises(UserError, match="not a checkpoint of several ranks"):
        load_sharded(tmp_path, (), torch.device("cpu"))


def train_until(step: int, victim: int, words: list[str]) -> str:
    """Train, but rank `victim` is killed at its `step`-th step; what the others say, who are ended by it."""
    honest, seen = ShuffledViews.next_batch, 0

    def next_batch(self: ShuffledViews, *batch: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == step and os.environ["RANK"] == str(victim):
            os.kill(os.getpid(), signal.SIGKILL)
        return honest(self, *batch)

    pytest.MonkeyPatch().setattr(ShuffledViews, "next_batch", next_batch)  # of this process alone
    try:
        train.main(words)
    except UserError as error:
        return str(error)
    return "finished"


@pytest.mark.parametrize(("step", "victim"), [(7, 1), (3, 0)])  # after the checkpoint and before it
def test_a_killed_rank_ends_all_and_the_run_goes_on(
    step: int, victim: int, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "BEAT", 0.1)
    monkeypatch.setattr(watch, "GRACE", 1.0)
    model, words = tmp_path / "killed", ["-s", str(dataset), *FLAGS.split(), "--checkpoint_iterations", "8"]
    results = run_processes(2, train_until, step, victim, [*words, "-m", str(model)], may_fail=True)
    assert f"rank {1 - victim} stops, since rank {victim} has ended without a word" in results[1 - victim]
    assert isinstance(results[victim], Ended) and results[victim].status == -signal.SIGKILL
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")  # as torchrun --max-restarts has it: the same command again
    if victim == 1:
        assert json.loads((model / "run.json").read_text())["status"].startswith("failed")
        with pytest.raises(AssertionError, match="holds a run already"):  # another's, as far as is known
            run_processes(2, train.main, [*words, "-m", str(model)])
    with monkeypatch.context() as patched:
        patched.setattr(startup, "has_begun", lambda: True)
        run_processes(2, train.main, [*words, "-m", str(model)])
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT")
    train_on(2, dataset, tmp_path / "straight")
    assert ply_of(model).read_bytes() == ply_of(tmp_path / "straight").read_bytes()


def fails(words: list[str]) -> str:
    """What this rank says of rank 1's trouble."""
    if os.environ["RANK"] == "1":
        pytest.MonkeyPatch().setattr(ShuffledViews, "next_batch", no_memory)
    return train_until(1000, 0, words)


def no_memory(self: ShuffledViews, *batch: Any) -> Any:
    raise MemoryError


def test_a_rank_that_fails_says_why_on_all(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BEAT", 0.1)
    monkeypatch.setattr(watch, "GRACE", 1.0)
    words = ["-s", str(dataset), "-m", str(tmp_path / "out"), *FLAGS.split()]
    first, second = run_processes(2, fails, words)
    assert "rank 1" in second and "out of memory" in second
    assert "rank 0 stops, since rank 1 has: " in first and "out of memory" in first


@pytest.mark.parametrize("has_effect", [True, False])
def test_all_ranks_look_at_a_term_and_one_says_that_it_has_no_effect(
    has_effect: bool, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ZeroGradientCheck, "EVERY", 2)
    monkeypatch.setattr(ZeroGradientCheck, "PATIENCE", 6)
    monkeypatch.setattr(watch, "BEAT", 0.1)
    monkeypatch.setattr(watch, "GRACE", 1.0)
    if not has_effect:
        monkeypatch.setattr(regularizers, "opacity", lambda opacities: opacities.detach().mean())
    flags = "--opacity_reg 0.01 --scale_reg 0.01 --lambda_erank 0.01 --lambda_ray 0.01 --ray_ratio_max 0.5"
    words = ["-s", str(dataset), "-m", str(tmp_path / "out"), *FLAGS.split(), *flags.split()]
    first, second = run_processes(2, train_until, 1000, 0, words, may_fail=True)
    if has_effect:
        assert (first, second) == ("finished", "finished")
    else:
        assert "lambda_opacity = 0.01 has no effect" in first
        assert isinstance(second, Ended) and second.status == 2


def said_by(words: list[str]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        train.main(words)
    return said.getvalue()


def test_a_dry_run_is_measured_by_all_ranks_and_said_by_one(dataset: Path, tmp_path: Path) -> None:
    words = ["-s", str(dataset), "-m", str(tmp_path / "out"), "--dry_run", "--iterations", "4000"]
    said, nothing = run_processes(2, said_by, words)
    assert f"{len(load_scene(dataset).points)} Gaussians at the start" in said
    assert "Memory of each rank: about" in said and nothing == ""
    assert re.search(r"Time: about \d+ (s|min), .*; 4,000 steps of [\d.]+ ms at the start and [\d.]+ ms", said)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--viewer", "--viewer does not work on 2 ranks"),
        ("--batch_size 1", "--batch_size 1: 2 ranks"),
    ],
)
def test_what_ranks_cannot_do_is_refused_by_name(flags: str, named: str) -> None:
    words = ["-s", "nowhere", "-m", "nowhere", *flags.split()]
    with pytest.raises(UserError, match=named):
        read_options(words, Launch(1, 2))


def test_the_start_says_how_rates_are_scaled() -> None:
    said = scaling_text(4, 2)
    assert "4 photos in each step on 2 ranks" in said and "learning rates times 2 (√4)" in said
    assert "betas to the power of 4" in said and "iterations count photos" in said
    assert "on one rank" in scaling_text(4, 1) and scaling_text(1, 1) == ""


def test_the_default_strategy_is_that_of_one_process() -> None:
    words = ["-s", "nowhere", "-m", "nowhere"]
    assert read_options(words, Launch(1, 2)).densification == read_options(words).densification

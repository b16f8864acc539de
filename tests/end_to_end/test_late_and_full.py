"""Runs on a device that is behind, or full: what is said and kept is the same as if it were not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from scene.gaussians import optimizer
from scene.gaussians.model import PARAMETERS
from tests.end_to_end.test_train import assert_same, log_lines, run
from tests.helpers.ring import BUSY
from training import batch, loss
from training.async_scalars import AsyncScalars
from training.strategies import threshold
from training.strategies.densify import DENSITY_ROWS
from utils.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers come a step later, unless they are waited for: as from a GPU."""
    at_once = AsyncScalars.arrived

    def arrived(self: AsyncScalars[Any], wait: bool = False) -> Iterator[Any]:
        newest = [] if wait or not self._waiting else [self._waiting.pop()]
        yield from at_once(self, wait)
        self._waiting.extend(newest)

    monkeypatch.setattr(AsyncScalars, "arrived", arrived)


def test_late_numbers_make_the_same_run(dataset: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    flags = f"{BUSY} --lambda_dist 1 --test_iterations 10 --checkpoint_iterations 12 --eval"
    at_once = run(dataset, tmp_path / "at once", flags, iterations=120)
    request.getfixturevalue("late")
    assert run(dataset, tmp_path / "late", flags, iterations=120).read_bytes() == at_once.read_bytes()
    lines = [log_lines(tmp_path / name) for name in ("at once", "late")]
    for line in (*lines[0], *lines[1]):
        del line["seconds"]
    assert lines[0] == lines[1] and [line["iteration"] for line in lines[0]] == [100, 120]


def test_what_is_not_finite_is_named_late_and_moves_nothing(
    dataset: Path, tmp_path: Path, late: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, original = loss.photometric, optimizer.Optimizer.step
    calls: list[int] = []
    before: list[dict[str, torch.Tensor]] = []

    def faulty(image: torch.Tensor, *others: Any) -> dict[str, torch.Tensor]:
        calls.append(len(calls))
        return honest(image * (float("nan") if len(calls) in (5, 7) else 1.0), *others)  # 7: made again

    def step(self: optimizer.Optimizer, *arguments: Any) -> None:
        original(self, *arguments)
        before.append({name: values.detach().clone() for name, values in self.gaussians.parameters.items()})

    monkeypatch.setattr(loss, "photometric", faulty)
    monkeypatch.setattr(optimizer.Optimizer, "step", step)
    words = r"iteration 5: the term l1 is nan for the photo \d+.png; .* is the term l1 \(1 of 1 values\)"
    with pytest.raises(UserError, match=words):
        run(dataset, tmp_path / "out")
    assert len(calls) == 7 and len(before) == 5
    assert_same(before[3], before[4])


# ---- out of memory


def failing(function: Callable[..., Any], call: int, error: Exception) -> Callable[..., Any]:
    """`function`, but its `call`-th call fails."""
    calls = 0

    def wrapper(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        return function(*arguments, **named)

    return wrapper


ROWS_EDITED = 2 * len(PARAMETERS) + len(DENSITY_ROWS)  # by `_with_zero_rows` in one `edit_rows`
PLACES = {  # where memory runs out in iteration 8 -> a call made there, and the last whole iteration
    "render": (batch, "render_batch", 8, 7),
    "loss": (loss, "photometric", 8, 7),
    "optimizer": (optimizer.ops, "adam", 8, 7),
    "densify": (threshold, "densify", 2, 8),
    "edit": (optimizer, "_with_zero_rows", 2 * ROWS_EDITED + ROWS_EDITED // 2, 8),  # the first two were in iteration 4
}


@pytest.mark.parametrize("place", PLACES)
def test_a_full_device_leaves_a_checkpoint(
    place: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name, call, whole = PLACES[place]
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    flags, full = f"{BUSY} --random_background", tmp_path / "full"
    straight = run(dataset, tmp_path / "straight", flags).read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(module, name, failing(getattr(module, name), call, error))
        words = rf"out of memory after {whole} iterations.*--max_gaussians.*-r.*--data_device cpu.*chkpnt{whole}.pth"
        with pytest.raises(UserError, match=words) as raised:
            run(dataset, full, flags)
    assert f"python train.py -m {full} --resume --max_gaussians " in str(raised.value)
    assert json.loads((full / "run.json").read_text())["status"].startswith("failed: UserError: out of memory")
    kept = torch.load(full / f"chkpnt{whole}.pth", weights_only=True)
    moments = [each for pair in kept["optimizer"]["moments"].values() for each in pair]
    tensors = [*kept["gaussians"].values(), *kept["strategy"]["state"].values(), *moments]
    assert {len(each) for each in tensors} == {len(kept["gaussians"]["means"])}
    train.main(["-m", str(full), "--resume", "--quiet"])
    if place in ("render", "loss"):  # the step leaves no trace: not even the photo it was to look at is lost
        assert (full / "point_cloud/iteration_20/point_cloud.ply").read_bytes() == straight


def test_a_first_step_without_memory_keeps_nothing(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError("CUDA out of memory")  # as an extension says it
    monkeypatch.setattr(batch, "render_batch", failing(batch.render_batch, 1, error))
    with pytest.raises(UserError, match="out of memory after 0 iterations"):
        run(dataset, tmp_path / "out")
    assert not list((tmp_path / "out").glob("chkpnt*"))

"""What a training step asks of the dispatcher, and that the benchmarks of steps measure what they say."""

from __future__ import annotations

import time
from pathlib import Path

import bench_busy
import bench_step
import pytest
import torch

# Operations of a step that start work: while statistics of growth are gathered, and with the effective rank, which has
# its weight when growth is over, and the average of a run's end as well; to be lowered with each that goes.
LIMITS = {"color": (34, 40), "depth": (42, 48)}


@pytest.mark.slow
@pytest.mark.parametrize("case", LIMITS)
def test_a_step_starts_no_more_operations_than_it_did(case: str, tmp_path: Path) -> None:
    bench_step.write_scene(tmp_path / "scene", 32, 24, 16, case == "depth")
    with bench_step.operations() as steps:
        bench_step.run(tmp_path, 2 * (bench_step.VIEWS + 4), ["--average_last", "0.5"])
    usual_steps = steps[bench_step.VIEWS + 2], steps[-2]  # what is made once for each photo is there
    assert [usual["effective_rank_cost"] for usual in usual_steps] == [0, 1]
    assert [usual["_foreach_lerp_"] for usual in usual_steps] == [0, 1]
    for usual, limit in zip(usual_steps, LIMITS[case], strict=True):
        assert usual["hypot"] == 1, "the statistics of growth are not gathered"
        for name in ("project", "isect_tiles", "blend", "photometric", "blend_backward", "project_backward", "adam"):
            assert usual[name] == 1, usual
        assert usual.total() <= limit, usual


def test_what_starts_no_work_is_not_counted() -> None:
    values = torch.ones(4, 3)
    with bench_step.Launches() as launches:
        torch.empty_like(values)[:2].t().detach().copy_(values[:2].t())
        values.mul_(2).sum()
    assert dict(launches.counts) == {"copy_": 1, "mul_": 1, "sum": 1}


def test_neighbours_compute_only_when_let() -> None:
    neighbours = bench_busy.Neighbours(2)
    try:
        neighbours.let(1)
        states = [Path(f"/proc/{process.pid}/stat") for process in neighbours.processes]
        if not states[0].exists():
            pytest.skip("this system has no /proc to look at processes in")

        def found() -> list[str]:
            return [state.read_text().rpartition(")")[2].split()[0] for state in states]

        end = time.monotonic() + 30
        while found()[1] not in "Tt" and time.monotonic() < end:  # one that waits for the disk stops afterwards
            time.sleep(0.01)
        assert found()[0] in "RSD" and found()[1] in "Tt", found()
    finally:
        neighbours.end()
    assert all(process.poll() is not None for process in neighbours.processes)

"""What a training step asks of the dispatcher, and that the benchmarks of steps measure what they say."""

from __future__ import annotations

from pathlib import Path

import bench_busy
import bench_step
import pytest
import torch

LIMITS = {"color": 34, "depth": 42}  # operations of a step that start work; to be lowered with each that goes


@pytest.mark.slow
@pytest.mark.parametrize("case", LIMITS)
def test_a_step_starts_no_more_operations_than_it_did(case: str, tmp_path: Path) -> None:
    bench_step.write_scene(tmp_path / "scene", 32, 24, 16, case == "depth")
    with bench_step.operations() as steps:
        bench_step.run(tmp_path, bench_step.VIEWS + 4)
    usual = steps[bench_step.VIEWS + 2]  # what is made once for each photo is there
    assert usual["hypot"] == 1, "the statistics of growth are not gathered"
    for name in ("project", "isect_tiles", "blend", "photometric", "blend_backward", "project_backward", "adam"):
        assert usual[name] == 1, usual
    assert usual.total() <= LIMITS[case], usual


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
        found = [state.read_text().rpartition(")")[2].split()[0] for state in states]
        assert found[0] in "RSD" and found[1] in "TtR", found
    finally:
        neighbours.end()
    assert all(process.poll() is not None for process in neighbours.processes)

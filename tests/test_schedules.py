"""Schedules at the start, in the middle, at the end and past it."""

from __future__ import annotations

import pytest

from utils.schedules import due, log_linear, sh_degree_at


def test_log_linear() -> None:
    values = [log_linear(step, 1.6e-4, 1.6e-6, 30_000) for step in (0, 15_000, 30_000, 40_000)]
    assert values == pytest.approx([1.6e-4, 1.6e-5, 1.6e-6, 1.6e-6], rel=1e-12)


def test_log_linear_with_zero_goes_linearly() -> None:
    assert [log_linear(step, 2.0, 0.0, 10) for step in (0, 5, 10, 11)] == [2.0, 1.0, 0.0, 0.0]
    assert log_linear(5, 0.0, 0.0, 10) == 0.0


def test_due_over_a_whole_run() -> None:
    assert [step for step in range(1, 2001) if due(step, 500, 1200, 100)] == [600, 700, 800, 900, 1000, 1100]
    assert [step for step in range(1, 10_001) if due(step, 0, 9_000, 3_000)] == [3_000, 6_000]
    assert not [step for step in range(1, 100) if due(step, 50, 50, 1)]


def test_sh_degree_rises_every_thousand_steps() -> None:
    assert [sh_degree_at(step, 3) for step in (1, 999, 1000, 2000, 3000, 30_000)] == [0, 0, 1, 2, 3, 3]
    assert [sh_degree_at(step, 1) for step in (1, 1000, 5000)] == [0, 1, 1]
    assert sh_degree_at(5000, 0) == 0

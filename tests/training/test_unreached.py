"""Steps that the command line asks for, and that a run never comes to."""

from __future__ import annotations

from dataclasses import replace

from arguments import RunOptions
from training.plan import unreached


def test_steps_behind_the_last_are_named() -> None:
    run = RunOptions(iterations=100, save_iterations=(50, 101, 9000), checkpoint_iterations=(100,))
    assert unreached(run, has_test_views=True) == ["--save_iterations 101 9000: the run ends after 100 iterations"]


def test_a_longer_run_by_replan_reaches_its_steps() -> None:
    run = RunOptions(iterations=100, replan=("50:200",), test_iterations=(150,), checkpoint_iterations=(201,))
    assert unreached(run, has_test_views=True) == ["--checkpoint_iterations 201: the run ends after 200 iterations"]


def test_nobody_asked_for_defaults_and_for_minus_one() -> None:
    run = RunOptions(iterations=100, checkpoint_iterations=(-1,))
    assert run.save_iterations == (7000, 30_000) and unreached(run, has_test_views=True) == []
    assert unreached(replace(run, test_iterations=(-1,)), has_test_views=False) == []


def test_when_a_run_of_minutes_ends_is_not_known() -> None:
    assert unreached(RunOptions(minutes=1.0, iterations=100, save_iterations=(9000,)), has_test_views=True) == []


def test_test_views_that_are_not_there_are_measured_at_no_step() -> None:
    run = RunOptions(iterations=100, test_iterations=(50,))
    said = ["--test_iterations 50: there are no test views to measure; --eval holds some out"]
    assert unreached(run, has_test_views=False) == said
    assert unreached(run, has_test_views=True) == []

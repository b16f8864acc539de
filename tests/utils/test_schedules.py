"""Schedules at the start, in the middle, at the end and past it."""

from __future__ import annotations

import math

import pytest

from utils.errors import UserError
from utils.schedules import Schedule, due, log_linear, parse_schedule, schedule_table, sh_degree_at, telling_iterations

LAMBDA_DIST = "0:10 3000:10 15000:1"
DEPTH_MULT = "0:0.5 3000:0.5 15000:1"
DEPTH_WEIGHT = "log 0:1 30000:0.01"


def test_log_linear() -> None:
    values = [log_linear(step, 1.6e-4, 1.6e-6, 30_000) for step in (0, 15_000, 30_000, 40_000)]
    assert values == pytest.approx([1.6e-4, 1.6e-5, 1.6e-6, 1.6e-6], rel=1e-12)


def test_log_linear_with_zero_goes_linearly() -> None:
    assert [log_linear(step, 2.0, 0.0, 10) for step in (0, 5, 10, 11)] == [2.0, 1.0, 0.0, 0.0]
    assert log_linear(5, 0.0, 0.0, 10) == 0.0


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (LAMBDA_DIST, {0: 10, 1: 10, 3000: 10, 9000: 5.5, 12_000: 3.25, 15_000: 1, 30_000: 1, 10**6: 1}),
        (DEPTH_MULT, {0: 0.5, 3000: 0.5, 9000: 0.75, 15_000: 1, 30_000: 1, 10**6: 1}),
        (DEPTH_WEIGHT, {0: 1, 15_000: 0.1, 30_000: 0.01, 10**6: 0.01}),
        ("step 0:0 500:2 900:1", {0: 0, 499: 0, 500: 2, 899: 2, 900: 1, 901: 1}),
        ("100:3 200:5", {0: 3, 100: 3, 150: 4, 200: 5, 201: 5}),
        ("log 0:2 10:0", {0: 2, 5: 1, 10: 0, 11: 0}),
        ("7.5", {0: 7.5, 1: 7.5, 10**6: 7.5}),
    ],
)
def test_values_through_a_run(text: str, values: dict[int, float]) -> None:
    schedule = parse_schedule(text, "lambda_dist")
    assert [schedule.at(step) for step in values] == pytest.approx(list(values.values()), rel=1e-12)
    assert schedule.name == "lambda_dist"


def test_knots_scale_with_the_run() -> None:
    short = parse_schedule(LAMBDA_DIST, "lambda_dist").scaled(7000 / 30_000)
    assert [short.at(step) for step in (0, 700, 2100, 3500, 7000)] == pytest.approx([10, 10, 5.5, 1, 1])
    assert short.scaled(1).at(2100) == short.at(2100)
    assert short.scaled(30_000 / 7000).at(9000) == pytest.approx(5.5)


@pytest.mark.parametrize("text", [LAMBDA_DIST, DEPTH_WEIGHT, "step 0:0 500:2", "7.5", "123456789:1 123456790:2"])
def test_text_and_back(text: str) -> None:
    schedule = parse_schedule(text, "x")
    assert str(schedule) == text and parse_schedule(str(schedule), "x") == schedule


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no value"),
        ("log", "no value"),
        ("0:10 3000:ten", "'ten'"),
        ("0:10 3000", "'3000' is not iteration:value"),
        ("10 20", "'10' is not iteration:value"),
        ("0:10, 3000:1", "'10,'"),
        ("smooth 0:1 2:3", "'smooth'"),
        ("0: 3:1", "''"),
        ("0:10 3000:5 2000:1", "iteration 2000 does not come after 3000"),
        ("0:10 0:5", "iteration 0 does not come after 0"),
        ("0:-1 10:1", "'-1'"),
        ("nan", "'nan'"),
        ("0:1 inf:2", "'inf'"),
    ],
)
def test_what_is_not_a_schedule_is_named(text: str, found: str) -> None:
    with pytest.raises(UserError) as error:
        parse_schedule(text, "lambda_dist")
    message = str(error.value)
    assert message.startswith(f'--lambda_dist is "{text}"') and found in message and "0:10 3000:10 15000:1" in message


def test_the_table_has_every_value() -> None:
    schedules = [
        parse_schedule(LAMBDA_DIST, "lambda_dist"),
        Schedule("depth_l1_weight", ((0, 1), (30_000, 0.01)), "log"),
    ]
    iterations = telling_iterations(schedules, 30_000)
    assert iterations == [0, 3000, 7500, 15_000, 22_500, 30_000]
    lines = schedule_table(schedules, iterations).splitlines()
    assert lines[0].split() == ["iteration", "0", "3,000", "7,500", "15,000", "22,500", "30,000", "knots"]
    assert lines[1].split()[:7] == ["lambda_dist", "10", "10", "6.625", "1", "1", "1"]
    assert lines[1].endswith(LAMBDA_DIST) and lines[2].endswith("log 0:1 30000:0.01")
    assert float(lines[2].split()[4]) == pytest.approx(math.sqrt(0.01))
    assert telling_iterations(schedules, 10) == [0, 2, 5, 7, 10]


def test_due_over_a_whole_run() -> None:
    assert [step for step in range(1, 2001) if due(step, 500, 1200, 100)] == [600, 700, 800, 900, 1000, 1100]
    assert [step for step in range(1, 10_001) if due(step, 0, 9_000, 3_000)] == [3_000, 6_000]
    assert not [step for step in range(1, 100) if due(step, 50, 50, 1)]


def test_sh_degree_rises_every_thousand_steps() -> None:
    steps = (1, 999, 1000, 2000, 3000, 30_000)
    assert [sh_degree_at(step, 3, 1000) for step in steps] == [0, 0, 1, 2, 3, 3]
    assert [sh_degree_at(step, 1, 1000) for step in (1, 1000, 5000)] == [0, 1, 1]
    assert [sh_degree_at(step, 3, 2.5) for step in (2, 3, 5, 7, 8)] == [0, 1, 2, 2, 3]
    assert sh_degree_at(5000, 0, 1000) == 0

"""When the views are surveyed."""

from __future__ import annotations

import pytest

from arguments import parse_train_options
from training.strategies.surveys import survey_steps

OFF = "--prune_min_weight 0 --floater_views 0 --spike_ratio 0"


def steps(flags: str, views: int = 40) -> list[int]:
    options = parse_train_options(flags.split())
    iterations, interval = options.run.iterations, options.densification.opacity_reset_interval
    return survey_steps(options.spikes, iterations, views, iterations // 2, interval)


def test_from_the_middle_of_the_run_on() -> None:
    assert steps("--iterations 3000") == [1500, 1800, 2100, 2400, 2700, 2850]
    assert steps("--iterations 30000", views=500) == [15000, 18000, 21000, 24000, 27000, 28500]


def test_never_more_often_than_the_views_allow() -> None:
    assert steps("--iterations 1000", views=49) == [500, 600, 700, 800, 900]
    assert steps("--iterations 1000", views=200) == [500, 700, 900]


def test_not_soon_after_opacities_were_low() -> None:
    assert steps("--iterations 400", views=5) == []
    assert steps("--iterations 600", views=5) == [540, 570]
    assert steps("--iterations 6800")[0] == 4080  # 3400 is 400 after the reset of 3000
    assert steps("--iterations 7000")[:2] == [3500, 4200]
    assert steps("--iterations 6000")[0] == 3000  # densified to 3000, where no reset is any more


@pytest.mark.parametrize("rule", ["--floater_views 2", "--spike_ray_views 3", "--spike_spread 0.1", "--spike_ratio 9"])
def test_none_without_a_rule(rule: str) -> None:
    assert steps(f"--iterations 3000 {OFF}") == []
    assert steps(f"--iterations 3000 {OFF} {rule}")

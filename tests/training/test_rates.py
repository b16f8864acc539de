"""Learning rates and the degrees of spherical harmonics, which follow the length of the run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import train
from arguments import parse_train_options
from training.rates import learning_rates, sh_degree_interval
from utils.schedules import sh_degree_at

PAPER = {"scales": 0.005, "quats": 0.001, "opacities": 0.025, "shs_dc": 0.0025, "shs_rest": 0.0025 / 20}
ITERATIONS = 30


def rates(*flags: str, iteration: int = 0, iterations: int = 30_000) -> dict[str, float]:
    return learning_rates(parse_train_options(flags).optimization, 2.0, iteration, iterations)


@pytest.mark.parametrize("iterations", [30_000, 60_000])
def test_a_run_of_the_papers_length_has_its_rates(iterations: int) -> None:
    assert rates(iterations=iterations) == pytest.approx(PAPER | {"means": 2 * 1.6e-4})


def test_a_short_run_has_higher_rates_but_those_of_the_means() -> None:
    doubled = {name: 2 * rate for name, rate in PAPER.items()}
    assert rates(iterations=3750) == pytest.approx(doubled | {"means": 2 * 1.6e-4})


def test_the_shortest_runs_have_a_limit() -> None:
    assert rates(iterations=1_000) == rates(iterations=10)
    assert rates(iterations=10)["scales"] == pytest.approx(2.5 * PAPER["scales"])


def test_a_rate_that_is_given_is_what_it_is() -> None:
    flags = "--feature_lr 0.0025 --opacity_lr 0.025 --scaling_lr 0.005 --rotation_lr 0.001".split()
    assert rates(*flags, iterations=3750) == pytest.approx(PAPER | {"means": 2 * 1.6e-4})


def test_the_means_rate_falls_over_the_run_unless_a_length_is_given() -> None:
    assert rates(iteration=30_000)["means"] == pytest.approx(2 * 1.6e-6)
    final = "--position_lr_final", "1.6e-6"
    assert rates(*final, iteration=7000, iterations=7000)["means"] == pytest.approx(2 * 1.6e-6)
    given = rates(*final, "--position_lr_max_steps", "30000", iteration=7000, iterations=7000)
    assert given["means"] == pytest.approx(2 * 1.6e-4 * 100 ** (-7 / 30))


def test_it_falls_less_in_short_runs() -> None:
    assert rates(iteration=3750, iterations=3750)["means"] == pytest.approx(2 * 1.6e-6 * 8 ** (5 / 6))
    assert rates(iteration=100, iterations=100)["means"] == pytest.approx(2 * 1.6e-5)
    slow = rates("--position_lr_init", "1e-6", iteration=100, iterations=100)
    assert slow["means"] == pytest.approx(2 * 1e-6), "it must never rise"


@pytest.mark.parametrize(("iterations", "all_in_use"), [(300, 30), (3_000, 300), (30_000, 3_000), (90_000, 3_000)])
def test_all_degrees_are_in_use_after_a_tenth_of_a_run_and_3000_steps(iterations: int, all_in_use: int) -> None:
    every = sh_degree_interval(parse_train_options([]).optimization, iterations)
    degrees = [sh_degree_at(step, 3, every) for step in range(1, all_in_use + 1)]
    assert degrees == sorted(degrees) and set(degrees) == {0, 1, 2, 3} and degrees.index(3) == all_in_use - 1


def test_the_steps_of_a_degree_can_be_given() -> None:
    assert sh_degree_interval(parse_train_options(["--sh_degree_interval", "7"]).optimization, 300) == 7


@pytest.mark.usefixtures("without_pages")
def test_a_run_learns_at_these_rates_and_harmonics_of_all_degrees(dataset: Path, tmp_path: Path) -> None:
    words = f"-s {dataset} -m {tmp_path / 'out'} --iterations {ITERATIONS} --quiet --contrast_gain 1"
    train.main([*words.split(), "--checkpoint_iterations", str(ITERATIONS)])
    kept = torch.load(tmp_path / "out" / f"chkpnt{ITERATIONS}.pth", weights_only=True)
    found = kept["optimizer"]["rates"]
    expected = rates(iteration=ITERATIONS, iterations=ITERATIONS)
    assert found == pytest.approx(expected | {"means": found["means"]})
    assert found["opacities"] > PAPER["opacities"]
    assert (kept["gaussians"]["shs_rest"] != 0).any(dim=(0, 2)).all()


def test_colors_of_little_contrast_move_as_much_less() -> None:
    assert rates("--contrast_gain", "4") == pytest.approx(
        rates() | {"shs_dc": PAPER["shs_dc"] / 4, "shs_rest": PAPER["shs_rest"] / 4}
    )
    given = rates("--contrast_gain", "4", "--feature_lr", "0.0025")
    assert given["shs_dc"] == 0.0025, "a rate that is given is what it is"

"""How fast a run learns, by its length: the learning rates, and when colors get more degrees of spherical harmonics.

The values of Kerbl et al. 2023 are for 30,000 steps. Shorter runs have higher rates, and all degrees after a tenth of
their steps: measured in docs/experiments/rates.md.
"""

from __future__ import annotations

from arguments import OptimizationOptions
from arguments.loss_groups import USUAL_RATES
from utils.schedules import REFERENCE_ITERATIONS, log_linear

SH_REST = 1 / 20  # of the colors' rate
SH_DEGREE_INTERVAL = 1000  # steps of 30,000
POWER, MOST = 1 / 3, 2.5
MEANS_FINAL = 1.6e-6  # extents per step
MEANS_POWER, MEANS_MOST = 5 / 6, 10.0


def learning_rates(given: OptimizationOptions, extent: float, iteration: int, iterations: int) -> dict[str, float]:
    """The rate of each parameter at a step of a run of `iterations`; that of the means is in world units."""
    faster, steps = in_short_runs(iterations), given.position_lr_max_steps or iterations
    asked = {flag: getattr(given, flag) for flag in USUAL_RATES}
    rates = {flag: usual * faster if asked[flag] is None else asked[flag] for flag, usual in USUAL_RATES.items()}
    if given.feature_lr is None:
        rates["feature_lr"] /= given.contrast_gain or 1.0  # what is amplified moves as far
    return {
        "means": extent * log_linear(iteration, given.position_lr_init, _final_rate_of_means(given, iterations), steps),
        "scales": rates["scaling_lr"],
        "quats": rates["rotation_lr"],
        "opacities": rates["opacity_lr"],
        "shs_dc": rates["feature_lr"],
        "shs_rest": rates["feature_lr"] * SH_REST,
    }


def in_short_runs(iterations: int) -> float:
    """How many times the rates are those of 30,000 steps: a step of Adam is as long as the rate, so that fewer steps
    of the same length do not come as far."""
    return min(max(1.0, REFERENCE_ITERATIONS / iterations) ** POWER, MOST)


def _final_rate_of_means(given: OptimizationOptions, iterations: int) -> float:
    """A short run still has far to go at its end; what moves then to and fro is averaged (`--average_last`)."""
    if given.position_lr_final is not None:
        return given.position_lr_final
    longer = max(1.0, REFERENCE_ITERATIONS / iterations) ** MEANS_POWER
    return min(MEANS_FINAL * min(longer, MEANS_MOST), given.position_lr_init)


def sh_degree_interval(given: OptimizationOptions, iterations: int) -> float:
    """Steps from one degree of spherical harmonics to the next."""
    return given.sh_degree_interval or SH_DEGREE_INTERVAL * min(1.0, iterations / REFERENCE_ITERATIONS)

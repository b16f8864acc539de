"""Densification strategies by name: which Gaussians are added, split and pruned, and when."""

from __future__ import annotations

from training.strategies.adc import AdcStrategy
from training.strategies.base import Strategy, StrategyInputs
from training.strategies.budget import BudgetStrategy
from training.strategies.mcmc import McmcStrategy
from training.strategies.threshold import ThresholdStrategy
from utils.errors import UserError

STRATEGIES: dict[str, type[Strategy]] = {
    "threshold": ThresholdStrategy,
    "adc": AdcStrategy,
    "budget": BudgetStrategy,
    "mcmc": McmcStrategy,
}


def make_strategy(name: str, inputs: StrategyInputs) -> Strategy:
    """The strategy registered as `name`. UserError for a name that is not registered."""
    if name not in STRATEGIES:
        raise UserError(f"--strategy {name}: there is no such strategy; accepted: {', '.join(STRATEGIES)}")
    return STRATEGIES[name](inputs)


def strategy_class(name: str) -> type[Strategy] | None:
    """The strategy registered as `name`, if one is."""
    return STRATEGIES.get(name)


def strategy_options() -> dict[str, type | None]:
    """Name -> the group of options that the strategy declares; None for one that declares none."""
    return {name: strategy.Options for name, strategy in STRATEGIES.items()}

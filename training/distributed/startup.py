"""What a run on several ranks is told before anything is read: what it may not ask for, and where it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from arguments import OptimizationOptions, RunOptions
from training.checkpoint import latest_checkpoint
from training.distributed.watch import has_begun
from training.strategies.base import Strategy
from utils.distributed import Launch
from utils.errors import UserError

ONE_RANK = "it is for one process: start it without torchrun, or with --nproc_per_node=1"


def check_ranks(
    size: int,
    run: RunOptions,
    optimization: OptimizationOptions,
    strategy: type[Strategy] | None,
    name: str,
) -> None:
    """UserError, naming the flag, for what several ranks cannot do."""
    photos = optimization.batch_size or size
    if photos < size:
        raise UserError(f"--batch_size {photos}: {size} ranks render a photo each; it must be at least {size}")
    if size == 1:
        return
    if run.viewer:
        raise UserError(f"--viewer does not work on {size} ranks; {ONE_RANK}")
    if strategy is not None and not strategy.sharded:
        raise UserError(f"--strategy {name} does not work on {size} ranks: it does not say sharded = True; {ONE_RANK}")


def restarted(arguments: Sequence[str], model_path: str, launch: Launch) -> list[str]:
    """The arguments of processes that torchrun has started again: they go on from the last checkpoint, if there is one
    of the run that they had begun. Another run that was in their way is left alone."""
    if launch.restarts == 0 or not model_path or not has_begun():
        return list(arguments)
    kept = [word for word in arguments if word not in ("--overwrite", "--resume")]
    if latest_checkpoint(Path(model_path)):
        return [*kept, "--resume"]
    return [*kept, "--overwrite"]


def scaling_text(photos: int, size: int) -> str:
    """What is said at the start of a run with several photos in a step; "" for one."""
    if photos == 1:
        return ""
    factor = photos**0.5
    who = f"on {size} ranks" if size > 1 else "on one rank"
    return (
        f"{photos} photos in each step {who}: learning rates times {factor:.3g} (√{photos}), Adam's betas to the power "
        f"of {photos}; iterations count photos"
    )

"""train.py, one rank of which is killed at its KILLED_AT-th step, unless torchrun has started it again: a program."""

from __future__ import annotations

import os
import signal
from typing import Any

import train
from scene.loading.image_cache import ShuffledViews
from utils.console import run_script

VICTIM = "1"


def main() -> None:
    """Of a process that torchrun starts."""
    honest, seen = ShuffledViews.next_batch, 0

    def next_batch(self: ShuffledViews, *batch: Any) -> Any:
        nonlocal seen
        seen += 1
        first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        if first and os.environ["RANK"] == VICTIM and seen == int(os.environ["KILLED_AT"]):
            os.kill(os.getpid(), signal.SIGKILL)
        return honest(self, *batch)

    ShuffledViews.next_batch = next_batch  # type: ignore[assignment, method-assign]
    run_script(train.main)


if __name__ == "__main__":
    main()

"""How many of the processor's cores are there for this process."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Those that it may run on, where the system says so, else all; at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

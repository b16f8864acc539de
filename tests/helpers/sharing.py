"""How the processes of pytest-xdist share out the tests: by whole files, whose tests have fixtures in common.

A scheduler of our own does it. With pytest 9.2 the groups of pytest-xdist 3.8 (`--dist loadgroup`) have no effect: the
tests of a file go to all processes, and each process makes the file's fixtures.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

EMULATED = "tests/rasterizer/cuda/"  # a folder whose files share what takes half a minute to compile


def unit_of(test: str) -> str:
    """What one process runs all of: the test's file, or a folder."""
    return EMULATED if test.startswith(EMULATED) else test.split("::")[0]


def scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Hands out the units in the order of their tests."""
    from xdist.scheduler import LoadScopeScheduling  # here: who runs a single process may have no pytest-xdist

    class ByUnits(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False
    return ByUnits(config, log)


def long_units_first(items: list[pytest.Item]) -> None:
    """Those with the most slow tests, so that at the end no process is left alone with a long one."""
    slow = Counter(unit_of(item.nodeid) for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[unit_of(item.nodeid)])

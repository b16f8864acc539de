"""What the processes of pytest-xdist share out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
CONFTEST = """
from tests.helpers import sharing

def pytest_xdist_make_scheduler(config, log):
    return sharing.scheduler(config, log)

def pytest_collection_modifyitems(config, items):
    sharing.long_units_first(items)
"""
TESTS = """
import os, time
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(6))
def test(number):
    time.sleep(0.05)  # the other process comes to its turn meanwhile
    with open(os.environ["PYTEST_XDIST_WORKER"], "a") as file:
        file.write(Path(__file__).stem[-1])
"""


def test_a_file_is_run_by_one_process_and_slow_ones_come_first(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name in "abcd":
        slow = "pytestmark = pytest.mark.slow\n" if name in "cd" else ""
        (tmp_path / f"test_{name}.py").write_text(TESTS + slow)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "24 passed" in done.stdout, done.stdout + done.stderr
    shares = [(tmp_path / name).read_text() for name in ("gw0", "gw1")]
    assert {share[0] for share in shares} == {"c", "d"}, shares
    for name in "abcd":
        assert sorted(share.count(name) for share in shares) == [0, 6], shares

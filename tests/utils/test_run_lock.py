"""One run at a time in a folder: the second is refused, and a run that was killed is in nobody's way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.run_lock import NAME, RunLock

HOLD = """
import sys, time
from pathlib import Path
from utils.run_lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock of `tmp_path`."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_refused_and_names_the_first(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(UserError, match=rf"in use by another run \(process {holder.pid} on .+, since 20\d\d-"):
        RunLock(tmp_path).__enter__()


def test_a_killed_run_is_in_nobodys_way(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()  # SIGKILL
    holder.wait()
    assert (tmp_path / NAME).exists()
    with RunLock(tmp_path):
        pass
    assert not (tmp_path / NAME).exists()


def test_a_folder_that_comes_later_is_locked_then(tmp_path: Path) -> None:
    with RunLock(tmp_path / "out") as lock, RunLock(tmp_path / "out") as other:
        assert not (tmp_path / "out").exists()
        (tmp_path / "out").mkdir()
        lock.take()
        lock.take()
        with pytest.raises(UserError, match="in use"):
            other.take()
    assert not list((tmp_path / "out").iterdir())

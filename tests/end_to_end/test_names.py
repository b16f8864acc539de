"""Folders of any name that a file system allows: trained, gone on with, rendered, measured, and shown without harm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import metrics
import render
import train
from tests.helpers.ring import make_dataset
from utils.console import run_script

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
NAME = os.fsdecode(b"a $x^$ b\xff\xe9\x1b[31m")  # no UTF-8, a formula that is none, and a command to a terminal


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset of this name."""
    folder = tmp_path_factory.mktemp("names")
    try:
        (folder / NAME).mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    make_dataset(folder / "plain")
    shutil.copytree(folder / "plain", folder / NAME, dirs_exist_ok=True)
    return folder


def script(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit status of a script, and what it printed, which no control character but newline and tab is in."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, env={**os.environ, **environment}
    )
    text = (done.stdout + done.stderr).decode()
    assert "Traceback" not in text and all(each.isprintable() or each in "\n\t" for each in text), text
    return done.returncode, text


def test_a_name_that_is_no_text_and_harms_no_terminal(base: Path) -> None:
    model = base / f"model {NAME}"
    flags = "--eval --iterations 4 --checkpoint_iterations 2".split()
    code, text = script("train.py", "-s", str(base / NAME), "-m", str(model), *flags)
    assert code == 0 and "\\udcff\\udce9\\x1b[31m" in text and "warning" not in text
    assert (model / "report.html").exists() and (model / "contact_sheet.png").exists()
    train.main(["-m", str(model), "--resume", "--iterations", "6", "--quiet"])
    render.main(["-m", str(model), "--quiet"])
    metrics.main(["-m", str(model), "--quiet"])


def test_a_screen_of_ascii(base: Path) -> None:
    arguments = ("train.py", "-s", str(base / NAME), "-m", str(base / "ascii"), "--iterations", "2")
    code, text = script(*arguments, PYTHONIOENCODING="ascii")
    assert code == 0 and "48\\xd736 pixels" in text


@pytest.mark.parametrize("flags", [["-s", NAME], [f"--{NAME}"], ["-r", NAME]])
def test_errors_are_shown_without_harm(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run_script(lambda: train.main(flags))
    text = capsys.readouterr().err
    assert raised.value.code == 2 and "\\x1b" in text and "\x1b" not in text

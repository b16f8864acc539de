"""What scripts say on the screen, and their exit codes."""

from __future__ import annotations

import sys

import pytest

from utils.console import progress, run_script
from utils.errors import UserError


def test_a_users_mistake_is_one_line(capsys):
    def fail() -> None:
        raise UserError("no such thing")

    with pytest.raises(SystemExit) as exit:
        run_script(fail)
    assert exit.value.code == 2
    assert capsys.readouterr().err == "error: no such thing\n"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "out/a.ply"), "out/a.ply: No space left on device"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (PermissionError(13, "Permission denied", b"a\xff"), "a\\udcff: Permission denied"),
        (MemoryError(), "out of memory"),
    ],
)
def test_what_the_system_refuses_is_one_line(capsys, error, words):
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as exit:
        run_script(fail)
    assert exit.value.code == 2
    assert capsys.readouterr().err == f"error: {words}\n"


def test_verbose_shows_where_an_error_comes_from(capsys, monkeypatch):
    def fail() -> None:
        try:
            raise KeyError("frames")
        except KeyError as error:
            raise UserError("a.json cannot be read") from error

    monkeypatch.setattr(sys, "argv", ["train.py", "-s", "a", "--verbose"])
    with pytest.raises(SystemExit) as exit:
        run_script(fail)
    shown = capsys.readouterr().err
    assert exit.value.code == 2 and shown.endswith("\nerror: a.json cannot be read\n")
    assert "Traceback" in shown and "KeyError: 'frames'" in shown and "in fail" in shown


def test_a_programmers_mistake_keeps_its_traceback():
    def fail() -> None:
        raise ValueError("bug")

    with pytest.raises(ValueError, match="bug"):
        run_script(fail)


def test_ctrl_c(capsys):
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as exit:
        run_script(stop)
    assert exit.value.code == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("quiet, expected", [(False, "drawing (3)\n"), (True, "")])
def test_progress_passes_everything_on(capsys, quiet, expected):
    assert list(progress(iter("abc"), "drawing", 3, quiet)) == ["a", "b", "c"]
    assert capsys.readouterr().out == expected

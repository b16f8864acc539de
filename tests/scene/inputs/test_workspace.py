"""What is made of an input is made once, whole or not at all, and never over files of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from scene.inputs.workspace import fingerprint, made_once
from utils.errors import UserError


def write(text: str):
    return lambda folder: (folder / "a").write_text(text)


def test_it_is_made_once_and_again_when_the_input_changes(tmp_path: Path) -> None:
    folder = tmp_path / "model" / "made"
    assert made_once(folder, {"of": ("x", 1)}, write("one"))
    assert not made_once(folder, {"of": ("x", 1)}, write("two")) and (folder / "a").read_text() == "one"
    assert made_once(folder, {"of": ("x", 2)}, write("three")) and (folder / "a").read_text() == "three"
    assert [path.name for path in folder.parent.iterdir()] == ["made"]


def test_what_fails_leaves_nothing_and_keeps_what_was(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "a").write_text("half")
        raise KeyboardInterrupt

    for before in (None, "whole"):
        if before:
            made_once(tmp_path / "made", {"of": 1}, write(before))
        with pytest.raises(KeyboardInterrupt):
            made_once(tmp_path / "made", {"of": 2}, fail)
        assert [path.name for path in tmp_path.iterdir()] == (["made"] if before else [])
    assert (tmp_path / "made" / "a").read_text() == "whole"


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "mine").touch()
    with pytest.raises(UserError, match="made is in the way of what is made of the input"):
        made_once(tmp_path / "made", {}, write("x"))
    assert (tmp_path / "made" / "mine").exists()


def test_fingerprints_differ_by_length_and_ends(tmp_path: Path) -> None:
    path, prints = tmp_path / "a", []
    for data in (b"", b"a", b"b", bytes(10**6), bytes(10**6 - 1) + b"x", b"x" + bytes(10**6 - 1), bytes(10**6 + 1)):
        path.write_bytes(data)
        prints.append(fingerprint(path))
    assert len(set(prints)) == 7 and fingerprint(path) == prints[-1]

"""Masks and depth maps find their photos by name, and no file is given to two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from scene.pairing import pair

SUFFIXES = (".png", ".npy", ".jpg")


def paired(folder: Path, files: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return {name: str(path.relative_to(folder)) for name, path in pair(folder, names, SUFFIXES).found.items()}


@pytest.mark.parametrize(
    "file, name",
    [("1.png", "1.jpg"), ("1.JPG", "1.jpg"), ("1.png.npy", "1.png"), ("1.jpg.png", "1.jpg"), ("1.jpg.png", "1.png"),
     ("left/1.png", "left/1.jpg"), ("1.png", "images/1.jpg"), ("a/1.png", "images/a/1.jpg"),
     ("LEFT/a.png", "left/A.jpg"),
     ("f-0.depth.png", "f-0.color.png"), ("1.5.png", "1.5.jpg"), ("a.b.png", "a.b.jpg")],
)  # fmt: skip
def test_names_that_belong_together(tmp_path: Path, file: str, name: str) -> None:
    assert paired(tmp_path, [file], [name, "other.jpg"]) == {name: file}


@pytest.mark.parametrize(
    "file, name", [("1.txt", "1.jpg"), ("1.5.png", "1.jpg"), ("left/1.png", "1.jpg"), ("12.png", "1.jpg")]
)
def test_names_that_do_not(tmp_path: Path, file: str, name: str) -> None:
    assert paired(tmp_path, [file], [name]) == {}


def test_a_bare_name_tells_only_where_it_is_of_one_photo(tmp_path: Path) -> None:
    names = ["cam0/000.png", "cam1/000.png", "cam1/001.png"]
    assert paired(tmp_path, ["000.png", "001.png"], names) == {"cam1/001.png": "001.png"}
    (sentence,) = pair(tmp_path, names, SUFFIXES).contested
    assert "000.png fits the photos cam0/000.png, cam1/000.png, and is used for none of them" in sentence
    found = paired(tmp_path, ["cam0/000.png"], names)  # which says whose it is, and leaves the other in doubt
    assert found == {"cam0/000.png": "cam0/000.png", "cam1/001.png": "001.png"}


def test_the_first_suffix_is_taken_and_the_whole_path_before_its_end(tmp_path: Path) -> None:
    assert paired(tmp_path, ["1.npy", "1.png", "1.png.npy", "a/2.png", "2.png"], ["1.jpg", "a/2.jpg"]) == {
        "1.jpg": "1.png",
        "a/2.jpg": "a/2.png",
    }


def test_a_file_whose_photo_is_known_is_not_contested(tmp_path: Path) -> None:
    assert paired(tmp_path, ["000.png"], ["000.png", "cam0/000.png"]) == {"000.png": "000.png"}
    assert pair(tmp_path, ["000.png", "cam0/000.png"], SUFFIXES).contested == []

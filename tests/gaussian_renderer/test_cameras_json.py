"""cameras.json of a model folder, as view.py reads it: its own, one of other trainers, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scene.camera_list import read_cameras, write_cameras
from tests.helpers import scenes
from utils.errors import UserError


def changed(folder: Path, **values: Any) -> Path:
    """The file of two cameras, with something else in the second; None: without it."""
    write_cameras(folder, scenes.cameras(2))
    entries = json.loads((folder / "cameras.json").read_text())
    entries[1] = {name: value for name, value in {**entries[1], **values}.items() if value is not None}
    (folder / "cameras.json").write_text(json.dumps(entries))
    return folder / "cameras.json"


def test_round_trip(tmp_path: Path) -> None:
    written, found = scenes.cameras(2), read_cameras(changed(tmp_path))
    for one, other in zip(written, found, strict=True):
        assert (one.name, one.width, one.height) == (other.name, other.width, other.height)
        assert (one.fx, one.fy, one.cx, one.cy) == (other.fx, other.fy, other.cx, other.cy)
        np.testing.assert_allclose(one.camera_from_world, other.camera_from_world, atol=1e-12)


def test_other_trainers_write_no_principal_point(tmp_path: Path) -> None:
    second = read_cameras(changed(tmp_path, cx=None, cy=None))[1]
    assert (second.cx, second.cy) == (20, 15)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"fx": 0}, r"\[1\].fx is 0; it must be a number > 0"),
        ({"fy": float("nan")}, r"\[1\].fy is NaN"),
        ({"width": 1e400}, r"\[1\].width is Infinity"),
        ({"width": 10**9}, r"\[1\].width is 1000000000"),
        ({"height": "x"}, r"\[1\].height is \"x\""),
        ({"img_name": None}, "lacks img_name"),
        ({"position": [1, 2]}, r"\[1\].position is \[1, 2\]"),
        ({"position": [1, 2, float("inf")]}, "001.png is no camera pose"),
        ({"rotation": [[1, 0, 0]] * 3}, "001.png is no camera pose"),
        ({"rotation": [[10**400, 0, 0]] * 3}, "cameras.json"),
    ],
)
def test_what_is_no_camera(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = changed(tmp_path, **values)
    with pytest.raises(UserError, match=said) as caught:
        read_cameras(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "{}", "7", "[", "[" * 10_000, "[null]"])
def test_what_is_no_list_of_cameras(text: str, tmp_path: Path) -> None:
    (tmp_path / "cameras.json").write_text(text)
    with pytest.raises(UserError, match=r"cameras.json"):
        read_cameras(tmp_path / "cameras.json")
    with pytest.raises(UserError, match=r"cameras.json"):
        read_cameras(tmp_path / "none" / "cameras.json")

"""JSON that others wrote: texts that are no Unicode are names of files, or one error, wherever they stand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scene.paths.nerfstudio import read_path_file
from scene.readers.json_input import decoded, read_json
from scene.readers.transforms_schema import File
from utils.errors import UserError

FRAME = '{"file_path": "a.png", "transform_matrix": [[1, 0, 0, 0]]%s}'


@pytest.mark.parametrize("entry", [r', "\udcff": 1', r', "fl_x": "\udcff"'])
def test_what_is_no_unicode_is_one_error(entry: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(f'{{"frames": [{FRAME % entry}]}}')
    with pytest.raises(UserError, match=r"a.json.*udcff.* no text"):
        decoded(read_json(path), File, path)
    with pytest.raises(UserError, match=r"a.json"):
        read_path_file(path)


def test_a_list_for_an_object_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UserError, match=r"a.json: it must be an object"):
        decoded(read_json(tmp_path / "a.json"), File, tmp_path / "a.json")


def test_names_of_files_may_be_of_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes((f'{{"frames": [{FRAME % ""}]}}').encode().replace(b"a.png", b"a\xe9.png"))
    (frame,) = decoded(read_json(path), File, path).frames
    assert os.fsencode(frame.file_path) == b"a\xe9.png"

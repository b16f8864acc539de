"""The folder of masks beside the photos."""

from __future__ import annotations

from pathlib import Path

import pytest

from scene.readers.masks import masks_beside, pair_masks
from tests.helpers.scenes import write_photo


@pytest.mark.parametrize("name", ["masks", "mask", "Masks", "MASK"])
def test_its_usual_names(name: str, tmp_path: Path) -> None:
    write_photo(tmp_path / name / "a.png", 8, 6, channels=1)
    write_photo(tmp_path / "other" / "b.png", 8, 6, channels=1)
    assert pair_masks(tmp_path, ["a.jpg", "b.jpg"]).found == {"a.jpg": tmp_path / name / "a.png"}


def test_of_two_the_first_is_used(tmp_path: Path) -> None:
    for name in ("mask", "masks"):
        write_photo(tmp_path / name / "a.png", 8, 6, channels=1)
    assert masks_beside(tmp_path) == tmp_path / "masks"


def test_there_may_be_none(tmp_path: Path) -> None:
    (tmp_path / "masks").write_text("no folder")
    assert pair_masks(tmp_path, ["a.jpg"]).found == {}

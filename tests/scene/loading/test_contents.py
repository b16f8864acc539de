"""Photos whose header is whole and whose contents are not: named early, passed over, and never the end of a run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import train
from scene.check import main as check
from scene.gaussians.random_start import random_start
from scene.image_header import read_header
from scene.loading.contents import ContentCheck, damaged
from scene.loading.image_cache import ShuffledViews, ViewCache, readable
from scene.types import View
from tests.helpers.ring import make_dataset
from tests.scene.loading.test_image_cache import next_name, views_of
from utils.errors import DamagedFile, UserError


def spoil(path: Path) -> None:
    """Damage behind the header: the first Huffman table of a JPEG, the compressed data of another."""
    data = bytearray(path.read_bytes())
    if path.suffix == ".jpg":
        at = data.find(b"\xff\xc4")
        data[at + 5 : at + 21] = b"\xff" * 16
    else:
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        data[30:60] = b"\xff" * 30
    path.write_bytes(data)


def photographed(folder: Path, suffix: str, count: int = 5) -> list[View]:
    """Views of JPEG or WebP files."""
    views = []
    for view in views_of(folder, count):
        path = view.image_path.with_suffix(suffix)
        pixels = cv2.resize(cv2.imread(str(view.image_path)), (8, 6))
        cv2.imwrite(str(path), pixels)
        views.append(View(view.camera, path))
    return views


def test_nothing_is_decoded_any_more_when_the_run_ends(tmp_path: Path) -> None:
    """cv2 takes Python's lock back after decoding, and aborts the process if Python has ended before."""
    (view,) = photographed(tmp_path, ".jpg", 1)
    cv2.imwrite(str(view.image_path), np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), np.uint8))
    with ContentCheck([view]) as contents:
        pass
    assert contents._thread is not None and not contents._thread.is_alive()


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_damage_behind_the_header_is_named(suffix: str, tmp_path: Path) -> None:
    views = photographed(tmp_path, suffix)
    assert damaged(views) == {}
    spoil(views[2].image_path)
    assert read_header(views[2].image_path).width == 8, "the header shows nothing"
    assert list(damaged(views)) == ["2.png"] and f"2{suffix} cannot be decoded" in damaged(views)["2.png"]
    found, end = list[str](), time.monotonic() + 10
    with ContentCheck([*views, *views]) as contents:
        while not found and time.monotonic() < end:
            found = contents.new_faults()
    assert len(found) == 1 and f"2{suffix} cannot be decoded" in found[0] and contents.new_faults() == []


def test_damaged_photos_are_passed_over_in_the_same_order(tmp_path: Path) -> None:
    views = photographed(tmp_path, ".jpg")
    whole = ShuffledViews(ViewCache(views), torch.Generator().manual_seed(4))
    expected = [name for name in (next_name(whole) for _ in range(20)) if name != "2.png"]
    spoil(views[2].image_path)
    order = ShuffledViews(ViewCache(views), torch.Generator().manual_seed(4))
    assert [next_name(order) for _ in range(16)] == expected
    assert len(order.damaged) == 1 and "2.jpg cannot be decoded" in order.damaged[0]
    assert [photo.camera.name for photo in order.photos.undamaged(range(5))] == [f"{k}.png" for k in (0, 1, 3, 4)]
    photos, faults = readable(views, "cpu")
    assert len(photos) == 4 and list(faults) == ["2.png"]


def test_a_start_without_points_takes_what_is_whole(tmp_path: Path) -> None:
    views = photographed(tmp_path, ".jpg")
    spoil(views[2].image_path)
    assert len(random_start(views, 100)[0]) > 50
    for view in views:
        view.image_path.write_bytes(b"")
    with pytest.raises(UserError, match="none of 5 photos can be decoded"):
        random_start(views, 100)


def test_nothing_undamaged_or_a_dataset_that_is_gone_ends_it(tmp_path: Path) -> None:
    views = photographed(tmp_path, ".jpg", 2)
    for view in views:
        spoil(view.image_path)
    with pytest.raises(UserError, match="all 2 photos are damaged"):
        ShuffledViews(ViewCache(views), torch.Generator()).next_batch(1)
    views[0].image_path.unlink()  # as the rest of the dataset may be: nothing is wrong with this photo
    with pytest.raises(UserError, match="it is not there") as raised:
        ViewCache(views).find(0)
    assert not isinstance(raised.value, DamagedFile)


def jpeg_dataset(folder: Path) -> Path:
    """The ring with JPEG photos, of which 03 is damaged."""
    data = make_dataset(folder)
    for path in sorted((data / "images").iterdir()):
        cv2.imwrite(str(path.with_suffix(".jpg")), cv2.imread(str(path)))
        path.unlink()
    spoil(data / "images/03.jpg")
    return data


@pytest.mark.slow
def test_a_damaged_photo_costs_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = jpeg_dataset(tmp_path / "data")
    train.main(["-s", str(data), "-m", str(tmp_path / "out"), "--iterations", "20"])
    shown = capsys.readouterr().out
    assert shown.count("03.jpg cannot be decoded as an image; what it shows is left out") == 1
    assert json.loads((tmp_path / "out/run.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_the_doctor_looks_at_contents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check([str(jpeg_dataset(tmp_path / "data"))])
    assert "03.jpg cannot be decoded as an image\n1 warning" in capsys.readouterr().out

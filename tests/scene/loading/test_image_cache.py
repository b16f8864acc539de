"""Photos in memory, and their order."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from queue import Queue
from threading import Event

import cv2
import numpy as np
import pytest
import torch

import scene.loading.image_cache as views_module
from scene.images import LoadedImage
from scene.loading.image_cache import ShuffledViews, ViewCache
from scene.types import Camera, View
from utils.errors import UserError


def next_name(order: ShuffledViews) -> str:
    ((_, photo),) = order.next_batch(1)
    assert photo is not None
    return photo.camera.name


def views_of(folder: Path, count: int) -> list[View]:
    """Views of `count` PNG files with pixels drawn at random."""
    rng = np.random.default_rng(0)
    views = []
    for index in range(count):
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        camera = Camera(path.name, 8, 6, 8.0, 8.0, 4.0, 3.0, np.eye(4))
        views.append(View(camera, path))
    return views


def test_photos_are_what_is_in_the_files(tmp_path: Path) -> None:
    photos = ViewCache(views_of(tmp_path, 2))
    pixels = cv2.imread(str(tmp_path / "1.png"))
    assert pixels is not None
    stored = pixels[..., ::-1]
    photo = photos[1]
    assert photo.camera.name == "1.png" and photo.mask is None and photo.color.dtype == torch.float32
    assert np.array_equal((photo.color * 255).round().byte().permute(1, 2, 0).numpy(), stored)


def test_photos_are_decoded_once(tmp_path: Path) -> None:
    photos = ViewCache(views_of(tmp_path, 1))
    first = photos[0].color
    (tmp_path / "0.png").unlink()
    assert torch.equal(photos[0].color, first)


def held_up(monkeypatch: pytest.MonkeyPatch) -> tuple[Event, Queue[str]]:
    """(set by the test: files may be read; names of the files that have been)."""
    may_read, has_read, load = Event(), Queue[str](), views_module.load_image

    def slow(view: View) -> LoadedImage:
        assert may_read.wait(10)
        image = load(view)
        has_read.put(view.image_path.name)
        return image

    monkeypatch.setattr(views_module, "load_image", slow)
    return may_read, has_read


def test_a_photo_is_decoded_while_the_caller_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_read, has_read = held_up(monkeypatch)
    photos = ViewCache(views_of(tmp_path, 1))
    photos.prefetch(0)  # comes back, though no file can be read yet
    assert has_read.empty()
    may_read.set()
    assert has_read.get(timeout=10) == "0.png"
    (tmp_path / "0.png").unlink()
    assert photos[0].color.shape == (3, 6, 8)


@pytest.mark.parametrize("walk", ["shuffled", "in order"])
def test_the_next_photo_is_on_its_way(walk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_read, has_read = held_up(monkeypatch)
    may_read.set()
    photos = ViewCache(views_of(tmp_path, 2))
    in_order, shuffled = photos.in_order([1, 0]), ShuffledViews(photos, torch.Generator())
    following = partial(next_name, shuffled) if walk == "shuffled" else lambda: next(in_order).camera.name
    first = following()
    assert has_read.get(timeout=10) == first
    second = has_read.get(timeout=10)  # before anybody asks for it
    assert second != first and following() == second


@pytest.mark.parametrize("walk", ["shuffled", "in order"])
@pytest.mark.parametrize(("cores", "ahead"), [(2, 1), (16, 4), (200, 8)])
def test_with_many_cores_more_photos_are_decoded_at_once(
    walk: str, cores: int, ahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next ones in the order in which they will be asked for, and no others."""
    monkeypatch.setattr(views_module, "usable_cores", lambda: cores)
    may_read, has_read = held_up(monkeypatch)
    may_read.set()
    photos = ViewCache(views_of(tmp_path, 20))
    in_order, shuffled = photos.in_order([*range(19, -1, -1)]), ShuffledViews(photos, torch.Generator())
    following = partial(next_name, shuffled) if walk == "shuffled" else lambda: next(in_order).camera.name
    first = following()
    begun = [has_read.get(timeout=10) for _ in range(1 + ahead)]
    assert has_read.empty() and first in begun
    asked = [first, *(following() for _ in range(ahead))]
    assert sorted(asked) == sorted(begun)
    assert sorted([*asked, *(following() for _ in range(19 - ahead))]) == sorted(f"{i}.png" for i in range(20))


def test_a_file_that_cannot_be_read_is_told_of_when_asked_for(tmp_path: Path) -> None:
    photos = ViewCache(views_of(tmp_path, 1))
    (tmp_path / "0.png").write_bytes(b"no picture")
    photos.prefetch(0)
    with pytest.raises(UserError, match="0.png"):
        photos[0]


@pytest.mark.parametrize("kept_there", [False, True])
def test_photos_come_to_the_device(kept_there: bool, tmp_path: Path) -> None:
    photos = ViewCache(views_of(tmp_path, 1), "meta", kept_there=kept_there)
    assert photos[0].color.device == torch.device("meta") and photos[0].color.shape == (3, 6, 8)
    kept = photos._bytes[0][0]
    assert kept is not None and kept.device.type == ("meta" if kept_there else "cpu")


def test_every_round_shows_every_photo_in_another_order(tmp_path: Path) -> None:
    order = ShuffledViews(ViewCache(views_of(tmp_path, 7)), torch.Generator().manual_seed(1))
    rounds = [[next_name(order) for _ in range(7)] for _ in range(3)]
    assert all(sorted(names) == sorted(rounds[0]) for names in rounds) and len(set(rounds[0])) == 7
    assert rounds[0] != rounds[1] or rounds[1] != rounds[2]


def test_the_order_goes_on_from_its_state(tmp_path: Path) -> None:
    views = views_of(tmp_path, 5)
    straight = ShuffledViews(ViewCache(views), torch.Generator().manual_seed(2))
    for _ in range(3):
        next_name(straight)
    again = ShuffledViews(ViewCache(views), torch.Generator())
    again.load_state(straight.state())
    again.generator.set_state(straight.generator.get_state())
    assert [next_name(straight) for _ in range(9)] == [next_name(again) for _ in range(9)]


def test_the_state_of_other_photos_is_refused(tmp_path: Path) -> None:
    views = views_of(tmp_path, 5)
    order = ShuffledViews(ViewCache(views), torch.Generator())
    with pytest.raises(UserError, match="5 training photos, and these 4"):
        ShuffledViews(ViewCache(views[1:]), torch.Generator()).load_state(order.state())


@pytest.mark.parametrize("gray", [0.0, 1.0])
def test_transparent_renderings_over_any_background(gray: float, tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (6, 8, 4), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    camera = Camera("a.png", 8, 6, 8.0, 8.0, 4.0, 3.0, np.eye(4))
    view = View(camera, tmp_path / "a.png", background=gray)
    background = torch.tensor([0.2, 0.5, 0.9])
    color = torch.from_numpy(pixels[..., [2, 1, 0]].transpose(2, 0, 1) / 255).float()
    alpha = torch.from_numpy(pixels[..., 3] / 255).float()
    photo = ViewCache([view], with_alpha=True)[0]
    assert torch.allclose(photo.over(background), color * alpha + background[:, None, None] * (1 - alpha), atol=5e-3)
    assert torch.allclose(photo.color, color * alpha + gray * (1 - alpha), atol=3e-3) and photo.mask is None
    plain = ViewCache([view])[0]
    assert plain.alpha is None and torch.equal(plain.over(background), photo.color)


def test_a_bounded_cache_shows_the_same_and_decodes_the_least(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count, kept, rounds, decoded = 7, 3, 4, 0
    honest, views = views_module.load_image, views_of(tmp_path, count)

    def load_image(view: View) -> LoadedImage:
        nonlocal decoded
        decoded += 1
        return honest(view)

    def walk(limit: int) -> list[tuple[int, torch.Tensor]]:
        order, shown = ShuffledViews(ViewCache(views, limit=limit), torch.Generator().manual_seed(3)), []
        for _ in range(rounds * count):
            ((index, photo),) = order.next_batch(1)
            assert photo is not None and (limit == 0 or len(order.photos._bytes) <= limit)
            shown.append((index, photo.color))
        return shown

    expected = walk(limit=0)
    monkeypatch.setattr(views_module, "load_image", load_image)
    found = walk(limit=kept)
    assert all(one[0] == other[0] and torch.equal(one[1], other[1]) for one, other in zip(expected, found, strict=True))
    # With the order known, what is kept from a round to the next is what comes up first: two or three of three.
    assert count * rounds - (rounds - 1) * kept <= decoded <= count * rounds - (rounds - 1) * (kept - 1)

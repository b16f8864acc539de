"""Real scenes of many kinds, where they are at hand: each is read once for all that must hold of it."""

from __future__ import annotations

from functools import cache

import pytest

from scene import load_scene
from scene.types import Scene
from tests.conftest import REAL_SCENES, real_scene
from tests.helpers.whole import assert_complete, from_cameras_alone
from utils.errors import UserError

NAMES = sorted(path.name for path in REAL_SCENES.glob("*/")) or ["any"]
SOUND = ("fox", "llff_fern", "nerf_synthetic_mic", "outdoor_gerrard_hall", "rgbd_kitchen", "colmap4_two_models")


@cache
def read(name: str) -> Scene:
    return load_scene(real_scene(name))


@pytest.mark.parametrize("name", NAMES)
def test_no_file_is_missed(name: str) -> None:
    try:
        scene = read(name)
    except UserError as error:
        assert name in str(error)  # which says what is there, as it is no dataset that can be read
    else:
        assert_complete(real_scene(name), scene.ledger)
        assert sum(what == "photo" for what in scene.ledger.used.values()) == len(scene.train) + len(scene.test)


@pytest.mark.parametrize("name", SOUND)
def test_sound_cameras_have_the_extent_of_their_places(name: str) -> None:
    scene = read(name)
    extent = from_cameras_alone([view.camera for view in scene.train])
    assert scene.extent == extent and scene.near == 0.01 * extent
    assert not any("far from the others" in warning for warning in scene.warnings)

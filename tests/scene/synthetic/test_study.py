"""The second room and its stereo camera."""

from __future__ import annotations

import numpy as np
import pytest

from scene.synthetic.raytrace import Tracer
from scene.synthetic.rooms import ROOMS
from scene.synthetic.stereo import noise_deviation, sense_stereo
from tests.scene.synthetic.test_synthetic import flat, ordinary

pytestmark = pytest.mark.slow


def test_every_ray_of_the_study_meets_something() -> None:
    kind = ROOMS["study"]
    room = kind.build(0)
    tracer = Tracer(room)
    for camera in [*kind.cameras(60, 16, 12, 0)[::4], *kind.far_cameras(16, 12)]:
        row, column = (grid.ravel() for grid in np.mgrid[0:12, 0:16])
        d = camera.unproject(row, column, np.ones(row.size)).T - camera.center[:, None]
        t, number = tracer.nearest(np.repeat(camera.center[:, None], row.size, axis=1), d)
        assert (number >= 0).all() and t.min() > 0.25 and t.max() < 7
        assert room.distance_to_surface(camera.center[None])[0] > 0.25


def test_the_rooms_differ_and_so_do_seeds() -> None:
    rooms = [ROOMS[name].build(seed) for name, seed in (("room", 0), ("study", 0), ("study", 1))]
    points = np.random.default_rng(0).uniform((-2.2, -2.4, 0.2), (2.2, -0.1, 4.6), (300, 3))
    distances = [room.distance_to_surface(points) for room in rooms]
    assert np.abs(distances[0] - distances[1]).mean() > 0.1
    assert 0 < np.abs(distances[1] - distances[2]).mean() < 0.05


def speckled(depth: np.ndarray, contrast: float = 0.1) -> object:
    picture = flat(depth)
    picture.color[:] += contrast * np.random.default_rng(0).normal(size=(*depth.shape, 1))
    return picture


def test_stereo_noise_grows_with_the_square_of_depth() -> None:
    for depth in (1.0, 2.0, 4.0):
        measured = sense_stereo(speckled(np.full((360, 480), depth)), ordinary(), 401, 1).astype(float)
        good = np.abs(measured - 1000 * depth) < 5000 * noise_deviation(np.array(depth), 401)
        assert good.mean() > 0.97
        expected = 1000 * noise_deviation(np.array(depth), 401)
        steps = 1000 * depth**2 / (401 * 0.055 * 32) / 12**0.5  # of disparities in whole 32nds of a pixel
        assert measured[good].std() == pytest.approx(np.hypot(expected, steps), rel=0.12)
    assert noise_deviation(np.array(2.0), 401) == pytest.approx(0.0145, abs=1e-3)


def test_what_has_no_texture_is_not_matched_and_edges_are_fat() -> None:
    depth = np.full((120, 480), 4.0)
    plain = sense_stereo(speckled(depth, 0.0005), ordinary(), 401, 2)
    assert (plain > 0).mean() < 0.1 and (sense_stereo(speckled(depth), ordinary(), 401, 2) > 0).mean() > 0.95
    depth[:, 200:280] = 2.0
    measured = sense_stereo(speckled(depth), ordinary(), 401, 2)
    beside = measured[:, 280:283]  # the far side, where the window still sees the near one
    assert (np.abs(beside[beside > 0] / 1000.0 - 2) < 0.2).mean() > 0.5
    hidden = int(401 * 0.055 * (1 / 2 - 1 / 4))
    assert (measured[:, 201 - hidden : 199] == 0).mean() > 0.9

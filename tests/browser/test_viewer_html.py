"""viewer.html in a browser: it shows what the rasterizer draws, and needs nothing beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gaussian_renderer import RenderSettings, render
from scene.editing import Similarity, transform, transform_camera
from scene.gaussians.model import Gaussians
from scene.io import viewer_html
from scene.types import Camera
from scene.upright import level_rotation
from tests.helpers.browser import open_browser
from tests.helpers.clouds import random_gaussians
from tests.helpers.ring import camera_at
from utils.image_io import to_bytes

pytestmark = pytest.mark.slow

HOSTILE = '</script><script>window.hit=1</script><img src=x onerror=window.hit=1>"&.png'
SIZE = (480, 360)


def cameras_of(names: list[str]) -> list[Camera]:
    """Level cameras about the origin, with the principal point in the middle: the viewer knows no other."""
    cameras = [camera_at(0.7 * index, name) for index, name in enumerate(names)]
    return [
        replace(each, width=SIZE[0], height=SIZE[1], fx=450.0, fy=450.0, cx=SIZE[0] / 2, cy=SIZE[1] / 2)
        for each in cameras
    ]


def test_the_viewer_shows_what_the_rasterizer_draws(program: str, tmp_path: Path) -> None:
    """Seen from a training camera, in a world that lies on its side: the pictures agree, spherical harmonics too."""
    gaussians = random_gaussians(300, sh_degree=3)
    gaussians.shs_rest.detach().mul_(3.0)
    turn = Rotation.from_euler("xyz", (70, 20, -40), degrees=True).as_matrix()
    arrays = transform(gaussians.to_arrays(), Similarity.turn(turn))
    cameras = [transform_camera(each, Similarity.turn(turn)) for each in cameras_of([HOSTILE, "b.png", "c.png"])]
    path = tmp_path / "a name with <b>spaces</b> & ünïcode" / "viewer.html"
    viewer_html.write(path, arrays, cameras, title=HOSTILE, background=(0.0, 0.0, 0.0))
    with torch.no_grad():
        drawn = render(Gaussians.from_arrays(arrays), cameras[0], torch.zeros(3), RenderSettings(0.05, 3))
    expected = to_bytes(drawn.color).astype(float)
    assert expected.std() > 20
    with open_browser(program, SIZE) as browser:
        browser.open(path.as_uri() + "?noanim&noui&webgl")
        browser.wait_for("typeof window.scrubTo === 'function'")
        shown = browser.screenshot().astype(float)
        assert browser.value("document.title") == HOSTILE
        assert browser.value("window.hit === undefined")
        assert not browser.errors
        assert all(each.startswith(("file:", "blob:", "data:")) for each in browser.requests)
        assert [each for each in browser.requests if each.startswith("file:")] == browser.requests[:1], "the page alone"
    difference = np.abs(shown - expected).mean()
    assert difference < 3.0, f"mean difference of {difference:.2f} of 255 levels"
    mirrored = [np.abs(each - expected).mean() for each in (shown[::-1], shown[:, ::-1])]
    assert min(mirrored) > 3 * difference


def test_cameras_are_places_to_go_to(program: str, tmp_path: Path) -> None:
    """The list of cameras shows names as they are, and leads to them."""
    gaussians = random_gaussians(50, sh_degree=0).to_arrays()
    cameras = cameras_of(["a.png", HOSTILE])
    viewer_html.write(tmp_path / "viewer.html", gaussians, cameras, title="two cameras")
    second = transform_camera(cameras[1], Similarity.turn(level_rotation(cameras))).center * (-1, -1, 1)
    place = "(({x, y, z}) => [x, y, z])(app.root.findComponents('camera')[0].entity.getPosition())"
    with open_browser(program, SIZE) as browser:
        browser.open((tmp_path / "viewer.html").as_uri() + "?noanim&webgl")
        browser.wait_for("typeof window.scrubTo === 'function'")
        title = "document.querySelector('.sse-annotationNavTitle').textContent"
        assert browser.value(title) == "a.png"
        browser.value("document.querySelector('.sse-annotationNext').click()")
        browser.wait_for(f"{title} === {json.dumps(HOSTILE[-viewer_html.MAX_TITLE :])}")
        browser.wait_for(f"Math.abs({place}[0] - {second[0]}) < 0.01")
        assert browser.value(place) == pytest.approx(second.tolist(), abs=0.02)
        assert browser.value("window.hit === undefined") and not browser.errors

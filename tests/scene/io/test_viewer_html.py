"""viewer.html as text; tests/browser opens it."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from scene.editing import Similarity, rows, transform
from scene.io import page_scene, ply, viewer_html
from scene.io.packing import morton_order
from scene.io.page_scene import PageScene
from scene.upright import level_rotation
from tests.helpers.clouds import random_gaussians
from tests.helpers.ring import camera_at

HOSTILE = '</script><script>window.hit=1</script><img src=x onerror=window.hit=1>"&\x1b[1m\udcff.png'


class Blocks(HTMLParser):
    """The elements of a page, and the text in its scripts by id."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: dict[str, str] = {}
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside = dict(attrs).get("id") or tag

    def handle_data(self, data: str) -> None:
        self.texts[self._inside] = self.texts.get(self._inside, "") + data


def test_the_page_holds_the_scene_and_hostile_names_as_text(tmp_path: Path) -> None:
    gaussians = random_gaussians(40, sh_degree=1).to_arrays()
    path = tmp_path / "viewer.html"
    cameras = [camera_at(0.1 * i, f"{HOSTILE}{i}") for i in range(30)]
    viewer_html.write(path, gaussians, cameras, title=HOSTILE)
    page = Blocks(path.read_text())
    assert "img" not in page.tags and page.tags.count("script") == 5
    filled = json.loads(page.texts["sse-bootstrap"])
    notes = filled["settings"]["annotations"]
    assert len(notes) == viewer_html.SHOWN_CAMERAS and notes[0]["title"].endswith("\\udcff.png0")
    assert notes[-1]["title"].endswith("png29"), "from the first to the last"
    assert filled["settings"]["cameras"][0]["initial"] == notes[0]["camera"]["initial"]
    header, count = (int(re.findall(rf"{name} = (\d+)", page.texts["script"])[0]) for name in ("header", "count"))
    packed = PageScene(base64.b64decode(page.texts["scene"]), header, count)
    (tmp_path / filled["contentUrl"]).write_bytes(page_scene.unpack(packed))
    shown = ply.read(tmp_path / filled["contentUrl"])
    level = transform(gaussians, Similarity.turn(level_rotation(cameras)))
    expected = page_scene.rounded(rows(level, morton_order(level.means)))
    assert all(np.array_equal(getattr(shown, name), values) for name, values in vars(expected).items())


def test_without_cameras_it_begins_where_the_scene_is_in_sight(tmp_path: Path) -> None:
    """A file of Gaussians has no cameras: one before them sees all but a few that are far off."""
    gaussians = random_gaussians(400, sh_degree=0).to_arrays()
    gaussians.means[:] = gaussians.means * (3, 0.5, 2) + (70, -5, 9)
    gaussians.means[:4] *= 1000
    viewer_html.write(tmp_path / "a <b>.html", gaussians)
    page = Blocks((tmp_path / "a <b>.html").read_text())
    assert page.texts["title"].strip() == "a <b>"
    view = json.loads(page.texts["sse-bootstrap"])["settings"]["cameras"][0]["initial"]
    camera = viewer_html.overview(gaussians.means)
    assert view["position"] == pytest.approx((camera.center * (-1, -1, 1)).tolist())
    row, _, _, inside = camera.project(gaussians.means)
    assert inside[4:].mean() > 0.98 and np.ptp(row[4:]) > camera.height / 20, "and not from too far away"
    assert np.isfinite(viewer_html.overview(gaussians.means[:0]).camera_from_world).all()
    assert np.isfinite(viewer_html.overview(gaussians.means[:1]).camera_from_world).all()


def test_a_page_of_the_fitting_count_has_the_size(tmp_path: Path) -> None:
    gaussians = random_gaussians(20_000, sh_degree=2).to_arrays()
    whole = len(gaussians.means)
    count = viewer_html.fitting_count(gaussians, 3.7)
    assert 100 < count < whole
    some = type(gaussians)(**{name: values[:count] for name, values in vars(gaussians).items()})
    viewer_html.write(tmp_path / "viewer.html", some, [camera_at(0, "a")], title="t")
    assert 3.6e6 < (tmp_path / "viewer.html").stat().st_size <= 3.71e6
    assert viewer_html.fitting_count(gaussians, 50) == whole and viewer_html.fitting_count(gaussians, 1) == 0


def test_the_start_looks_at_what_is_in_the_middle() -> None:
    """Targets are at the depth of what the camera sees, and not of what lies behind it."""
    camera = camera_at(0.0, "a")
    near = np.random.default_rng(0).normal(size=(100, 3)) * 0.01
    behind = near + 20 * (camera.center)
    pose = viewer_html.settings([camera], np.concatenate([near, behind]), (0, 0, 0))["cameras"][0]["initial"]
    assert np.array(pose["target"]) == pytest.approx(np.zeros(3), abs=0.3)
    assert np.array(pose["position"]) * (-1, -1, 1) == pytest.approx(camera.center)
    assert pose["fov"] == pytest.approx(np.degrees(2 * np.arctan(camera.width / camera.fx / 2)))

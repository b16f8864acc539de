"""Which Gaussians viewer.html has where not all fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gaussian_renderer import RenderSettings, render
from gaussian_renderer.contribution import contributions
from gaussian_renderer.viewer_page import write_viewer_page
from scene.io import viewer_html
from tests.helpers.clouds import random_gaussians
from tests.helpers.ring import camera_at

SETTINGS = RenderSettings(near=0.05, sh_degree=0)


def test_contributions_add_up_to_alpha() -> None:
    gaussians = random_gaussians(200, sh_degree=0)
    gaussians.means.detach()[::2] += 1000.0  # where no camera looks
    cameras = [camera_at(0.3 * index, "") for index in range(3)]
    scores = contributions(gaussians, cameras, SETTINGS)
    assert scores[::2].max() == 0 and scores[1::2].max() > 1
    with torch.no_grad():
        alphas = [render(gaussians, camera, torch.zeros(3), SETTINGS).alpha.sum() for camera in cameras]
    assert float(scores.sum()) == pytest.approx(float(sum(alphas)), rel=1e-4)


def test_a_page_that_is_too_large_has_fewer_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gaussians, cameras = random_gaussians(20_000, sh_degree=0), [camera_at(0.0, "a")]
    shown = []
    monkeypatch.setattr(viewer_html, "write", lambda path, arrays, cameras, **_: shown.append(len(arrays.means)))
    for megabytes in (50.0, 3.45):
        note = write_viewer_page(tmp_path / "v.html", gaussians, cameras, SETTINGS, megabytes, background=(0, 0, 0))
        assert (note == "") == (megabytes == 50)
    assert shown[0] == 20_000 > shown[1] > 100
    assert note.startswith(f"v.html has the {shown[1]:,} of 20,000 Gaussians") and "--viewer_html_mb 3.45" in note
    (tmp_path / "v.html").write_text("of a result before")
    note = write_viewer_page(tmp_path / "v.html", gaussians, cameras, SETTINGS, 1.0, background=(0, 0, 0))
    assert "no room" in note and not (tmp_path / "v.html").exists() and len(shown) == 2

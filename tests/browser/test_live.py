"""The live viewer in a browser, with the real viser: frames, splats, and no address but this machine's own."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from gaussian_renderer import RenderSettings
from gaussian_renderer.live.server import HOST, start_server
from gaussian_renderer.live.viewer import LiveViewer
from tests.helpers.browser import WAIT, Browser, open_browser
from tests.helpers.clouds import random_gaussians
from tests.helpers.ring import camera_at

pytest.importorskip("viser", reason='viser is not installed: pip install "viser>=1.1.1"')
pytestmark = pytest.mark.slow

SIZE = (500, 300)
SEEN = np.s_[170:290, 80:230]  # beside the panels of viser


def test_frames_and_splats_are_in_one_place(program: str) -> None:
    gaussians = random_gaussians(300, sh_degree=0)
    gaussians.scales.detach().add_(0.7)
    server = start_server()
    try:
        shown = LiveViewer(server, [camera_at(0.6 * index, "") for index in range(3)], torch.zeros(3), 5.0, 0)
        shown._cameras.value = False

        def serve() -> None:
            shown.show(gaussians, RenderSettings(near=0.05, sh_degree=0), 0)

        with open_browser(program, SIZE) as browser:
            browser.open(f"http://{HOST}:{server.get_port()}")
            until_it_shows(browser, serve, lambda seen: seen.std() > 10 and seen.min() < 60)
            frame = browser.screenshot()[SEEN].astype(float)
            shown._frames.value = False
            shown._look_again()
            until_it_shows(browser, serve, lambda seen: 0.5 < np.abs(seen - frame).mean() < 15 and seen.std() > 10)
            assert all(
                f"{HOST}:{server.get_port()}" in each or each.startswith(("data:", "blob:"))
                for each in browser.requests
            )
            assert not browser.errors
    finally:
        server.stop()


def until_it_shows(browser: Browser, serve: Callable[[], None], wanted: Callable[[np.ndarray], bool]) -> None:
    """Serve the browser until what it shows is as wanted, twice."""
    until, times = time.monotonic() + WAIT, 0
    while times < 2:
        assert time.monotonic() < until, "the browser does not show it"
        serve()
        time.sleep(0.2)
        times = times + 1 if wanted(browser.screenshot()[SEEN].astype(float)) else 0


def test_nobody_else_can_connect() -> None:
    """The server listens at the loopback address alone."""
    server = start_server()
    try:
        with socket.create_connection((HOST, server.get_port()), timeout=5):
            pass
        with pytest.raises(OSError), socket.create_connection(("127.0.0.2", server.get_port()), timeout=5):
            pass
    finally:
        server.stop()

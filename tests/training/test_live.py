"""A run that is watched: the same bytes, and buttons that pause, step and end it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import train
from gaussian_renderer.live import viewer as live_viewer
from tests.helpers.ring import BUSY
from tests.helpers.viser_double import ServerDouble
from training import live
from utils.errors import UserError
from utils.metrics_log import read_object

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ServerDouble:
    """The server of the next run, with a browser that looks at every step."""
    double = ServerDouble()
    monkeypatch.setattr(live, "start_server", lambda: double)
    monkeypatch.setattr(train, "require_viser", lambda: None)
    for name in ("REST", "REFRESH", "PATIENCE", "SPLATS_REFRESH"):
        monkeypatch.setattr(live_viewer, name, 0.0)
    return double


def run(dataset: Path, model: Path, flags: str = "", iterations: int = 20) -> Path:
    train.main(["-s", str(dataset), "-m", str(model), "--quiet", "--iterations", str(iterations), *flags.split()])
    return model / "point_cloud" / f"iteration_{iterations}" / "point_cloud.ply"


def each_step(server: ServerDouble, monkeypatch: pytest.MonkeyPatch, act: Any) -> list[int]:
    """Call `act(iteration)` before each look between two steps; the list of these steps fills."""
    looked: list[int] = []
    plain = live_viewer.LiveViewer.show

    def show(self, gaussians, settings, iteration):
        looked.append(iteration)
        act(iteration)
        plain(self, gaussians, settings, iteration)

    monkeypatch.setattr(live_viewer.LiveViewer, "show", show)
    return looked


def test_a_watched_run_gives_the_same_bytes(
    dataset: Path, tmp_path: Path, server: ServerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = BUSY + " --random_background"
    alone = run(dataset, tmp_path / "alone", flags).read_bytes()
    clients: list[Any] = []
    images = iter(live_viewer.IMAGES * 10)

    def act(iteration: int) -> None:
        if not clients:
            clients.append(server.connect((0.0, 0.0, -6.0)))
        server.move(clients[0], (0.1 * iteration, 0.0, -6.0))
        server.use("image", next(images))

    each_step(server, monkeypatch, act)
    assert run(dataset, tmp_path / "watched", flags + " --viewer").read_bytes() == alone
    pictures = [call.args[0] for call in clients[0].scene.set_background_image.call_args_list]
    assert sum(each.shape == (48, 64, 3) for each in pictures) == 19, "a frame after each step but the last"
    assert server.stop.called
    assert read_object(tmp_path / "watched/run.json")["warnings"] == []


def test_pause_step_and_continue(
    dataset: Path, tmp_path: Path, server: ServerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:

    def act(iteration: int) -> None:
        count = looked.count(iteration)
        if iteration == 3 and count == 1:
            server.use("Pause")
        if iteration == 3 and count == 5:
            server.use("Step")
        if iteration == 4 and count == 4:
            server.use("Pause")

    looked = each_step(server, monkeypatch, act)
    monkeypatch.setattr(live, "TICK", 0.0)
    run(dataset, tmp_path / "m", "--viewer", iterations=6)
    assert [looked.count(iteration) for iteration in range(1, 6)] == [1, 1, 5, 4, 1]


def test_finish_now_ends_a_paused_run(
    dataset: Path, tmp_path: Path, server: ServerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(iteration: int) -> None:
        if iteration == 10:
            server.use("Finish now" if looked.count(10) == 2 else "Pause")

    looked = each_step(server, monkeypatch, act)
    run(dataset, tmp_path / "m", "--viewer", iterations=34)
    facts = read_object(tmp_path / "m/run.json")
    assert facts["status"] == "finished" and 10 < facts["iterations"] < 20


def test_a_viewer_that_fails_is_a_warning(
    dataset: Path, tmp_path: Path, server: ServerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(iteration: int) -> None:
        raise OSError("no more sockets")

    looked = each_step(server, monkeypatch, act)
    run(dataset, tmp_path / "m", "--viewer", iterations=4)
    warnings = read_object(tmp_path / "m/run.json")["warnings"]
    assert len(warnings) == 1 and "live viewer failed" in warnings[0] and looked == [1]


def test_a_server_that_does_not_start_is_a_warning(
    dataset: Path, tmp_path: Path, server: ServerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError("no ports")

    monkeypatch.setattr(live, "start_server", refuse)
    assert run(dataset, tmp_path / "m", "--viewer", iterations=3).exists()
    assert "live viewer failed" in read_object(tmp_path / "m/run.json")["warnings"][0]


def test_without_viser_nothing_begins(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "viser", None)
    with pytest.raises(UserError, match="pip install"):
        run(dataset, tmp_path / "m", "--viewer", iterations=3)
    assert not (tmp_path / "m").exists()

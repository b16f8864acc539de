"""What browsers get to see: frames while a camera rests, splats while it moves."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gaussian_renderer import RenderSettings, render
from gaussian_renderer.live import server as live_server
from gaussian_renderer.live import splats, viewer
from gaussian_renderer.live.frames import IMAGES, frame
from gaussian_renderer.live.viewer import LiveViewer, camera_of, wxyz_of
from scene.types import Camera, View
from tests.helpers.clouds import random_gaussians
from tests.helpers.ring import camera_at
from tests.helpers.viser_double import ServerDouble
from utils.errors import UserError
from utils.image_io import to_bytes

SETTINGS = RenderSettings(near=0.05, sh_degree=2)
CAMERAS = [camera_at(0.3 * index, f"{index}.png") for index in range(4)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "REST", 0.0)


def is_blank(picture: np.ndarray) -> bool:
    """Whether there is nothing but the background behind the splats."""
    return picture.shape == (2, 2, 3) and not picture.any()


def pictures(client) -> list[np.ndarray]:
    """What has been shown behind the scene."""
    return [call.args[0] for call in client.scene.set_background_image.call_args_list]


def test_a_camera_that_rests_sees_what_the_rasterizer_draws() -> None:
    gaussians, server = random_gaussians(60, sh_degree=2), ServerDouble()
    shown = LiveViewer(server, CAMERAS, torch.zeros(3), extent=5.0, degree=2)
    shown.show(gaussians, SETTINGS, 1)
    assert not shown.is_watched
    client = server.connect()
    shown.show(gaussians, SETTINGS, 1)
    camera = Camera("", 64, 48, *(2 * (24 / np.tan(0.45),)), 32, 24, np.eye(4))
    camera.camera_from_world[2, 3] = 5.0
    with torch.no_grad():
        expected = to_bytes(render(gaussians, camera, torch.zeros(3), SETTINGS).color)
    assert expected.any() and np.array_equal(pictures(client)[0], expected)
    shown.show(gaussians, SETTINGS, 1)
    assert len(pictures(client)) == 1, "nothing has changed"
    server.leave(client)
    assert not shown.is_watched


def test_while_it_moves_it_sees_splats(monkeypatch: pytest.MonkeyPatch) -> None:
    gaussians, server = random_gaussians(60, sh_degree=2), ServerDouble()
    shown = LiveViewer(server, CAMERAS, torch.zeros(3), extent=5.0, degree=2)
    client = server.connect()
    shown.show(gaussians, SETTINGS, 1)
    drawn = client.scene.add_gaussian_splats.return_value
    assert client.scene.add_gaussian_splats.call_count == 1 and not drawn.visible
    monkeypatch.setattr(viewer, "REST", 60.0)
    server.move(client, (0.0, 0.5, -4.0))
    shown.show(gaussians, SETTINGS, 2)
    assert len(pictures(client)) == 2 and is_blank(pictures(client)[1]) and drawn.visible
    monkeypatch.setattr(viewer, "REST", 0.0)
    shown.show(gaussians, SETTINGS, 2)
    assert not is_blank(pictures(client)[2]) and not drawn.visible
    assert not np.array_equal(pictures(client)[0], pictures(client)[2])


def test_controls_change_the_frame() -> None:
    gaussians, server = random_gaussians(60, sh_degree=2), ServerDouble()
    gaussians.shs_rest.detach().mul_(5)
    shown = LiveViewer(server, CAMERAS, torch.zeros(3), extent=5.0, degree=2)
    client = server.connect()
    for label, value in [("image", image) for image in IMAGES] + [("image", "color"), ("SH degree", 0)]:
        server.use(label, value)
        shown.show(gaussians, SETTINGS, 1)
    frames = pictures(client)
    assert len({each.tobytes() for each in frames[:5]}) == 5 and all(each.shape == (48, 64, 3) for each in frames)
    assert np.array_equal(frames[0], frames[5]) and not np.array_equal(frames[5], frames[6])
    server.use("exact frames", False)
    shown.show(gaussians, SETTINGS, 2)
    assert not is_blank(frames[-1]) and is_blank(pictures(client)[-1])
    server.use("cameras", False)
    assert server.scene.add_camera_frustum.return_value.visible is False


def test_a_camera_before_ones_eye_does_not_hide_the_scene() -> None:
    """Visitors begin at a photo's place, and go to others: its frustum would fill the window with the photo."""
    server = ServerDouble()
    added = server.scene.add_camera_frustum
    added.side_effect = lambda *_, **__: SimpleNamespace(visible=True, on_click=lambda _: None)
    apart = [camera_at(1.5 * index, "") for index in range(4)]
    shown = LiveViewer(server, apart, torch.zeros(3), extent=5.0, degree=0)
    client = server.connect(tuple(apart[0].center))
    assert [each.visible for each in shown._frustums] == [False, True, True, True]
    server.move(client, tuple(apart[2].center + 0.1))
    assert [each.visible for each in shown._frustums] == [True, True, False, True]
    server.use("cameras", False)
    assert not any(each.visible for each in shown._frustums)
    server.use("cameras", True)
    server.leave(client)
    assert all(each.visible for each in shown._frustums)


def test_new_gaussians_are_drawn_again_but_not_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    gaussians, server = random_gaussians(60, sh_degree=2), ServerDouble()
    shown = LiveViewer(server, CAMERAS, torch.zeros(3), extent=5.0, degree=2)
    client = server.connect()
    for iteration in range(5):
        shown.show(gaussians, SETTINGS, iteration)
    assert len(pictures(client)) == 1
    monkeypatch.setattr(viewer, "REFRESH", 0.0)
    monkeypatch.setattr(viewer, "PATIENCE", 0.0)
    shown.show(gaussians, SETTINGS, 5)
    assert len(pictures(client)) == 2


@pytest.mark.parametrize("image", IMAGES)
def test_frames_of_nothing(image: str) -> None:
    gaussians = random_gaussians(3, sh_degree=2)
    gaussians.means.detach().add_(1000.0)
    drawn = frame(gaussians, CAMERAS[0], torch.zeros(3), SETTINGS, image)
    assert drawn.shape == (CAMERAS[0].height, CAMERAS[0].width, 3) and drawn.dtype == np.uint8


def test_splats_are_the_gaussians(monkeypatch: pytest.MonkeyPatch) -> None:
    gaussians = random_gaussians(50, sh_degree=1)
    found = splats.splats_of(gaussians, 2.0)
    w, x, y, z = gaussians.quats.detach()[7].numpy()
    axes = Rotation.from_quat([x, y, z, w]).as_matrix()
    expected = axes @ np.diag(gaussians.activated_scales.detach()[7].numpy() ** 2 / 4) @ axes.T
    assert found.covariances[7] == pytest.approx(expected, rel=1e-3, abs=1e-7)
    assert found.centers * 2 == pytest.approx(gaussians.means.detach().numpy())
    monkeypatch.setattr(splats, "MAX_SPLATS", 10)
    gaussians.scales.detach()[20:30] += 4
    gaussians.opacities.detach()[20:30] = 3.0
    kept = splats.splats_of(gaussians, 2.0)
    assert sorted(map(tuple, kept.centers)) == sorted(map(tuple, found.centers[20:30]))


def test_cameras_of_the_browser_and_of_photos() -> None:
    """A browser's camera at a photo's place sees what the photo shows."""
    photo = CAMERAS[1]

    class Seen:
        image_width, image_height = 4000, 3000
        fov, wxyz, position = 0.8, wxyz_of(photo), photo.center

    seen = camera_of(Seen)
    assert seen.camera_from_world == pytest.approx(photo.camera_from_world)
    assert seen.width * seen.height <= 1.01 * viewer.MAX_PIXELS and seen.width / seen.height == pytest.approx(
        4 / 3, abs=0.01
    )
    assert 2 * np.arctan(seen.height / 2 / seen.fy) == pytest.approx(0.8)


def test_photos_stand_in_their_cameras(dataset: Path) -> None:
    from scene import load_scene

    scene, server = load_scene(dataset), ServerDouble()
    shown = LiveViewer(server, [view.camera for view in scene.train], torch.zeros(3), extent=5.0, degree=0)
    frustums = [type("Frustum", (), {"image": None})() for _ in scene.train]
    shown._frustums = frustums
    broken = View(scene.train[2].camera, Path("missing.png"))
    shown._load_photos([*scene.train[:2], broken, *scene.train[3:]])
    assert [each.image is not None for each in frustums] == [index != 2 for index in range(len(frustums))]
    assert frustums[0].image.shape == (36, 48, 3)


def test_no_photo_is_decoded_any_more_when_the_viewer_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """cv2 takes Python's lock back after decoding, and aborts the process if Python has ended before."""
    decoded, begun, server = [], Event(), ServerDouble()

    def decode(view: View) -> None:
        begun.set()
        time.sleep(0.3)
        decoded.append(view)
        raise OSError

    monkeypatch.setattr(viewer, "load_image", decode)
    shown = LiveViewer(server, CAMERAS, torch.zeros(3), extent=5.0, degree=0)
    shown.load_photos([View(camera, Path("a.png")) for camera in CAMERAS])
    assert begun.wait(10)
    shown.close()
    assert len(decoded) == 1 and server.stop.called and shown._loading and not shown._loading.is_alive()


def test_without_viser_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "viser", None)
    with pytest.raises(UserError, match=r'pip install "viser>=1.1.1"'):
        live_server.require_viser()


def test_the_address_is_this_machines_own() -> None:
    port = live_server.free_port()
    text = live_server.address_text(port)
    assert f"http://127.0.0.1:{port} " in text and f"ssh -L {port}:127.0.0.1:{port} " in text

"""What people see in the browser, and what they wish for there.

The server's threads only note wishes. Everything is drawn in the thread that trains, between two steps, so that the
viewer changes nothing of a run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Event, Lock, Thread
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation
from torch import Tensor

from gaussian_renderer import RenderSettings
from gaussian_renderer.live.frames import IMAGES, frame
from gaussian_renderer.live.splats import splats_of
from scene.gaussians.model import Gaussians
from scene.images import load_image
from scene.types import Camera, View
from scene.upright import level_rotation
from utils.errors import UserError
from utils.image_io import resized, to_bytes
from utils.sampling import subsample

REST = 0.2  # seconds without movement after which a camera rests
MAX_PIXELS = 1280 * 720  # of a frame
REFRESH = 1.0  # seconds, at least, between two frames of a camera that rests
SPLATS_REFRESH = 10.0  # ... and between two sendings of the splats
PATIENCE = 4.0  # times as long as a frame took nothing is drawn again of what only training has changed
MAX_CAMERAS, THUMBNAIL = 200, 160  # cameras that are shown, pixels of the width of their photos
FRUSTUM, NEAR = 0.03, 0.12  # of a scene's extent: a camera's size, and how near to an eye it is not shown
UNITS = 10.0  # of the splats in a scene's extent
LINE = 1.5  # pixels, of the cameras' edges
JPEG_QUALITY = 90


@dataclass
class Visitor:
    """A browser that is looking."""

    client: Any  # viser's handle
    moved: float = 0.0  # time of its last movement
    shown: tuple[Any, ...] | None = None  # what the frame before its eyes is of
    drawn: float = 0.0  # time and cost of that frame, seconds
    cost: float = 0.0
    splats: Any = None  # viser's handle
    sent: float = 0.0


class LiveViewer:
    """Gaussians in the browsers that are connected to `server`, viser's. `extent`: that of the scene, world units.

    `show` is to be called whenever there is time.
    """

    def __init__(self, server: Any, cameras: Sequence[Camera], background: Tensor, extent: float, degree: int) -> None:
        self.server, self.background, self.unit = server, background, extent / UNITS
        self._blank = np.tile(to_bytes(background[:, None, None]), (2, 2, 1))  # behind the splats
        self._lock, self._visitors = Lock(), dict[int, Visitor]()
        self._frustums: list[Any] = []
        self._loading: Thread | None = None
        self._closed = Event()
        self._centers = np.array([camera.center for camera in subsample(cameras, MAX_CAMERAS)])
        self._near = NEAR * extent
        up = -level_rotation(cameras)[1]
        server.scene.set_up_direction(tuple(up))
        with server.gui.add_folder("View"):
            self._image = server.gui.add_dropdown("image", IMAGES, initial_value=IMAGES[0])
            self._degree = server.gui.add_slider("SH degree", min=0, max=max(degree, 1), step=1, initial_value=degree)
            self._frames = server.gui.add_checkbox("exact frames", True, hint="by the trainer's own rasterizer")
            self._cameras = server.gui.add_checkbox("cameras", True)
        self._cameras.on_update(lambda _: self._show_cameras())
        for control in (self._image, self._degree, self._frames):
            control.on_update(lambda _: self._look_again())
        for camera in subsample(cameras, MAX_CAMERAS):
            self._add_camera(camera, extent)
        first = cameras[0]
        server.initial_camera.position = tuple(first.center)
        server.initial_camera.look_at = tuple(first.center + extent * first.camera_from_world[2, :3])
        server.initial_camera.up = tuple(up)
        server.initial_camera.near, server.initial_camera.far = 1e-3 * extent, 1e3 * extent
        server.initial_camera.fov = 2 * np.arctan(first.height / first.fy / 2)
        server.on_client_connect(self._welcome)
        server.on_client_disconnect(self._forget)

    def load_photos(self, views: Sequence[View]) -> None:
        """Put the photos into the cameras, little by little, in a thread of its own."""
        self._loading = Thread(target=self._load_photos, args=(list(views),))
        self._loading.start()

    def close(self) -> None:
        """Stop the server, and wait for the photo that is being decoded: cv2 aborts a process whose Python has ended in
        the meantime."""
        self._closed.set()
        if self._loading is not None:
            self._loading.join()
        self.server.stop()

    def show(self, gaussians: Gaussians, settings: RenderSettings, iteration: int) -> None:
        """Draw what is due for those who look. `iteration` says which Gaussians these are."""
        with self._lock:
            visitors = list(self._visitors.values())
        for visitor in visitors:
            now = time.monotonic()
            if visitor.splats is None or (
                now - visitor.sent > max(SPLATS_REFRESH, PATIENCE * visitor.cost) and visitor.moved > visitor.sent
            ):
                self._send_splats(visitor, gaussians)
            if self._frames.value and now - visitor.moved >= REST:
                self._send_frame(visitor, gaussians, settings, iteration)

    @property
    def is_watched(self) -> bool:
        """Whether anybody looks."""
        with self._lock:
            return bool(self._visitors)

    # ---- in the thread that trains

    def _send_frame(self, visitor: Visitor, gaussians: Gaussians, settings: RenderSettings, iteration: int) -> None:
        started = time.monotonic()
        wish = (visitor.moved, self._image.value, self._degree.value)
        if visitor.shown is not None and visitor.shown[:-1] == wish:
            waited = started - visitor.drawn
            if visitor.shown[-1] == iteration or waited < max(REFRESH, PATIENCE * visitor.cost):
                return
        camera = camera_of(visitor.client.camera)
        degree = min(int(self._degree.value), settings.sh_degree, gaussians.sh_degree)
        picture = frame(gaussians, camera, self.background, replace(settings, sh_degree=degree), self._image.value)
        with self._lock:
            if visitor.moved != wish[0]:  # in the meantime
                return
            visitor.client.scene.set_background_image(picture, format="jpeg", jpeg_quality=JPEG_QUALITY)
            if visitor.splats is not None:
                visitor.splats.visible = False
        visitor.shown, visitor.drawn = (*wish, iteration), time.monotonic()
        visitor.cost = visitor.drawn - started

    def _send_splats(self, visitor: Visitor, gaussians: Gaussians) -> None:
        splats = splats_of(gaussians, self.unit)
        with self._lock:
            visible = visitor.shown is None or visitor.shown[0] != visitor.moved
            visitor.splats = visitor.client.scene.add_gaussian_splats(
                "/splats", *splats, scale=self.unit, visible=visible
            )
        visitor.sent = time.monotonic()

    # ---- in the threads of the server

    def _welcome(self, client: Any) -> None:
        visitor = Visitor(client, moved=time.monotonic())
        client.camera.on_update(lambda _: self._moved(visitor))
        with self._lock:
            self._visitors[client.client_id] = visitor
        self._show_cameras()

    def _forget(self, client: Any) -> None:
        with self._lock:
            self._visitors.pop(client.client_id, None)
        self._show_cameras()

    def _moved(self, visitor: Visitor) -> None:
        """Until the camera rests, its splats stand for the frame, which would be in the wrong place."""
        self._show_cameras()
        with self._lock:
            begins = visitor.shown is None or visitor.shown[0] == visitor.moved
            visitor.moved = time.monotonic()
            if begins and visitor.splats is not None:
                visitor.client.scene.set_background_image(self._blank, format="png")
                visitor.splats.visible = True

    def _look_again(self) -> None:
        with self._lock:
            visitors = list(self._visitors.values())
        for visitor in visitors:
            if self._frames.value:
                visitor.shown = None
            else:
                self._moved(visitor)

    def _show_cameras(self) -> None:
        """As wished; but one right before somebody's eye would hide the scene behind its photo."""
        with self._lock:
            eyes = [np.asarray(visitor.client.camera.position) for visitor in self._visitors.values()]
        hidden = np.zeros(len(self._centers), bool)
        for eye in eyes:
            hidden |= np.linalg.norm(self._centers - eye, axis=1) < self._near
        for frustum, visible in zip(self._frustums, (~hidden & self._cameras.value).tolist(), strict=True):
            if frustum.visible != visible:
                frustum.visible = visible

    def _add_camera(self, camera: Camera, extent: float) -> None:
        frustum = self.server.scene.add_camera_frustum(
            f"/cameras/{len(self._frustums)}",
            fov=2 * float(np.arctan(camera.height / camera.fy / 2)),
            aspect=camera.width / camera.height,
            scale=FRUSTUM * extent,
            thickness=LINE,
            thickness_units="screen",
            color=(255, 180, 84),
            wxyz=tuple(wxyz_of(camera)),
            position=tuple(camera.center),
        )
        frustum.on_click(lambda event: self._go_to(event.client, camera, extent))
        self._frustums.append(frustum)

    def _go_to(self, client: Any, camera: Camera, extent: float) -> None:
        with client.atomic():
            client.camera.position = camera.center
            client.camera.wxyz = wxyz_of(camera)
            client.camera.look_at = camera.center + 0.5 * extent * camera.camera_from_world[2, :3]

    def _load_photos(self, views: list[View]) -> None:
        for frustum, view in zip(self._frustums, subsample(views, MAX_CAMERAS), strict=True):
            if self._closed.is_set():
                return
            try:
                color = load_image(view).color
            except (UserError, OSError):
                continue
            pixels = np.ascontiguousarray((color.transpose(1, 2, 0) * 255).round().astype(np.uint8))
            frustum.image = resized(pixels, min(THUMBNAIL, pixels.shape[1]))


def camera_of(seen: Any) -> Camera:
    """The browser's camera, viser's handle, in pixels that the rasterizer has time for."""
    width, height = max(int(seen.image_width), 16), max(int(seen.image_height), 16)
    smaller = min(1.0, (MAX_PIXELS / (width * height)) ** 0.5)
    width, height = max(round(width * smaller), 16), max(round(height * smaller), 16)
    focal = height / 2 / float(np.tan(seen.fov / 2))
    w, x, y, z = seen.wxyz
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix().T
    pose[:3, 3] = -pose[:3, :3] @ np.asarray(seen.position, np.float64)
    return Camera("viewer", width, height, focal, focal, width / 2, height / 2, pose)


def wxyz_of(camera: Camera) -> np.ndarray:
    """(4,) the rotation of world_from_camera, as viser has it."""
    x, y, z, w = Rotation.from_matrix(camera.camera_from_world[:3, :3].T).as_quat()
    return np.array([w, x, y, z])

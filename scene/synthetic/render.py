"""Pictures of the synthetic room: one exact ray through every pixel's center, nine more where the picture changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scene.synthetic.lighting import Lighting
from scene.synthetic.plan import BULB_HEIGHT, LAMP, WIDTH, WINDOW, Solid, to_world
from scene.synthetic.shapes import Shape, dot, unit
from scene.types import Camera

SAMPLES = 3  # per pixel and axis, where neighbours differ
CONTRAST = 0.08  # of display values in [0, 1]: a pixel that differs more than this from its neighbour is refined
PIXELS_AT_ONCE = 8192
EXPOSURE = 1.25
NEAR = 0.05  # metres: nothing is nearer to a camera
MARGIN = 0.05  # pixels around the box of a shape in the picture
WINDOW_BRIGHTNESS = 1.4
SHARPNESS = 50.0  # exponent of the highlights


@dataclass(frozen=True)
class Picture:
    """What one camera sees. Depth, facing and solid belong to the ray through the pixel's center."""

    color: np.ndarray  # (H, W, 3) float32 display values in [0, 1]
    depth: np.ndarray  # (H, W) float64, z in the camera's frame, metres
    facing: np.ndarray  # (H, W) float32, cosine between the ray and the surface's normal
    solid: np.ndarray  # (H, W) int32, number in Room.solids


class Renderer:
    """Renders cameras' views of solids under a finished lighting."""

    def __init__(self, solids: list[Solid], lighting: Lighting) -> None:
        self.solids, self.lighting = solids, lighting

    def render(self, camera: Camera) -> Picture:
        """The camera's picture; every ray must hit something, for the room is closed."""
        frames = [screen_box(solid.shape, camera) for solid in self.solids]
        height, width = camera.height, camera.width
        row, column = (grid.ravel() for grid in np.mgrid[0:height, 0:width])
        o, d = rays(camera, column + 0.5, row + 0.5)
        depth, solid = trace(self.solids, frames, row, column, o, d)
        color, facing = self._shade(camera.fx, o, d, depth, solid)
        color, solid = color.T.reshape(height, width, 3), solid.reshape(height, width)
        self._refine(camera, frames, color, solid)
        return Picture(color, depth.reshape(height, width), facing.reshape(height, width), solid)

    def _refine(self, camera: Camera, frames: list[np.ndarray], color: np.ndarray, solid: np.ndarray) -> None:
        """Replace the colors of pixels on edges by the mean of a grid of samples, in place."""
        row, column = np.nonzero(differs(color, solid))
        offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES
        dy, dx = (grid.ravel() for grid in np.meshgrid(offsets, offsets, indexing="ij"))
        for start in range(0, len(row), PIXELS_AT_ONCE):
            r, c = row[start : start + PIXELS_AT_ONCE], column[start : start + PIXELS_AT_ONCE]
            x = (c[:, None] + dx).ravel().astype(np.float32)
            y = (r[:, None] + dy).ravel().astype(np.float32)
            o, d = rays(camera, x, y)
            depth, hit = trace(self.solids, frames, r, c, o, d)
            samples, _ = self._shade(camera.fx * SAMPLES, o, d, depth, hit)
            color[r, c] = samples.reshape(3, len(r), SAMPLES**2).mean(axis=2).T

    def _shade(
        self, focal: float, o: np.ndarray, d: np.ndarray, depth: np.ndarray, solid: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Display colors (3, R) and cosines (R,) of hits; `focal` counts in samples, which are `depth`/focal wide."""
        color, facing = np.zeros(d.shape, np.float32), np.zeros(d.shape[1], np.float32)
        order = np.argsort(solid, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(solid[order])) + 1):
            item = self.solids[solid[some[0]]]
            view = d[:, some]
            local = item.shape.to_local(o + depth[some] * view)
            normal = item.shape.local_normal(local)
            away = item.shape.turn(-unit(view))
            cosine = np.clip(dot(normal, away), 0, 1)
            blur = (depth[some] / focal / np.maximum(cosine, 0.15) ** 0.7).astype(np.float32)
            albedo = item.texture(local.astype(np.float32), blur)
            light = self.lighting.at(int(solid[some[0]]), item.shape.locate(local))
            if item.sensed:
                radiance = albedo * (light + item.glow) + item.gloss * _highlight(
                    item.shape, local, normal, away, light
                )
            else:
                radiance = albedo * WINDOW_BRIGHTNESS
            color[:, some], facing[some] = display(radiance), cosine
        return color, facing


def trace(
    solids: list[Solid],
    frames: list[np.ndarray],
    row: np.ndarray,
    column: np.ndarray,
    o: np.ndarray,
    d: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """t and solid (R,), −1 for none, of rays, as many for each of the pixels (row, column), whose rows must not
    decrease; `frames` are the solids' screen boxes."""
    best, number = np.full(d.shape[1], np.inf, d.dtype), np.full(d.shape[1], -1, np.int32)
    per_pixel = d.shape[1] // len(row)
    for k, (left, top, right, bottom) in enumerate(frames):
        if left > right:
            continue
        first, last = np.searchsorted(row, (np.floor(top), np.floor(bottom) + 1))
        pixel = column[first:last]
        some = first + np.flatnonzero((pixel + 1 >= left) & (pixel <= right))
        if not len(some):
            continue
        if per_pixel > 1:
            some = (some[:, None] * per_pixel + np.arange(per_pixel)).ravel()
        t = solids[k].shape.hit(o, d[:, some])
        nearer = t < best[some]
        best[some[nearer]], number[some[nearer]] = t[nearer], k
    return best, number


def rays(camera: Camera, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Origin (3, 1) and directions (3, R) in the world, in the dtype of x, of z = 1 in the camera: t is depth."""
    in_camera = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)])
    return camera.center[:, None].astype(x.dtype), camera.camera_from_world[:3, :3].T.astype(x.dtype) @ in_camera


def screen_box(shape: Shape, camera: Camera) -> np.ndarray:
    """left, top, right, bottom in pixels of all rays that can meet a shape at z ≥ NEAR; left > right if none can."""
    corners = camera.camera_from_world[:3, :3] @ shape.corners() + camera.camera_from_world[:3, 3:]
    above = corners[2] - NEAR
    behind, ahead = (grid.ravel() for grid in np.meshgrid(np.flatnonzero(above < 0), np.flatnonzero(above >= 0)))
    part = above[behind] / (above[behind] - above[ahead])  # where lines between corners pass the near plane
    crossings = corners[:, behind] + part * (corners[:, ahead] - corners[:, behind])
    x, y, z = np.concatenate([corners[:, above >= 0], crossings], axis=1)
    if not len(z):
        return np.array([np.inf, np.inf, -np.inf, -np.inf])
    x, y = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    return np.array([x.min() - MARGIN, y.min() - MARGIN, x.max() + MARGIN, y.max() + MARGIN])


def display(radiance: np.ndarray) -> np.ndarray:
    """Linear light to display values in [0, 1]: a soft shoulder towards white, then sRGB's curve."""
    x = np.maximum(radiance, 0) * np.float32(EXPOSURE)
    x = x * (1 + x / 9) / (1 + 0.55 * x)
    x = np.clip(x, 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-6) ** np.float32(1 / 2.4) - 0.055)


def _highlight(shape: Shape, p: np.ndarray, normal: np.ndarray, away: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(R,) Blinn's highlights of the window and the lamp, fainter where little light falls."""
    y, z, _, _ = WINDOW
    total = np.zeros(p.shape[1], p.dtype)
    for place, strength in (([WIDTH / 2, y, z], 1.6), ([*LAMP, BULB_HEIGHT], 0.5)):
        way = unit(shape.to_local(to_world(place)[:, None].astype(p.dtype)) - p)
        half = unit(way + away)
        total += strength * np.clip(dot(normal, half), 0, 1) ** SHARPNESS
    return (total * np.minimum(1, 2 * light.mean(axis=0))).astype(np.float32)


def differs(color: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels that show another solid, or clearly another color, than one of their four neighbours."""
    result = np.zeros(solid.shape, bool)
    for axis in (0, 1):
        change = np.diff(solid, axis=axis) != 0
        change |= np.abs(np.diff(color, axis=axis)).max(axis=2) > CONTRAST
        before, after = (
            tuple(s if k == axis else slice(None) for k in (0, 1)) for s in (slice(None, -1), slice(1, None))
        )
        result[before] |= change
        result[after] |= change
    return result

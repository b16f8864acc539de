"""Pictures of things in the open: the sun with its shadows, light from the sky and the ground, gloss that moves with
the eye. What no ray hits is sky, or transparent where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scene.synthetic.plan import Solid, to_world
from scene.synthetic.raytrace import Tracer
from scene.synthetic.render import PIXELS_AT_ONCE, SAMPLES, differs, display, rays, screen_box, trace
from scene.synthetic.room import Room
from scene.synthetic.shapes import dot, unit
from scene.synthetic.textures import mix, noise, srgb, step
from scene.types import Camera

Sky = Callable[[np.ndarray], np.ndarray]  # unit directions in the world (3, R) to linear light (3, R)

UP = to_world([0.0, 0.0, 1.0]).astype(np.float32)[:, None]
TO_SUN = unit(to_world([0.55, -0.5, 0.9])[:, None]).astype(np.float32)
SUN, FROM_SKY, FROM_GROUND = srgb("#fff0d6") * 0.95, srgb("#dbe8ff") * 0.55, srgb("#d8c8ae") * 0.28
SHARPNESS = 70.0  # exponent of the sun's highlight
GLINT, MIRROR = 5.0, 1.2  # strength of the sun's highlight and of the sky's reflection, times a solid's gloss
LIFT = 2e-3  # metres: shadow rays start this far off the surface
SHADOW_REACH = 60.0  # metres


@dataclass(frozen=True)
class OpenPicture:
    """What one camera sees."""

    color: np.ndarray  # (H, W, 3) float32 display values in [0, 1], not multiplied by alpha
    alpha: np.ndarray  # (H, W) float32: the part of a pixel that something covers
    depth: np.ndarray  # (H, W) float64, z of the ray through the pixel's center, metres; infinite where it hits nothing


class OpenAir:
    """Renders cameras' views of groups of neighbouring solids, all lit by the same sun."""

    def __init__(self, groups: list[list[Solid]], sky: Sky | None = None) -> None:
        """`sky`: what is behind everything; None leaves it transparent."""
        room = Room(0, groups)
        self.solids, self.tracer, self.sky = room.solids, Tracer(room), sky

    def render(self, camera: Camera) -> OpenPicture:
        """The camera's picture; pixels on edges are the mean of a grid of samples."""
        frames = [screen_box(solid.shape, camera) for solid in self.solids]
        height, width = camera.height, camera.width
        row, column = (grid.ravel() for grid in np.mgrid[0:height, 0:width])
        o, d = rays(camera, column + 0.5, row + 0.5)
        depth, solid = trace(self.solids, frames, row, column, o, d)
        light, cover = self._shade(camera.fx, o, d, depth, solid)
        light, cover = light.T.reshape(height, width, 3), cover.reshape(height, width)
        self._refine(camera, frames, light, cover, solid.reshape(height, width))
        color = light / np.maximum(cover, 1e-6)[..., None]
        return OpenPicture(np.clip(color, 0, 1), cover, depth.reshape(height, width))

    def _refine(
        self, camera: Camera, frames: list[np.ndarray], light: np.ndarray, cover: np.ndarray, solid: np.ndarray
    ) -> None:
        """Replace light and cover of pixels on edges, in place."""
        row, column = np.nonzero(differs(light, solid))
        offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES
        dy, dx = (grid.ravel() for grid in np.meshgrid(offsets, offsets, indexing="ij"))
        for start in range(0, len(row), PIXELS_AT_ONCE):
            r, c = row[start : start + PIXELS_AT_ONCE], column[start : start + PIXELS_AT_ONCE]
            o, d = rays(camera, (c[:, None] + dx).ravel(), (r[:, None] + dy).ravel())
            depth, hit = trace(self.solids, frames, r, c, o, d)
            samples, covers = self._shade(camera.fx * SAMPLES, o, d, depth, hit)
            light[r, c] = samples.reshape(3, len(r), SAMPLES**2).mean(axis=2).T
            cover[r, c] = covers.reshape(len(r), SAMPLES**2).mean(axis=1)

    def _shade(
        self, focal: float, o: np.ndarray, d: np.ndarray, depth: np.ndarray, solid: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Display colors (3, R), 0 where nothing is, and covers (R,) of hits; `focal` counts in samples."""
        color, cover = np.zeros(d.shape, np.float32), (solid >= 0).astype(np.float32)
        order = np.argsort(solid, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(solid[order])) + 1):
            number, view = int(solid[some[0]]), d[:, some]
            if number >= 0:
                color[:, some] = display(self._radiance(self.solids[number], focal, o, view, depth[some]))
            elif self.sky is not None:
                color[:, some], cover[some] = display(self.sky(unit(view).astype(np.float32))), 1.0
        return color, cover

    def _radiance(self, item: Solid, focal: float, o: np.ndarray, view: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(3, R) linear light towards the eye."""
        place = o + depth * view
        local = item.shape.to_local(place)
        normal = item.shape.turn_back(item.shape.local_normal(local)).astype(np.float32)
        away = -unit(view).astype(np.float32)
        cosine = np.clip(dot(normal, away), 0, 1)
        blur = (depth / focal / np.maximum(cosine, 0.15) ** 0.7).astype(np.float32)
        albedo = item.texture(local.astype(np.float32), blur)
        sunlit = self._sunlit(place + LIFT * normal, normal)
        up = dot(normal, np.broadcast_to(UP, normal.shape))
        light = SUN * sunlit + mix(FROM_GROUND, FROM_SKY, 0.5 + 0.5 * up)
        return albedo * (light + item.glow) + (
            item.gloss * self._gloss(normal, away, cosine, sunlit) if item.gloss else 0
        )

    def _sunlit(self, place: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """(R,) cosine of the sun's light, 0 in shadow."""
        cosine = np.clip(dot(normal, np.broadcast_to(TO_SUN, normal.shape)), 0, 1)
        some = np.flatnonzero(cosine > 0)
        way = np.broadcast_to(SHADOW_REACH * TO_SUN.astype(place.dtype), (3, len(some)))
        cosine[some[self.tracer.blocked(place[:, some], way)]] = 0
        return cosine

    def _gloss(self, normal: np.ndarray, away: np.ndarray, cosine: np.ndarray, sunlit: np.ndarray) -> np.ndarray:
        """(3, R) Blinn's highlight of the sun, and the sky as a smooth surface mirrors it, more at grazing angles."""
        half = unit(away + TO_SUN)
        glint = GLINT * np.clip(dot(normal, half), 0, 1) ** SHARPNESS * (sunlit > 0)
        mirrored = 2 * cosine * normal - away
        return glint + (0.2 + 0.8 * (1 - cosine) ** 3) * MIRROR * (self.sky or clear_sky)(mirrored)


def clear_sky(way: np.ndarray) -> np.ndarray:
    """Blue above, pale at the horizon, brown below it."""
    height = dot(way, np.broadcast_to(UP, way.shape))
    sky = mix(srgb("#dfeaf2"), srgb("#4f8fd0"), np.clip(1.6 * height, 0, 1))
    return mix(srgb("#6b5d4a"), sky, step(height, 0.0, np.full_like(height, 0.06)))


def cloudy_sky(way: np.ndarray) -> np.ndarray:
    """`clear_sky` with clouds at a height, so that they crowd towards the horizon."""
    height = dot(way, np.broadcast_to(UP, way.shape))
    on_layer = way / np.maximum(height + 0.25, 0.2)
    clouds = noise(on_layer, np.full_like(height, 0.01), 0.9, 91, 5, 0.6)
    share = step(clouds, 0.35, np.full_like(height, 1.1)) * np.clip(3 * height, 0, 1)
    return mix(clear_sky(way), srgb("#f4f5f6"), 0.85 * share)

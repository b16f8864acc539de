"""Ellipsoids and rods: the round shapes of the synthetic room. See shapes.py for conventions, lathe.py for the rest."""

from __future__ import annotations

import numpy as np

from scene.synthetic.shapes import NEAREST, Chart, Shape, dot, norm, unit

TURN = 2 * np.pi
BISECTIONS = 60  # halvings of the ellipsoid's distance equation: to float64's last bits


class Ellipsoid(Shape):
    """The ellipsoid with semi-axes `radii` about the origin; its poles are on the z axis."""

    def __init__(self, pose: np.ndarray, radii: tuple[float, float, float]) -> None:
        a, b, c = radii
        super().__init__(pose, (-a, -b, -c), (a, b, c))
        self.radii = radii

    @property
    def charts(self) -> tuple[Chart, ...]:
        a, b, c = self.radii
        return (Chart(np.pi * (a + b), np.pi * max((a + b) / 2, c), wraps=True),)

    def local_hit(self, o: np.ndarray, d: np.ndarray) -> np.ndarray:
        radii = self.high[:, None].astype(d.dtype)
        return enter_ball(o / radii, d / radii, 1.0)

    def local_normal(self, p: np.ndarray) -> np.ndarray:
        return unit(p / np.square(self.high[:, None]).astype(p.dtype))

    def local_distance(self, p: np.ndarray) -> np.ndarray:
        """Eberly, "Distance from a point to an ellipsoid": the one root s of Σ (r·p/(r² + s))² = 1, by bisection."""
        if len(set(self.radii)) == 1:
            return np.abs(norm(p) - self.radii[0])
        p = np.abs(p).astype(np.float64)
        radii = self.high[:, None]
        shortest = int(radii.argmin())
        least = radii.min() ** 2
        low, high = np.full(p.shape[1], -least), norm(radii * p) - least
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            outside = np.square(radii * p / np.maximum(radii**2 + middle, 1e-300)).sum(axis=0) > 1
            low, high = np.where(outside, middle, low), np.where(outside, high, middle)
        foot = radii**2 * p / np.maximum(radii**2 + high, 1e-300)
        # In the plane of the two longer axes the shortest one's coordinate is 0/0: the surface's equation gives it.
        others = np.delete(foot / radii, shortest, axis=0)
        foot[shortest] = radii[shortest] * np.sqrt(np.maximum(1 - np.square(others).sum(axis=0), 0.0))
        return norm(p - foot)

    def locate(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        a, b, c = self.radii
        u = np.arctan2(p[1] / b, p[0] / a) / TURN % 1
        v = np.arccos(np.clip(p[2] / c, -1, 1)) / np.pi
        return np.zeros(p.shape[1], np.intp), u, v

    def place(self, chart: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        sine = np.sin(np.pi * v)
        around = np.stack([np.cos(TURN * u) * sine, np.sin(TURN * u) * sine, np.cos(np.pi * v)])
        return around * self.high[:, None].astype(u.dtype)


class Rod(Shape):
    """A cylinder of `radius` with round ends, about the z axis from 0 to `length`: its ends reach `radius` further."""

    def __init__(self, pose: np.ndarray, radius: float, length: float) -> None:
        super().__init__(pose, (-radius, -radius, -radius), (radius, radius, length + radius))
        self.radius, self.length = radius, length

    @property
    def charts(self) -> tuple[Chart, ...]:
        return (Chart(TURN * self.radius, self._profile, wraps=True),)

    @property
    def _profile(self) -> float:
        return self.length + np.pi * self.radius

    def local_hit(self, o: np.ndarray, d: np.ndarray) -> np.ndarray:
        tube = enter_ball(o[:2], d[:2], self.radius)
        with np.errstate(invalid="ignore"):
            z = o[2] + tube * d[2]
        best = np.where((z >= 0) & (z <= self.length), tube, np.inf)
        for end in (0.0, self.length):  # the rod is convex: the nearest entry into any of its parts is its own
            best = np.minimum(best, enter_ball(o - np.array([[0], [0], [end]], d.dtype), d, self.radius))
        return best.astype(d.dtype, copy=False)

    def local_normal(self, p: np.ndarray) -> np.ndarray:
        return unit(p - self._core(p))

    def local_distance(self, p: np.ndarray) -> np.ndarray:
        return np.abs(norm(p - self._core(p)) - self.radius)

    def _core(self, p: np.ndarray) -> np.ndarray:
        """The nearest points of the axis."""
        return np.stack([np.zeros_like(p[2]), np.zeros_like(p[2]), np.clip(p[2], 0, self.length)])

    def locate(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        beyond = (p[2] - self._core(p)[2]) / self.radius
        along = np.arcsin(np.clip(beyond, -1, 1)) * self.radius + self._core(p)[2] + np.pi / 2 * self.radius
        return np.zeros(p.shape[1], np.intp), np.arctan2(p[1], p[0]) / TURN % 1, along / self._profile

    def place(self, chart: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        along = v * self._profile - np.pi / 2 * self.radius
        core = np.clip(along, 0, self.length)
        rise = (along - core) / self.radius
        reach = self.radius * np.cos(rise)
        return np.stack([np.cos(TURN * u) * reach, np.sin(TURN * u) * reach, core + self.radius * np.sin(rise)])


def enter_ball(o: np.ndarray, d: np.ndarray, radius: float) -> np.ndarray:
    """t (R,) where rays enter the ball (3 components) or the circle (2) of `radius` about the origin, else infinity.

    Measured from the ray's point nearest to the center, so that float32 does not lose a thin rod seen from afar.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        square = dot(d, d)
        middle = -dot(o, d) / square
        nearest = o + middle * d
        half = (radius**2 - dot(nearest, nearest)) / square
        t = middle - np.sqrt(half)
    return np.where((half > 0) & (t > NEAREST), t, np.inf)

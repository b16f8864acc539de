"""Turned things, as vases, bowls, lampshades, table tops, rings: a polyline of (radius, height) revolved about z."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator

from scene.synthetic.shapes import NEAREST, Chart, Shape, dot

TURN = 2 * np.pi
SMOOTH = np.cos(np.radians(38))  # segments that meet at a flatter angle than this are shaded as one round surface


class Lathe(Shape):
    """The surface of revolution of a polyline, with the outside on its right: from the axis at the bottom, out, up,
    and back to the axis at the top. A closed polyline that stays off the axis makes a ring or a thin-walled tube."""

    def __init__(self, pose: np.ndarray, profile: Sequence[tuple[float, float]]) -> None:
        """`profile` lists (radius, z) corners in metres; no two that follow each other may be the same."""
        corners = np.asarray(profile, dtype=np.float64)
        reach = float(corners[:, 0].max())
        super().__init__(pose, (-reach, -reach, corners[:, 1].min()), (reach, reach, corners[:, 1].max()))
        self.corners_rz = corners
        self._segments = list(pairwise(corners.tolist()))
        steps = np.diff(corners, axis=0)
        self.lengths = np.hypot(steps[:, 0], steps[:, 1])
        normals = np.stack([steps[:, 1], -steps[:, 0]], axis=1) / self.lengths[:, None]
        self.closed = bool(np.allclose(corners[0], corners[-1]))
        smooth = _smooth_joints(normals, self.closed)
        self._normals = _end_normals(normals, smooth)
        breaks = np.concatenate([[True], ~smooth[1:]])  # the first segment starts a chart, and so does every crease
        self._chart = np.cumsum(breaks) - 1
        starts = np.concatenate([[0.0], np.cumsum(self.lengths)[:-1]])
        self._start = starts - starts[breaks][self._chart]
        self._chart_length = np.bincount(self._chart, self.lengths)

    @property
    def charts(self) -> tuple[Chart, ...]:
        middle = (self.corners_rz[1:, 0] + self.corners_rz[:-1, 0]) / 2
        around = [TURN * middle[self._chart == k].max() for k in range(len(self._chart_length))]
        return tuple(Chart(a, length, wraps=True) for a, length in zip(around, self._chart_length, strict=True))

    def local_hit(self, o: np.ndarray, d: np.ndarray) -> np.ndarray:
        best = np.full(d.shape[1], np.inf, d.dtype)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            middle = np.array([[0], [0], [(self.low[2] + self.high[2]) / 2]], d.dtype)
            shift = -dot(o - middle, d) / dot(d, d)
            o = o + shift * d  # measured from the point nearest the middle: see enter_ball
            for (r0, z0), (r1, z1) in self._segments:
                hits = _ring_hit(o, d, r0, r1, z0) if abs(z1 - z0) < 1e-9 else _cone_hits(o, d, r0, z0, r1, z1)
                for t in hits:
                    t = t + shift
                    best = np.where((t > NEAREST) & (t < best), t, best)
        return best

    def local_normal(self, p: np.ndarray) -> np.ndarray:
        segment, part = self._nearest(p)
        ends = self._normals.astype(p.dtype)[segment]
        n = ends[:, 0] * (1 - part)[:, None] + ends[:, 1] * part[:, None]
        n /= np.hypot(n[:, 0], n[:, 1])[:, None]
        around = p[:2] / np.maximum(np.hypot(p[0], p[1]), 1e-12)
        return np.stack([around[0] * n[:, 0], around[1] * n[:, 0], n[:, 1]])

    def local_distance(self, p: np.ndarray) -> np.ndarray:
        r = np.hypot(p[0], p[1])
        return np.sqrt(np.min([_to_segment(r, p[2], a, b)[0] for a, b in self._segments], axis=0))

    def locate(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        segment, part = self._nearest(p)
        chart = self._chart[segment]
        along = self._start.astype(p.dtype)[segment] + part * self.lengths.astype(p.dtype)[segment]
        return chart, np.arctan2(p[1], p[0]) / TURN % 1, along / self._chart_length.astype(p.dtype)[chart]

    def place(self, chart: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        mine = np.flatnonzero(self._chart == chart)
        along = v * self._chart_length[chart]
        knots = np.append(self._start[mine], self._chart_length[chart])
        ends = self.corners_rz[np.append(mine, mine[-1] + 1)]
        r, z = np.interp(along, knots, ends[:, 0]), np.interp(along, knots, ends[:, 1])
        return np.stack([r * np.cos(TURN * u), r * np.sin(TURN * u), z]).astype(u.dtype)

    def _nearest(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which segment a surface point lies on, and how far along it, 0 to 1."""
        r = np.hypot(p[0], p[1])
        best = np.full(p.shape[1], np.inf, p.dtype)
        segment, part = np.zeros(p.shape[1], np.intp), np.zeros(p.shape[1], p.dtype)
        for k, (a, b) in enumerate(self._segments):
            square, along = _to_segment(r, p[2], a, b)
            nearer = square < best
            best = np.where(nearer, square, best)
            segment[nearer] = k
            part = np.where(nearer, along, part)
        return segment, part


def smooth_profile(points: Sequence[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """`count` points of a smooth curve through `points`, without overshoot (piecewise cubic, monotone)."""
    knots = np.asarray(points, dtype=np.float64)
    chord = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(knots, axis=0).T))])
    curve = PchipInterpolator(chord, knots)(np.linspace(0, chord[-1], count))
    return [(float(r), float(z)) for r, z in curve]


def ring_profile(radius: float, thickness: float, count: int = 28) -> list[tuple[float, float]]:
    """The profile of a torus lying about z = 0: a circle of `thickness` (its radius), `radius` from the axis."""
    angles = np.linspace(-np.pi / 2, 1.5 * np.pi, count + 1)
    return [(float(radius + thickness * np.cos(a)), float(thickness * np.sin(a))) for a in angles]


def _smooth_joints(normals: np.ndarray, closed: bool) -> np.ndarray:
    """(S,) bool: whether segment k goes on smoothly from the one before it; the first does only in a closed profile."""
    flat = (normals * np.roll(normals, 1, axis=0)).sum(axis=1) > SMOOTH
    return flat & (closed | (np.arange(len(normals)) > 0))


def _end_normals(normals: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """(S, 2, 2) the shading normal at both ends of every segment: the mean of both sides of a smooth joint."""
    before = normals + np.where(smooth[:, None], np.roll(normals, 1, axis=0), 0.0)
    after = normals + np.where(np.roll(smooth, -1)[:, None], np.roll(normals, -1, axis=0), 0.0)
    ends = np.stack([before, after], axis=1)
    return ends / np.linalg.norm(ends, axis=2, keepdims=True)


def _to_segment(
    r: np.ndarray, z: np.ndarray, a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Squared distance in the (r, z) half plane to the segment from a to b, and the foot's place on it, 0 to 1."""
    dr, dz = float(b[0] - a[0]), float(b[1] - a[1])
    r, z = r - float(a[0]), z - float(a[1])
    part = np.clip((r * dr + z * dz) / (dr * dr + dz * dz), 0, 1)
    return np.square(r - part * dr) + np.square(z - part * dz), part


def _ring_hit(o: np.ndarray, d: np.ndarray, r0: float, r1: float, z: float) -> tuple[np.ndarray, ...]:
    """Where rays pass the flat ring between two radii at height z."""
    t = (z - o[2]) / d[2]
    square = np.square(o[0] + t * d[0]) + np.square(o[1] + t * d[1])
    return (np.where((square <= max(r0, r1) ** 2) & (square >= min(r0, r1) ** 2), t, np.inf),)


def _cone_hits(o: np.ndarray, d: np.ndarray, r0: float, z0: float, r1: float, z1: float) -> tuple[np.ndarray, ...]:
    """Where rays pass the conical band from (r0, z0) to (r1, z1): x² + y² = (r0 + k·(z − z0))², twice at most."""
    k = (r1 - r0) / (z1 - z0)
    reach = r0 + k * (o[2] - z0)
    a = d[0] * d[0] + d[1] * d[1] - k * k * d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] - k * reach * d[2]
    c = o[0] * o[0] + o[1] * o[1] - reach * reach
    root = np.sqrt(b * b - a * c)  # NaN where missed: every comparison with it is false
    q = -(b + np.copysign(root, b))
    low, high = min(z0, z1), max(z0, z1)
    hits = []
    for t in (q / a, c / q):
        z = o[2] + t * d[2]
        hits.append(np.where((z >= low) & (z <= high), t, np.inf))
    return tuple(hits)

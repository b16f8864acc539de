"""All surfaces of the synthetic room as one list of texels, so that light can be stored by place."""

from __future__ import annotations

import numpy as np

from scene.synthetic.plan import Solid

Place = tuple[np.ndarray, np.ndarray, np.ndarray]  # chart (R,) int, u (R,), v (R,): what Shape.locate gives


class Atlas:
    """The charts of all solids cut into texels, numbered through."""

    def __init__(self, solids: list[Solid], spacing: float) -> None:
        """`spacing`: metres per texel; every chart has at least two each way, six where it goes round."""
        starts, grids = [], []
        total = 0
        points, normals = [], []
        self.solid_starts = np.zeros(len(solids) + 1, np.intp)
        for number, solid in enumerate(solids):
            for index, chart in enumerate(solid.shape.charts):
                columns = max(int(np.ceil(chart.width / spacing)), 6 if chart.wraps else 2)
                rows = max(int(np.ceil(chart.height / spacing)), 2)
                v, u = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
                local = solid.shape.place(index, u.ravel(), v.ravel())
                points.append(solid.shape.to_world(local))
                normals.append(solid.shape.turn_back(solid.shape.local_normal(local)))
                starts.append(total)
                grids.append((rows, columns, chart.wraps))
                total += rows * columns
            self.solid_starts[number + 1] = len(starts)
        self.points = np.concatenate(points, axis=1).astype(np.float32)
        self.normals = np.concatenate(normals, axis=1).astype(np.float32)
        self.starts, self.grids = np.array(starts), np.array(grids)

    def __len__(self) -> int:
        return self.points.shape[1]

    def texels_of(self, solid: int) -> slice:
        """The numbers of a solid's texels."""
        first, last = self.solid_starts[solid], self.solid_starts[solid + 1]
        return slice(self.starts[first], self.starts[last] if last < len(self.starts) else len(self))

    def nearest(self, solid: int, place: Place) -> np.ndarray:
        """The texel (R,) each place (chart, u, v) of a solid falls in."""
        chart, u, v = place
        first = self.solid_starts[solid] + chart
        rows, columns, _ = self.grids[first].T
        x, y = np.clip((u * columns).astype(np.intp), 0, columns - 1), np.clip((v * rows).astype(np.intp), 0, rows - 1)
        return self.starts[first] + y * columns + x

    def interpolate(self, values: np.ndarray, solid: int, place: Place) -> np.ndarray:
        """Bilinear values (3, R) at places (chart, u, v) of a solid, from `values` (texels, 3)."""
        chart, u, v = place
        first = self.solid_starts[solid] + chart
        rows, columns, wraps = self.grids[first].T
        start = self.starts[first]
        x, y = u.astype(np.float32) * columns - 0.5, v.astype(np.float32) * rows - 0.5
        x0, y0 = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
        fx, fy = (x - x0).astype(np.float32)[:, None], (y - y0).astype(np.float32)[:, None]
        left, right = (np.where(wraps, each % columns, np.clip(each, 0, columns - 1)) for each in (x0, x0 + 1))
        top, bottom = (start + columns * np.clip(each, 0, rows - 1) for each in (y0, y0 + 1))
        upper = values[top + left] * (1 - fx) + values[top + right] * fx
        lower = values[bottom + left] * (1 - fx) + values[bottom + right] * fx
        return np.ascontiguousarray((upper * (1 - fy) + lower * fy).T)

    def blurred(self, values: np.ndarray) -> np.ndarray:
        """`values` (texels, 3) under a 3×3 binomial window within each chart."""
        result = values.copy()
        for start, (rows, columns, wraps) in zip(self.starts, self.grids, strict=True):
            grid = values[start : start + rows * columns].reshape(rows, columns, 3)
            grid = np.concatenate([grid[:1], grid, grid[-1:]])
            grid = (grid[:-2] + 2 * grid[1:-1] + grid[2:]) / 4
            before, after = (grid[:, -1:], grid[:, :1]) if wraps else (grid[:, :1], grid[:, -1:])
            grid = np.concatenate([before, grid, after], axis=1)
            result[start : start + rows * columns] = ((grid[:, :-2] + 2 * grid[:, 1:-1] + grid[:, 2:]) / 4).reshape(
                -1, 3
            )
        return result

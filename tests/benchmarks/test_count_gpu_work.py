"""The counts of GPU work against going through every pixel of every tile by hand."""

from __future__ import annotations

import count_gpu_work as work
import pytest
import torch

N, WIDTH, HEIGHT = 400, 75, 41  # tiles that the image fills in part
TILE = work.TILE


def test_warps_and_lanes_are_those_that_count() -> None:
    with torch.no_grad():
        picture = work.picture_of(N, WIDTH, HEIGHT, 1)
        way = work.way_of(picture, 40_000)
    pairs, warps, seen, steps = 0, set[tuple[int, ...]](), 0, torch.arange(float(TILE), dtype=torch.float64)
    for tile in range(len(picture.ranges) - 1):
        begin, end = picture.ranges[tile : tile + 2].tolist()
        seen += int(picture.ends[tile].max())
        corner = [float(tile % picture.tiles_x * TILE), float(tile // picture.tiles_x * TILE)]
        for place, index in enumerate(picture.ids[begin:end].tolist()):
            u, v = (picture.means2d[index].double() - torch.tensor(corner) - 0.5).tolist()
            xx, xy, yy = picture.factor[index].double().tolist()
            dx, dy = u - steps, (v - steps)[:, None]
            alpha = float(picture.opacities[index]) * torch.exp(-((xx * dx + xy * dy) ** 2 + (yy * dy) ** 2) / 2)
            counted = (alpha >= 1 / 255) & (place < picture.ends[tile])
            pairs += int(counted.sum())
            for row, column in counted.nonzero().tolist():
                warps.add((tile, place, row // work.WARP_ROWS, column // work.WARP_COLUMNS))
    count = len(picture.ids)
    assert count > 500 and pairs > 10_000
    assert way.seen == pytest.approx(seen / count)
    assert way.hit == pytest.approx(len(warps) / count, rel=0.03)
    assert way.hit * way.lanes == pytest.approx(pairs / count, rel=0.03)
    assert way.hit <= way.visited_back <= way.visited <= way.touched <= TILE**2 / work.WARP


def test_what_no_pixel_comes_to_is_not_visited() -> None:
    """Behind a wall of opaque splats: tiles end long before their lists do."""
    with torch.no_grad():
        picture = work.picture_of(30_000, WIDTH, HEIGHT, 0)
        way = work.way_of(picture, 20_000)
    assert way.seen < 0.9 and way.visited_back < 0.9 * way.touched and way.gathered >= way.seen

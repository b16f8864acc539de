"""What of a depth map splats are held against, and the term that does it."""

from __future__ import annotations

import math

import torch

from utils.losses.sensor import distance_to_sensor, sensor_depth


def test_edges_and_unknown_depths_are_left_out() -> None:
    depth = torch.full((1, 8, 12), 2.0)
    depth[:, :, 6:] = 3.0  # an edge between columns 5 and 6
    depth[:, :, 10:] = 3.06  # a step of 2 % is none
    valid = torch.ones(1, 8, 12, dtype=torch.bool)
    valid[0, 0, 0] = False
    depth[0, 0, 0] = math.nan
    known = sensor_depth(depth, valid) > 0
    assert torch.equal(known[0, 4].nonzero().flatten(), torch.tensor([0, 1, 2, 3, 8, 9, 10, 11]))
    assert not known[0, 0, 0] and known[0, 1, 1], "a depth that is unknown makes no edge"
    found = sensor_depth(depth, valid)
    assert torch.equal(found[known], depth[known]) and found.isfinite().all()
    assert not sensor_depth(depth, torch.zeros_like(valid)).any()


def test_the_term_is_the_mean_where_the_depth_is_known() -> None:
    distortion = torch.rand(1, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    known = torch.zeros(1, 5, 6, dtype=torch.bool)
    known[:, 1:3] = True
    depth = torch.where(known, 3.0, 0.0).double()
    term = distance_to_sensor(distortion, depth, 2.0)
    torch.testing.assert_close(term.detach(), distortion.detach()[known].mean() / 4)
    mask = torch.zeros(1, 5, 6, dtype=torch.float64)
    mask[:, 2:] = 0.5
    both = distance_to_sensor(distortion, depth, 1.0, mask).detach()
    torch.testing.assert_close(both, distortion.detach()[:, 2].mean())
    (gradient,) = torch.autograd.grad(distance_to_sensor(distortion, depth, 2.0, mask), distortion)
    assert torch.equal(gradient != 0, known & (mask > 0))
    nothing = distance_to_sensor(distortion, torch.zeros_like(depth), 1.0)
    assert nothing == 0 and not torch.autograd.grad(nothing, distortion)[0].any()

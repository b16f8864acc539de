"""The parameters, their activations, and the way to PLY arrays and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scene.gaussians.model import PARAMETERS, Gaussians, Sigmoid
from tests.helpers.clouds import random_gaussians


def test_length_degree_and_shapes() -> None:
    gaussians = random_gaussians(7, sh_degree=2)
    assert len(gaussians) == 7 and gaussians.sh_degree == 2
    shapes = {name: tuple(gaussians.parameters[name].shape) for name in PARAMETERS}
    assert shapes == dict(
        means=(7, 3), scales=(7, 3), quats=(7, 4), opacities=(7, 1), shs_dc=(7, 1, 3), shs_rest=(7, 8, 3)
    )
    assert len(random_gaussians(0)) == 0 and random_gaussians(3, sh_degree=0).sh_degree == 0


def test_activations() -> None:
    gaussians = random_gaussians(5)
    assert torch.allclose(gaussians.activated_scales.log(), gaussians.scales, atol=1e-6)
    assert torch.allclose(gaussians.activated_opacities.logit(), gaussians.opacities, atol=1e-5)


def test_arrays_round_trip() -> None:
    gaussians = random_gaussians(6)
    arrays = gaussians.to_arrays()
    again = Gaussians.from_arrays(arrays)
    assert arrays.shs.shape == (6, 16, 3) and arrays.means.dtype == np.float32
    for name in PARAMETERS:
        assert torch.equal(again.parameters[name], gaussians.parameters[name])


def test_arrays_are_copies() -> None:
    gaussians = random_gaussians(6)
    arrays = gaussians.to_arrays()
    before = arrays.means.copy()
    gaussians.means.detach().add_(1)
    assert np.array_equal(arrays.means, before)


def test_a_missing_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match="shs_rest"):
        Gaussians({"means": torch.zeros(1, 3)})


def test_sigmoid_and_its_gradient() -> None:
    values = torch.tensor([-200.0, -90.0, -5.0, -0.1, 0.0, 2.0, 30.0, 200.0], dtype=torch.float64, requires_grad=True)
    assert torch.allclose(Sigmoid.apply(values), values.sigmoid(), rtol=1e-14)
    assert torch.autograd.gradcheck(Sigmoid.apply, (values,))
    single = values.detach().float().requires_grad_()
    (gradient,) = torch.autograd.grad(Sigmoid.apply(single).sum(), single)
    assert bool(gradient.isfinite().all()) and gradient[4] == 0.25


def test_activations_have_the_same_bits_for_any_number_of_threads() -> None:
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            gaussians = random_gaussians(70_001, sh_degree=0)
            activated = gaussians.activated_opacities * gaussians.activated_scales
            activated.square().sum().backward()
            assert gaussians.scales.grad is not None and gaussians.opacities.grad is not None
            results.append((activated, gaussians.scales.grad, gaussians.opacities.grad))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))

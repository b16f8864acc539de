"""Normal numbers by place: they are normal, and those of a place hang on nothing but place and seed."""

from __future__ import annotations

import pytest
import torch

from utils.sampling import BITS, GOLDEN, LAST_SHIFT, MIXERS, _normals, normals_at

COUNT = 200_000


def test_they_are_normal_and_not_correlated() -> None:
    places = torch.arange(COUNT)
    first, second = (normals_at(places, seed).double() for seed in (7, 8))
    columns = torch.cat([first, second, first.roll(1, dims=0)], dim=1)
    assert columns.mean(dim=0).abs().max() < 0.01
    correlations = torch.corrcoef(columns.T) - torch.eye(9)
    assert correlations.abs().max() < 0.01
    assert (columns.std(dim=0) - 1).abs().max() < 0.01
    for limit, share in ((1.0, 0.3173), (2.0, 0.0455), (3.0, 0.0027)):
        assert (columns.abs() > limit).double().mean().item() == pytest.approx(share, rel=0.05)


def test_those_of_a_place_are_the_same_whatever_is_asked_for() -> None:
    every, some = torch.arange(COUNT), torch.tensor([3, 5, 7_000, COUNT - 1])
    assert torch.equal(normals_at(some, 11), normals_at(every, 11)[some])
    assert normals_at(some[:0], 11).shape == (0, 3)


def test_the_bits_are_those_of_splitmix64() -> None:
    """In Python's numbers, which have no 64th bit to lose."""
    seed, place = 2**62 - 5, 123_456
    value = (place * GOLDEN + seed) % 2**64
    for shift, factor in MIXERS:
        value = ((value ^ (value >> shift)) * factor) % 2**64
    value ^= value >> LAST_SHIFT
    picked = [(value >> (part * BITS)) % 2**BITS for part in range(3)]
    assert torch.equal(normals_at(torch.tensor([place]), seed)[0], _normals(torch.device("cpu"))[picked])

"""Which photos are compared."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from scene.sfm import pairs
from scene.sfm.pairs import pairs_of


def no_descriptors(name: str) -> np.ndarray:
    raise AssertionError("not needed of so few photos")


def test_few_photos_are_all_compared() -> None:
    names = [f"{number:03}" for number in range(pairs.MAX_EXHAUSTIVE)]
    assert pairs_of(False)(names, no_descriptors) == list(combinations(names, 2))
    few = names[: pairs.MAX_ALL_FRAMES]
    assert pairs_of(True)(few, no_descriptors) == list(combinations(few, 2))


def test_of_many_neighbors_are_compared_and_what_looks_alike() -> None:
    """Photos of four places, whose order by name says nothing; those of a place share kinds of features."""
    rng = np.random.default_rng(0)
    places = rng.permutation(np.repeat(np.arange(4), 50))
    kinds = rng.normal(0, 40, (4, 60, 128)) + 100

    def descriptors(name: str) -> np.ndarray:
        own = kinds[places[int(name)]]
        return np.clip(own[rng.integers(0, 60, 80)] + rng.normal(0, 5, (80, 128)), 0, 255).astype(np.uint8)

    names = [f"{number:03}" for number in range(200)]
    found = pairs_of(False)(names, descriptors)
    assert found == sorted(set(found)) and all(one < other for one, other in found)
    assert {(names[k], names[k + step]) for k in range(100) for step in (1, 2, 10, 16, 64)} <= set(found)
    near = {tuple(sorted((k, k + step))) for k in range(200) for step in (*range(1, 11), 16, 32, 64, 128)}
    alike = [(int(one), int(other)) for one, other in found if (int(one), int(other)) not in near]
    same = np.mean([places[one] == places[other] for one, other in alike])
    assert len(alike) > 1000 and same > 0.95 and len(found) < 200 * 60


def test_photos_without_features_are_compared_with_neighbors() -> None:
    names = [f"{number:03}" for number in range(60)]
    found = pairs_of(True)(names, lambda name: np.zeros((0, 128), np.uint8))
    assert ("000", "001") in found and ("000", "016") in found and ("000", "011") not in found

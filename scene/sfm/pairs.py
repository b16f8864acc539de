"""Which photos are compared with which: all, where there are few; neighbors by name, and by what they show, else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from scipy.spatial import cKDTree

Pairs = list[tuple[str, str]]
Descriptors = Callable[[str], np.ndarray]  # (K, 128) of a photo, by its name
PairsOf = Callable[[Sequence[str], Descriptors], Pairs]

MAX_EXHAUSTIVE = 150  # photos: of more, not each is compared with each
MAX_ALL_FRAMES = 40  # of a video
OVERLAP = 10  # neighbors by name, each way; beside them those 2, 4, 8, ... further on
ALIKE = 20  # photos that show the most alike
WORDS = 64  # kinds of features, by which photos are compared
SAMPLED = 40_000  # descriptors that the kinds are found by


def pairs_of(is_sequence: bool) -> PairsOf:
    """How pairs of photos are chosen."""
    return partial(_pairs, MAX_ALL_FRAMES if is_sequence else MAX_EXHAUSTIVE)


def _pairs(most: int, names: Sequence[str], descriptors: Descriptors) -> Pairs:
    """Pairs of `names`, each once, ordered."""
    count = len(names)
    if count <= most:
        places = {(one, other) for one in range(count) for other in range(one + 1, count)}
    else:
        steps = [*range(1, OVERLAP + 1), *(2**power for power in range(4, 20))]
        near = {(one, one + step) for one in range(count) for step in steps if one + step < count}
        places = near | _alike([descriptors(name) for name in names])
    return [(names[one], names[other]) for one, other in sorted(places)]


def _alike(described: Sequence[np.ndarray]) -> set[tuple[int, int]]:
    """The pairs of each photo with those that show the most alike, by VLAD: the sums of what the descriptors of each
    kind differ from the kind's middle (Jégou et al., Aggregating local descriptors into a compact image
    representation, CVPR 2010), with the signed roots and norms of Arandjelović and Zisserman (CVPR 2013)."""
    stacked = np.concatenate(described).astype(np.float32)
    if len(stacked) < 10 * WORDS:
        return set()
    sample = stacked[np.random.default_rng(0).permutation(len(stacked))[:SAMPLED]]
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 10, 0.0)
    _, _, middles = cv2.kmeans(sample, WORDS, np.zeros(0, np.int32), stop, 1, cv2.KMEANS_PP_CENTERS)
    codes = np.stack([_vlad(each.astype(np.float32), middles) for each in described])
    likeness = codes @ codes.T
    np.fill_diagonal(likeness, -np.inf)
    best = np.argsort(-likeness, axis=1, kind="stable")[:, :ALIKE]
    return {(min(one, other), max(one, other)) for one, row in enumerate(best.tolist()) for other in row}


def _vlad(descriptors: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """(WORDS · 128,) of one photo, of length 1."""
    sums = np.zeros_like(middles)
    if len(descriptors):
        _, kinds = cKDTree(middles).query(descriptors)
        np.add.at(sums, kinds, descriptors - middles[kinds])
    rooted = np.sign(sums) * np.sqrt(np.abs(sums))
    rooted /= np.maximum(np.linalg.norm(rooted, axis=1, keepdims=True), 1e-12)
    code = rooted.ravel()
    return code / max(float(np.linalg.norm(code)), 1e-12)

"""Do the photos show what their poses say? Features that two photos share must lie on each other's epipolar lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from scene.images import load_image
from scene.types import Camera, View
from utils.sampling import subsample

PAIRS = 6  # that are compared
WIDEST = 800  # pixels that features are looked for in
FEATURES = 2000  # of a photo
RATIO = 0.75  # of the distances of the best and the second match (Lowe 2004): less is a match
MIN_MATCHES = 20  # of a pair: fewer say nothing
BASELINE = 0.02  # of the cameras' extent: from nearer places every pose is as good
LOOKS_ALONG = 0.7  # least cosine between the axes of a pair


@dataclass(frozen=True)
class PairAgreement:
    """How well two photos fit their poses."""

    names: tuple[str, str]
    matches: int
    error: float  # pixels of the photos: the median distance of matches from their epipolar lines


def compare_pairs(views: Sequence[View], extent: float) -> list[PairAgreement]:
    """Of some pairs of neighbouring views, spread over all; those that share too little are left out."""
    pairs = dict.fromkeys(tuple(sorted(pair)) for pair in _pairs([view.camera for view in views], extent))
    found = [_compare(views[one], views[other]) for one, other in pairs]
    return [each for each in found if each is not None]


def epipolar_distances(one: Camera, other: Camera, at_one: np.ndarray, at_other: np.ndarray) -> np.ndarray:
    """(M,) pixels: how far matches, (M, 2) pixels each, lie from each other's epipolar lines, the mean of both ways.

    The fundamental matrix is K'^-T [t]x R K^-1 (Hartley and Zisserman 2004, 9.2).
    """
    relative = other.camera_from_world @ np.linalg.inv(one.camera_from_world)
    x, y, z = relative[:3, 3]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.linalg.inv(_intrinsics(other)).T @ cross @ relative[:3, :3] @ np.linalg.inv(_intrinsics(one))
    first, second = (np.concatenate([points, np.ones((len(points), 1))], axis=1) for points in (at_one, at_other))
    lines, back = first @ matrix.T, second @ matrix
    product = np.abs((second * lines).sum(axis=1))
    tiny = np.finfo(float).tiny
    return 0.5 * sum(product / np.maximum(np.hypot(each[:, 0], each[:, 1]), tiny) for each in (lines, back))


def _intrinsics(camera: Camera) -> np.ndarray:
    return np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])


def _pairs(cameras: Sequence[Camera], extent: float) -> list[tuple[int, int]]:
    """Some cameras, each with the nearest one that looks along and is not at the same place."""
    centers = np.stack([camera.center for camera in cameras])
    axes = np.stack([camera.camera_from_world[2, :3] for camera in cameras])
    pairs = []
    for index in subsample(range(len(cameras)), PAIRS):
        distance = np.linalg.norm(centers - centers[index], axis=1)
        fits = (distance > BASELINE * extent) & (axes @ axes[index] > LOOKS_ALONG)
        if fits.any():
            pairs.append((index, int(np.argmin(np.where(fits, distance, np.inf)))))
    return pairs


def _compare(one: View, other: View) -> PairAgreement | None:
    (places, descriptors), (other_places, other_descriptors) = features(one), features(other)
    a, b = mutual_matches(descriptors, other_descriptors)
    if len(a) < MIN_MATCHES:
        return None
    error = np.median(epipolar_distances(one.camera, other.camera, places[a], other_places[b]))
    return PairAgreement((one.camera.name, other.camera.name), len(a), float(error))


def features(view: View) -> tuple[np.ndarray, np.ndarray]:
    """(F, 2) pixels of features in the photo, and what they look like."""
    color = load_image(view, rough=True).color.transpose(1, 2, 0)
    gray = cv2.cvtColor(np.round(255 * color).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    factor = min(1.0, WIDEST / gray.shape[1])
    if factor < 1:
        gray = cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    points, descriptors = cv2.SIFT.create(nfeatures=FEATURES).detectAndCompute(gray, None)
    if len(points) == 0:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    return (np.array([point.pt for point in points]) + 0.5) / factor, descriptors


def mutual_matches(descriptors: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) each: the indices of features that are clearly the most alike, both ways. None of few features match."""
    if min(len(descriptors), len(others)) < MIN_MATCHES:
        return np.zeros(0, int), np.zeros(0, int)
    forth, back = _matches(descriptors, others), _matches(others, descriptors)
    mutual = np.array([(a, b) for a, b in forth.items() if back.get(b) == a], dtype=int).reshape(-1, 2)
    return mutual[:, 0], mutual[:, 1]


def _matches(descriptors: np.ndarray, others: np.ndarray) -> dict[int, int]:
    """By index, which of the others is clearly the most alike."""
    found = cv2.BFMatcher().knnMatch(descriptors, others, k=2)
    return {best.queryIdx: best.trainIdx for best, second in found if best.distance < RATIO * second.distance}

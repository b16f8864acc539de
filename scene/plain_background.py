"""Do all photos show their subject before the same plain color? Then nothing is there, as if they had alpha.

Else a trainer models the background as a surface, and white fog right before the cameras is as good as any: an object
on white had 15 dB where the same photos with alpha had 37.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scene.images import glance, roughly
from scene.types import Plain, View
from utils.sampling import subsample

MAX_VIEWS = 24  # that are looked at, evenly chosen
LEVEL = 5 / 255  # of each channel: what is as near to a color as that is taken for it
RING = 0.01  # of a photo's smaller side: the width of the ring along its edge
AROUND = 0.6  # of the ring is plain, in a photo before a plain background
EVERYWHERE = 0.15  # of the photo
SUBJECT = 0.002  # of the photo at least stands out from the background ...
CONTRAST = 0.2  # ... by this: what is dark all over shows nothing before black
OTHERS = 0.05  # of the photos may be close-ups
NOISE = 3.0  # times what nearly all of the ring deviates by: the background, as compression leaves it
LEAST_NOISE = 1 / 255
STATIC = 0.97  # of a black part that is the same in all photos: the lens has left it black
BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def plain_background(views: Sequence[View]) -> Plain | None:
    """The background that all photos share; None where they have none, or say by masks or alpha what counts."""
    chosen = [roughly(view) for view in subsample(views, MAX_VIEWS)]
    color, distances, others = np.zeros(0), list[np.ndarray](), 0
    for view in chosen:
        loaded = glance(view)
        if loaded is None:
            continue
        if loaded.mask is not None and loaded.mask.min() < 1:
            return None
        if not distances:
            color = _color(loaded.color)
        distance = np.abs(loaded.color - color[:, None, None]).max(axis=0)
        if _shows_subject(distance):
            distances.append(distance)
        else:
            others += 1
        if others > OTHERS * len(chosen):
            return None
    if not distances or (not color.any() and _is_static([distance <= LEVEL for distance in distances])):
        return None
    rings = np.concatenate([_ring(distance[None]).ravel() for distance in distances])
    noise = float(np.percentile(rings[rings <= LEVEL], 99))
    red, green, blue = color.tolist()
    return Plain((red, green, blue), max(LEAST_NOISE, min(NOISE * noise, 2 * LEVEL)) + 0.5 / 255)


def _shows_subject(distance: np.ndarray) -> bool:
    """Whether a photo shows a subject before the background, by each pixel's distance from that, (H, W)."""
    plain = distance <= LEVEL
    around, stands_out = (_ring(distance[None]) <= LEVEL).mean(), (distance >= CONTRAST).mean()
    return bool(around >= AROUND and plain.mean() >= EVERYWHERE and stands_out >= SUBJECT)


def _color(image: np.ndarray) -> np.ndarray:
    """(3,) what most of the ring of a photo, (3, H, W), shows: white or black where it is nearly that."""
    color = np.median(_ring(image), axis=1)
    return next((np.array(each) for each in (BLACK, WHITE) if np.abs(color - each).max() <= LEVEL), color)


def _ring(image: np.ndarray) -> np.ndarray:
    """(C, R) the pixels along the edge of an image, (C, H, W)."""
    width = max(1, round(RING * min(image.shape[1:])))
    inner = np.ones(image.shape[1:], bool)
    inner[width:-width, width:-width] = False
    return np.asarray(image[:, inner])


def _is_static(parts: Sequence[np.ndarray]) -> bool:
    """Whether parts of photos, (H, W) bool each, are the same in all, as the corners are that a lens leaves black."""
    if len({part.shape for part in parts}) > 1 or len(parts) < 2:
        return False
    return bool(np.all(parts, axis=0).sum() >= STATIC * np.mean([part.sum() for part in parts]))

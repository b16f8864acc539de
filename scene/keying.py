"""The alpha of photos that show their subject before a plain color, as renderings without alpha do."""

from __future__ import annotations

import cv2
import numpy as np

from scene.types import Plain

SMALL = 1e-4  # of a photo's pixels: smaller patches are glints in the subject, or traces of compression beside it
CLEAN = 2 / 255  # tolerance of photos without traces of compression
LEAST = 1e-6  # distance of colors: no division by less


def with_alpha(color: np.ndarray, plain: Plain) -> np.ndarray:
    """(H, W, 4) the photo's color and alpha, such that color · alpha + background · (1 − alpha) is the photo.

    What is of the background's color is transparent where it reaches the photo's edge or is a hole of some size; what
    borders on that is as opaque as its color is far from the background's, next to its most distant neighbor (the
    compositing equation of Porter & Duff 1984, for an alpha that is not known).

    Args:
        color: (H, W, 3) float32 in [0, 1].
    """
    background = np.array(plain.color, np.float32)
    distance = np.abs(color - background).max(axis=2)
    empty = _empty(distance <= plain.tolerance)
    if plain.tolerance > CLEAN:
        empty |= ~_kept(~empty)
    window = np.ones((3, 3), np.uint8)
    mixed = (cv2.dilate(empty.astype(np.uint8), window) > 0) & ~empty
    alpha = np.where(mixed, distance / np.maximum(cv2.dilate(distance, window), LEAST), np.where(empty, 0.0, 1.0))
    alpha = alpha.astype(np.float32)[..., None]
    straight = background + (color - background) / np.maximum(alpha, LEAST)
    straight = np.where(alpha > 0, np.clip(straight, 0, 1), 0)
    return np.concatenate([straight, alpha], axis=2).astype(np.float32)


def _empty(like_background: np.ndarray) -> np.ndarray:
    """(H, W) bool: the patches that reach the edge, or are large enough."""
    edge = np.zeros_like(like_background)
    edge[[0, -1]], edge[:, [0, -1]] = True, True
    return _kept(like_background, edge)


def _kept(patches: np.ndarray, also: np.ndarray | None = None) -> np.ndarray:
    """(H, W) bool: the connected patches of some size, and those that have pixels of `also`."""
    _, labels, sizes, _ = cv2.connectedComponentsWithStats(patches.astype(np.uint8), connectivity=4)
    kept = sizes[:, cv2.CC_STAT_AREA] >= SMALL * patches.size
    if also is not None:
        kept[np.unique(labels[also])] = True
    kept[0] = False  # all that is in no patch
    return np.asarray(kept[labels])

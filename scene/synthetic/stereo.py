"""A stereo camera's view of exact depth, as passive pairs measure it: noise that grows with z², fat edges, holes."""

from __future__ import annotations

import cv2
import numpy as np

from scene.synthetic.plan import Solid
from scene.synthetic.render import Picture
from scene.synthetic.sensor import MILLIMETRES, chance, depth_edges, shadow, smooth_noise, uniform_ranks

RANGE = (0.4, 6.0)  # meters: nothing nearer or farther is measured
BASELINE = 0.055  # meters between the two cameras
DISPARITY_NOISE = 0.08  # pixels of a picture 480 wide, standard deviation
STEPS = 32  # of disparity, to a pixel
FAT = 5  # pixels of a picture 480 wide: the window in which the nearer side of an edge wins
FLAT = (0.002, 0.007)  # contrast of gray below which nothing is matched, and from which on everything is
WINDOW = 9  # pixels of a picture 480 wide, of that contrast
WRONG = 0.004  # share of the picture that is matched wrongly, in patches


def noise_deviation(depth: np.ndarray, focal: float) -> np.ndarray:
    """Standard deviation of measured depth, meters: z²·δ/(f·B), with `focal` in pixels of a picture 480 wide."""
    return np.square(depth) * DISPARITY_NOISE / (focal * BASELINE)


def sense_stereo(picture: Picture, solids: list[Solid], focal: float, seed: int) -> np.ndarray:
    """(H, W) uint16 millimetres of z, 0 where nothing was measured. `focal` in pixels; `seed` makes the faults."""
    rng = np.random.default_rng([seed, 10])
    scale = picture.depth.shape[1] / 480
    full = focal / scale  # the focal length at 480 pixels, where the faults' sizes hold
    disparity = full * BASELINE / _fattened(picture.depth, scale)
    disparity = disparity + DISPARITY_NOISE * smooth_noise(rng, disparity.shape, 1.5 * scale)
    wrong = uniform_ranks(smooth_noise(rng, disparity.shape, 2 * scale)) < WRONG
    disparity = np.where(wrong, disparity * rng.uniform(0.5, 1.6, disparity.shape), disparity)
    depth = full * BASELINE / (np.maximum(np.round(disparity * STEPS), 1) / STEPS)
    unseen = np.array([not solid.sensed for solid in solids])[picture.solid]
    patches = uniform_ranks(smooth_noise(rng, disparity.shape, 2 * scale))
    missing = unseen | (patches < chance(_contrast(picture.color, scale), *FLAT))
    missing |= shadow(picture.depth, focal, BASELINE) | (depth < RANGE[0]) | (depth > RANGE[1])
    return np.where(missing, 0, np.round(depth * MILLIMETRES)).astype(np.uint16)


def _odd(size: float) -> int:
    return 2 * int(size / 2) + 1


def _fattened(depth: np.ndarray, scale: float) -> np.ndarray:
    """Depth whose nearer side reaches over edges, as a window that is matched as a whole makes it."""
    window = np.ones((_odd(FAT * scale),) * 2, np.uint8)
    near = cv2.erode(depth, window)
    beside = cv2.dilate(depth_edges(depth).astype(np.uint8), window) > 0
    return np.where(beside, near, depth)


def _contrast(color: np.ndarray, scale: float) -> np.ndarray:
    """(H, W) standard deviation of gray within a window."""
    gray, size = color.mean(axis=2).astype(np.float64), (max(3, _odd(WINDOW * scale)),) * 2
    mean, square = cv2.blur(gray, size), cv2.blur(gray * gray, size)
    return np.sqrt(np.maximum(square - mean * mean, 0))

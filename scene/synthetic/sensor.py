"""A depth camera's view of exact depth: structured light, as the first Kinect's, with the faults such cameras have."""

from __future__ import annotations

import cv2
import numpy as np

from scene.synthetic.plan import Solid
from scene.synthetic.render import Picture

RANGE = (0.5, 5.2)  # metres: nothing nearer or farther is measured
EDGE = 0.03  # a step between neighbours of more than this share of the depth is an edge
FLYING = 0.45  # probability that a pixel at an edge is a mixture of both sides
GRAZING = (0.05, 0.16)  # cosine below which nothing returns, and from which on everything does
DARK = (0.02, 0.09)  # the same for the brightest channel of the color, which stands for the infrared albedo
THIN_LOSS = 0.45  # share of thin things' surface that is missed
BLOBS = 0.008  # share of the picture lost for no visible reason
BASELINE = 0.075  # metres between projector and camera: what the one sees and the other does not is in its shadow
MILLIMETRES = 1000


def noise_deviation(depth: np.ndarray) -> np.ndarray:
    """Standard deviation of measured depth, metres: 1.2 mm + 1.9 mm·(z − 0.4)² (Nguyen, Izadi and Lovell 2012)."""
    return 0.0012 + 0.0019 * np.square(depth - 0.4)


def sense(picture: Picture, solids: list[Solid], focal: float, seed: int) -> np.ndarray:
    """(H, W) uint16 millimetres of z, 0 where nothing was measured. `focal` in pixels; `seed` makes the faults."""
    rng = np.random.default_rng([seed, 9])
    scale = picture.depth.shape[1] / 480  # faults keep their size in the picture when that is made smaller
    depth = _flying_pixels(picture.depth, rng)
    grain = smooth_noise(rng, depth.shape, 0.8 * scale)  # neighbours share part of their error
    depth = depth + noise_deviation(depth) * grain
    missing = _holes(picture, solids, scale, rng) | shadow(picture.depth, focal, BASELINE)
    missing |= (depth < RANGE[0]) | (depth > RANGE[1])
    return np.where(missing, 0, np.round(depth * MILLIMETRES)).astype(np.uint16)


def depth_edges(depth: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels whose 3 × 3 neighbourhood spans more than EDGE of their depth."""
    window = np.ones((3, 3), np.uint8)
    span = cv2.dilate(depth, window) - cv2.erode(depth, window)
    return span > EDGE * depth


def _flying_pixels(depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Depth in which pixels at edges lie, some of them, anywhere between the near and the far side."""
    window = np.ones((3, 3), np.uint8)
    near, far = cv2.erode(depth, window), cv2.dilate(depth, window)
    flies = depth_edges(depth) & (rng.random(depth.shape) < FLYING)
    return np.where(flies, near + (far - near) * rng.random(depth.shape), depth)


def _holes(picture: Picture, solids: list[Solid], scale: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) bool: pixels that return too little light, and some that just fail."""
    shape = picture.depth.shape
    grazing = chance(picture.facing, *GRAZING)
    dark = chance(picture.color.max(axis=2), *DARK)
    thin = np.array([solid.thin for solid in solids])[picture.solid]
    unseen = np.array([not solid.sensed for solid in solids])[picture.solid]
    patches = uniform_ranks(smooth_noise(rng, shape, 1.2 * scale))
    blobs = uniform_ranks(smooth_noise(rng, shape, 5 * scale)) < BLOBS
    return unseen | blobs | (patches < grazing) | (patches < dark) | (thin & (patches < THIN_LOSS))


def chance(value: np.ndarray, none: float, all_of_it: float) -> np.ndarray:
    """Probability of a hole: 1 up to `none`, 0 from `all_of_it` on."""
    return np.clip((all_of_it - value) / (all_of_it - none), 0, 1)


def shadow(depth: np.ndarray, focal: float, baseline: float) -> np.ndarray:
    """(H, W) bool: what a projector, or another camera, `baseline` meters to the right does not see. Along a row its
    column x − f·b/z grows; a pixel whose column is right of that of a pixel further right is hidden behind that one."""
    column = np.arange(depth.shape[1]) - focal * baseline / depth
    from_right = np.minimum.accumulate(column[:, ::-1], axis=1)[:, ::-1]
    return column > from_right + 1


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """(H, W) normal noise of unit variance, smooth over about `sigma` pixels."""
    noise = rng.normal(size=shape)
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma)) if sigma > 0.3 else noise
    return smooth / smooth.std()


def uniform_ranks(noise: np.ndarray) -> np.ndarray:
    """Noise turned into its own ranks in [0, 1): a threshold then cuts off just that share."""
    ranks = np.empty(noise.size)
    ranks[np.argsort(noise, axis=None, kind="stable")] = np.arange(noise.size) / noise.size
    return ranks.reshape(noise.shape)

"""Metrics that do not punish another exposure: the render first gets the photo's colors, as far as one affine transform
can give them.

RawNeRF (Mildenhall et al. 2022) fits such a transform, and mip-NeRF 360's evaluation one with squares of the colors.
What is fitted to the photo is no prediction of it: these metrics stand beside the plain ones.
"""

from __future__ import annotations

import numpy as np


def color_corrected(image: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """(H,W,3) uint8: `image` after the affine transform of its colors that is closest to `target`, both (H,W,3) uint8.

    Least squares over the pixels, weighted by the (H,W) `mask`; of colors that do not determine it, the smallest one.
    """
    weights = np.ones(image.shape[:2]) if mask is None else mask / 255.0
    colors = np.concatenate([image.reshape(-1, 3) / 255.0, np.ones((weights.size, 1))], axis=1)
    weighted = colors * weights.reshape(-1, 1)
    fitted, *_ = np.linalg.lstsq(weighted.T @ colors, weighted.T @ (target.reshape(-1, 3) / 255.0), rcond=1e-9)
    rounded: np.ndarray = np.round(255 * (colors @ fitted)).clip(0, 255).astype(np.uint8)
    return rounded.reshape(image.shape)

"""The formulas of the depth losses, pixel by pixel in float64, for small images."""

from __future__ import annotations

import itertools
import math

import numpy as np

from tests.helpers.depth_samples import K


def mean(values: np.ndarray, weight: np.ndarray) -> float:
    return float((values * weight).sum() / weight.sum())


def slow_standardized(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    centered = values - mean(values, weight)
    return centered / (mean(abs(centered), weight) + 1e-6)


def slow_pooled(values: np.ndarray, weight: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Block means over valid pixels; weight 0 for blocks with half or less of them."""
    height, width = values.shape[0] // scale, values.shape[1] // scale
    means, weights = np.zeros((height, width)), np.zeros((height, width))
    for i, j in itertools.product(range(height), range(width)):
        block = np.s_[i * scale : (i + 1) * scale, j * scale : (j + 1) * scale]
        if (weight[block] > 0).mean() > 0.5:
            means[i, j] = mean(values[block], weight[block])
            weights[i, j] = weight[block].sum() / (weight[block] > 0).sum()
    return means, weights


def slow_sobel(values: np.ndarray, weight: np.ndarray, i: int, j: int, axis: int) -> float:
    """Sobel's gradient at (i, j), of differences between valid pixels with a valid one in between."""
    total = 0.0
    for side, factor in ((-1, 1), (0, 2), (1, 1)):
        line = [(i + side, j + step) if axis == 1 else (i + step, j + side) for step in (-1, 0, 1)]
        if all(0 <= r < values.shape[0] and 0 <= c < values.shape[1] and weight[r, c] > 0 for r, c in line):
            total += factor * (values[line[2]] - values[line[0]])
    return total


def slow_g2(z: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    maps = [slow_standardized(each, weight) for each in (z, target)]
    absolute, relative = mean(abs(z - target), weight), mean(abs(maps[0] - maps[1]), weight)
    return absolute + relative + 0.5 * slow_grad(z, target, weight)


def slow_grad(z: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    maps, loss = [slow_standardized(each, weight) for each in (z, target)], 0.0
    for scale in (1, 2, 4, 8):
        (a, weights), (b, _) = (slow_pooled(each, weight, scale) for each in maps)
        gradients = np.zeros_like(a)
        for i, j in np.argwhere(weights > 0):
            for axis in (0, 1):
                gradients[i, j] += abs(slow_sobel(a, weights, i, j, axis) - slow_sobel(b, weights, i, j, axis))
        loss += mean(gradients, weights) / 4 if weights.any() else 0.0
    return loss


def slow_variance(target: np.ndarray, valid: np.ndarray, window=5, lambda_prior=0.5, alpha_clamp=0.3) -> np.ndarray:
    fx, fy, cx, cy = K
    result = np.zeros_like(target)
    norm = np.fromfunction(
        lambda i, j: np.sqrt(1 + ((j + 0.5 - cx) / fx) ** 2 + ((i + 0.5 - cy) / fy) ** 2), target.shape
    )
    t, reach, width = target * norm, window // 2, 1 / math.sqrt(fx * fy)
    for i, j in np.argwhere(valid):
        around = np.s_[max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1]
        near = np.sort(t[around][valid[around]])
        out = len(near) // 8
        mu = t[i, j]
        delta = min((near[len(near) - 1 - out] - near[out]) / 2 + lambda_prior * mu * width, alpha_clamp * mu)
        d, r = 3 * mu**2 + delta**2, 2 / math.sqrt(12) * width
        along = delta**2 / 3 - 4 / 15 * delta**4 * (12 * mu**2 - delta**2) / d**2
        across = r**2 * (mu**2 / 4 + 5 * delta**2 / 12 - 4 / 15 * delta**4 / d)
        cosine = 1 / norm[i, j]
        result[i, j] = along * cosine**2 + across * (1 - cosine**2)
    return result


def slow_loss(name: str, z: np.ndarray, inv: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    v = weight > 0
    if name in ("g2", "grad"):
        return (slow_g2 if name == "g2" else slow_grad)(z, target, weight)
    sigma = np.sqrt(slow_variance(target, v))[v]
    i, j = np.nonzero(v)
    x, y = (j + 0.5 - K[2]) / K[0], (i + 0.5 - K[3]) / K[1]
    z, inv, target, weight = z[v], inv[v], target[v], weight[v]
    error = abs(z - target)
    if name == "silog":
        e = np.log(z) - np.log(target)
        return math.sqrt(mean(e**2, weight) - 0.85 * mean(e, weight) ** 2)
    if name == "ssi":
        root = np.sqrt(weight)
        columns = np.stack([z, np.ones_like(z)], 1) * root[:, None]
        (scale, shift), *_ = np.linalg.lstsq(columns, target * root, rcond=None)
        return mean(abs(scale * z + shift - target), weight)
    if name == "mip_l1":
        trust = 1 / sigma / mean(1 / sigma, weight)
        return mean(error * trust + abs(x * z - x * target) + abs(y * z - y * target), weight)
    b = sigma / math.sqrt(2)
    values = {
        "inv_l1": abs(inv - 1 / target),
        "l1": error,
        "log_l1": abs(np.log(1 + z) - np.log(1 + target)),
        "inv_weighted_l1": error / np.maximum(target, 0.1 * mean(target, weight)),
        "mip_laplace": error / b + np.log(b),
    }
    return mean(values[name], weight)

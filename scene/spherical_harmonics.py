"""Real spherical harmonics of degree 0 to 3 in the order and with the signs of 3DGS files, and their rotation."""

from __future__ import annotations

import math

import numpy as np

SH_DC = 0.5 / math.sqrt(math.pi)  # the spherical harmonic of degree 0: color = 0.5 + SH_DC · coefficient
MAX_DEGREE = 3
SH_COUNTS = tuple((degree + 1) ** 2 for degree in range(MAX_DEGREE + 1))
SAMPLES = 32  # directions that determine the 7 functions of degree 3 with room to spare


def degree_of(sh_count: int) -> int:
    """The degree that `sh_count` coefficients of a channel reach."""
    return math.isqrt(sh_count) - 1


def sh_basis(directions: np.ndarray) -> np.ndarray:
    """(P, 16) float64: the functions at (P, 3) unit directions, degree by degree, m = −l..l, with the Condon–Shortley
    phase. MATH.md has the same formulas."""
    x, y, z = directions.T.astype(np.float64)
    xx, yy, zz = x * x, y * y, z * z
    over_pi = [math.sqrt(each / math.pi) for each in (1 / 4, 3 / 4, 15 / 4, 5 / 16, 15 / 16, 35 / 32, 105 / 4, 21 / 32)]
    c0, c1, c2, c20, c22, c33, c32, c31 = over_pi
    c30, c3m = math.sqrt(7 / 16 / math.pi), math.sqrt(105 / 16 / math.pi)
    functions = (
        np.full_like(x, c0),
        *(-c1 * y, c1 * z, -c1 * x),
        *(c2 * x * y, -c2 * y * z, c20 * (2 * zz - xx - yy), -c2 * x * z, c22 * (xx - yy)),
        *(-c33 * y * (3 * xx - yy), c32 * x * y * z, -c31 * y * (4 * zz - xx - yy)),
        c30 * z * (2 * zz - 3 * xx - 3 * yy),
        *(-c31 * x * (4 * zz - xx - yy), c3m * z * (xx - yy), -c33 * x * (xx - 3 * yy)),
    )
    return np.stack(functions, axis=1)


def rotation_of_degree(degree: int, rotation: np.ndarray) -> np.ndarray:
    """(2l+1, 2l+1) float64: the matrix D of degree l that turns coefficients by `rotation`, (3, 3) orthogonal.

    The functions of a degree turn into each other: f(R⁻¹ d) = Σ (D c)ₘ Yₘ(d) for f = Σ cₘ Yₘ. This system holds at
    every direction d and is solved at `SAMPLES` of them; it is exact, to rounding. Mirrors are allowed. For m = −l..l
    in the real basis this is Wigner's D matrix (Wigner 1931; Ivanic & Ruedenberg 1996 have it by recursion).
    """
    block = slice(degree**2, (degree + 1) ** 2)
    turned, plain = sh_basis(_SPREAD @ rotation)[:, block], sh_basis(_SPREAD)[:, block]  # d @ R is R⁻¹ d, transposed
    return np.linalg.lstsq(plain, turned, rcond=None)[0]


def rotate_sh(shs: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(N, K, 3) coefficients of colors that turn with the world: seen along R d, they look as they did along d."""
    result = shs.copy()
    for degree in range(1, degree_of(shs.shape[1]) + 1):
        block = slice(degree**2, (degree + 1) ** 2)
        matrix = rotation_of_degree(degree, rotation)
        result[:, block] = np.einsum("ij,njc->nic", matrix, shs[:, block].astype(np.float64), optimize=True)
    return result


def _spread_directions(count: int) -> np.ndarray:
    """(count, 3) unit vectors all over the sphere: a Fibonacci lattice."""
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (3 - math.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


_SPREAD = _spread_directions(SAMPLES)

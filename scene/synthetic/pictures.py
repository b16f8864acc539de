"""What hangs on the walls of the synthetic room: pictures and the view out of the window, painted by formula.

Pictures are textures (see textures.py) of a rectangle or of a box's broad face, x to the right and y up, in metres.
"""

from __future__ import annotations

import numpy as np

from scene.synthetic.textures import Texture, band, mix, noise, srgb, step


def sunset(width: float, height: float) -> Texture:
    """A low sun between clouds over five ranges of hills."""
    sky = [srgb(code) for code in ("#f9d08b", "#f2a065", "#d9685c", "#7c4a74", "#2f3566")]
    hills = [srgb(code) for code in ("#c9605a", "#9c4a5e", "#6d3a5c", "#452f50", "#241f3a")]

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        x, y = p[0] / width, p[1] / height + 0.5
        soft = blur / height
        out = np.broadcast_to(sky[0], p.shape)
        for k, color in enumerate(sky[1:]):
            out = mix(out, color, step(y + 0.015 * np.sin(9 * x + k), 0.5 + 0.125 * k, soft, 0.16))
        aspect = width / height
        sun = np.hypot((x - 0.12) * aspect, y - 0.56)
        out = mix(out, srgb("#ffe9b0"), 0.55 * np.exp(-((sun / 0.22) ** 2)))
        out = mix(out, srgb("#fff6d8"), 1 - step(sun, 0.085, soft, 0.012))
        for k, color in enumerate(hills):
            crest = 0.46 - 0.085 * k + (0.05 - 0.004 * k) * np.sin(5.1 * x + 2.3 * k) + 0.022 * np.sin(13 * x + 4.1 * k)
            out = mix(out, color, 1 - step(y, crest, soft, 0.012))
        return out * np.exp(0.05 * noise(p, blur, 0.04, 11, 3))

    return texture


def circles(width: float, height: float) -> Texture:
    """Overlapping discs in the manner of the 1920s."""
    discs = (
        (-0.20, 0.12, 0.300, "#e3a72f"),
        (0.17, 0.21, 0.190, "#c8452f"),
        (0.20, -0.16, 0.260, "#1f5f7a"),
        (0.20, -0.16, 0.130, "#f0e3c4"),
        (-0.20, 0.12, 0.150, "#2b2b33"),
        (-0.20, 0.12, 0.070, "#d96b43"),
        (-0.17, -0.30, 0.140, "#5f8f72"),
        (0.30, 0.36, 0.070, "#2b2b33"),
        (0.20, -0.16, 0.055, "#c8452f"),
    )

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        x, y, soft = p[0] / width, p[1] / width, blur / width
        out = np.broadcast_to(srgb("#efe2c6"), p.shape)
        for cx, cy, radius, code in discs:
            inside = 1 - step(np.hypot(x - cx, y - cy), radius, soft, 0.012)
            out = mix(out, srgb(code), 0.93 * inside)
        for slope, offset in ((0.9, -0.05), (-0.45, 0.18)):
            line = band((y - slope * x - offset) / np.hypot(1, slope), -0.011, 0.011, soft, 0.012)
            out = mix(out, srgb("#2b2b33"), line)
        return out * np.exp(0.05 * noise(p, blur, 0.03, 12, 3))

    return texture


def blocks(width: float, height: float) -> Texture:
    """Rectangles of primary colors between black bars."""
    vertical, horizontal = (-0.22, 0.2), (-0.24, 0.06, 0.3)
    fills = {(0, 0): "#f2ead8", (1, 0): "#d8b23a", (2, 0): "#f2ead8", (0, 1): "#27558f", (1, 1): "#f2ead8"}
    fills |= {(2, 1): "#c23b2a", (0, 2): "#f2ead8", (1, 2): "#c23b2a", (2, 2): "#f2ead8"}
    fills |= {(0, 3): "#d8b23a", (1, 3): "#f2ead8", (2, 3): "#27558f"}

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        x, y, soft = p[0] / width, p[1] / height, blur / min(width, height)
        column, row = np.digitize(x, vertical), np.digitize(y, horizontal)
        table = np.stack([[srgb(fills[c, r])[:, 0] for r in range(4)] for c in range(3)])
        out = table[column, row].T
        for position, edges in ((x, vertical), (y, horizontal)):
            for edge in edges:
                out = mix(out, srgb("#24222a"), band(position, edge - 0.022, edge + 0.022, soft, 0.012))
        return out * np.exp(0.05 * noise(p, blur, 0.03, 13, 3))

    return texture


def daylight(width: float, height: float) -> Texture:
    """The view through a hazy window: sky, a few clouds, a far line of trees; brighter than white when it glows."""

    def texture(p: np.ndarray, blur: np.ndarray) -> np.ndarray:
        y = p[1] / height + 0.5
        soft = blur / height
        out = mix(srgb("#dcecf5"), srgb("#8fc0e8"), step(y, 0.62, soft, 0.75))
        stretched = np.stack([0.45 * p[0], p[1], p[2]])
        out = mix(out, srgb("#ffffff"), 0.8 * step(noise(stretched, blur, 0.4, 21, 3), 0.5, soft, 1.1))
        for k, code in enumerate(("#a9c3c9", "#86a89a", "#5f8a62")):
            crest = 0.3 - 0.08 * k + 0.03 * np.sin(4.3 * p[0] + 2 * k) + 0.016 * np.sin(15 * p[0] + k)
            out = mix(out, srgb(code), 1 - step(y, crest, soft, 0.02))
        return out

    return texture

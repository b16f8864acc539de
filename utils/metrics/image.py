"""How close renders are to photos, in the numbers that papers give.

Everything is measured on the 8-bit pictures that render.py writes, so that whoever has the files gets the same numbers.
A mask selects: pixels outside it count for nothing.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError
from utils.losses import photometric
from utils.metrics.color_correction import color_corrected
from utils.metrics.depth import Scores
from utils.text import count_text

NAMES = ("PSNR", "SSIM", "LPIPS")
CORRECTED = ("cc_PSNR", "cc_SSIM")  # of the render with its colors fitted to the photo's
PSNR_OF_EQUALS = 100.0  # dB; JSON has no infinity

Lpips = Callable[[Tensor, Tensor], float]  # two (3,H,W) images in [0,1] -> their distance


def psnr(image: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None) -> float | None:
    """Peak signal-to-noise ratio, dB, of two (H,W,3) uint8 pictures: 10·log10(255²/MSE), all channels together.

    `mask`, (H,W) uint8, is the weight of each pixel. Equal pictures have PSNR_OF_EQUALS, those without any pixel None.
    """
    if is_hidden(mask):
        return None
    squares = (image.astype(np.float64) - target.astype(np.float64)) ** 2
    weights = np.ones(squares.shape[:2]) if mask is None else mask.astype(np.float64)
    error = (squares * weights[..., None]).sum() / (weights.sum() * squares.shape[2])
    return min(PSNR_OF_EQUALS, 10 * math.log10(255**2 / error)) if error > 0 else PSNR_OF_EQUALS


def is_hidden(mask: np.ndarray | None) -> bool:
    """Whether a mask leaves nothing to measure."""
    return mask is not None and not mask.any()


def ssim(image: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None) -> float | None:
    """Mean structural similarity of two (H,W,3) uint8 pictures: `photometric.ssim`, 11×11, σ 1.5, zero padding.

    None where `mask` leaves no pixel.
    """
    if is_hidden(mask):
        return None
    weights = None if mask is None else torch.from_numpy(mask).double()[None] / 255
    return photometric.ssim(_to_tensor(image, torch.float64), _to_tensor(target, torch.float64), weights).item()


def load_lpips(weights: Path) -> Lpips:
    """LPIPS (Zhang et al. 2018) of the `lpips` package, its trunk from `weights`: torchvision's VGG16 state dict.

    Nothing is downloaded. UserError when the package or the file is missing, or the file is something else.
    """
    if not weights.exists():
        raise UserError(f"--lpips_weights {weights} is not there; it is to be torchvision's VGG16 (vgg16-397923af.pth)")
    try:
        package = importlib.import_module("lpips")
    except Exception as error:  # a torchvision that does not fit torch fails in many ways
        raise UserError(f"--lpips_weights needs the packages lpips and torchvision ({error}); install them") from None
    network = package.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval().requires_grad_(False)
    try:
        stored = torch.load(weights, map_location="cpu", weights_only=True)
        # The package cuts `features` into slices: slice2.5.weight is features.5.weight.
        trunk = {name: stored["features." + name.split(".", 1)[1]] for name in network.net.state_dict()}
        network.net.load_state_dict(trunk)
    except Exception as error:  # torch.load raises by what it finds in the file
        raise UserError(f"--lpips_weights {weights} does not hold torchvision's VGG16: {error!r}") from None

    def distance(image: Tensor, target: Tensor) -> float:
        with torch.no_grad():
            return float(network(image[None], target[None]))

    return distance


def measure(
    image: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None, lpips: Lpips | None = None
) -> Scores:
    """All metrics of a (H,W,3) uint8 picture against `target`; `mask` is (H,W) uint8. None where it leaves no pixel."""
    if image.shape != target.shape:
        raise UserError(f"a render has shape {image.shape} and its photo {target.shape}; run render.py again")
    scores: Scores = {"PSNR": psnr(image, target, mask), "SSIM": ssim(image, target, mask), "LPIPS": None}
    if lpips is not None and not is_hidden(mask):
        # It has no notion of a mask: outside it the render becomes the photo.
        shown = image if mask is None else np.where(mask[..., None] > 0, image, target)
        scores["LPIPS"] = lpips(_to_tensor(shown), _to_tensor(target))
    fitted = color_corrected(image, target, mask)
    return scores | {"cc_PSNR": psnr(fitted, target, mask), "cc_SSIM": ssim(fitted, target, mask)}


def average(views: Iterable[Scores]) -> Scores:
    """The mean of each metric over views, without those of which masks leave nothing; None where one has none."""
    rows = [row for row in views if row["PSNR"] is not None]
    names = (*NAMES, *(name for name in CORRECTED if all(name in row for row in rows)))
    return {name: _mean([row[name] for row in rows]) for name in names}


def hidden_text(hidden: int, views: int) -> str:
    """The line for views of which nothing was measured."""
    return f"the masks leave no pixel of {hidden} of {count_text(views, 'view')} to measure: these have no metrics"


def _to_tensor(picture: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
    """(3,H,W) in [0,1]."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).to(dtype) / 255


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None

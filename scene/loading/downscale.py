"""Photos at half their size, for the first steps of a run, in which nothing needs more."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn.functional import avg_pool2d

from scene.loading.image_cache import LoadedView
from scene.types import Camera


def downscale_2x(photo: LoadedView) -> LoadedView:
    """`photo` and its camera at half the size: means of 2×2 pixels; an odd last row or column is left out."""
    return photo._replace(
        camera=halved_camera(photo.camera),
        color=avg_pool2d(photo.color, 2),
        mask=_halved_weights(photo.mask),
        alpha=_halved_weights(photo.alpha),
        depth=_every_other(photo.depth),
        depth_valid=_every_other(photo.depth_valid),
    )


def _every_other(values: Tensor | None) -> Tensor | None:
    """One of each 2×2: a mean over an edge would be a depth where nothing is."""
    if values is None:
        return None
    height, width = values.shape[1] // 2, values.shape[2] // 2
    return values[:, : 2 * height : 2, : 2 * width : 2].contiguous()


def _halved_weights(weights: Tensor | None) -> Tensor | None:
    return None if weights is None else avg_pool2d(weights, 2)


def halved_camera(camera: Camera) -> Camera:
    """The camera of the photo at half its size."""
    return replace(
        camera,
        width=camera.width // 2,
        height=camera.height // 2,
        fx=camera.fx / 2,
        fy=camera.fy / 2,
        cx=camera.cx / 2,
        cy=camera.cy / 2,
    )

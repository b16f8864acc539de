"""viewer.html of a result: all of its Gaussians, or those that contribute most where the page would get too large."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gaussian_renderer import RenderSettings
from gaussian_renderer.contribution import contributions
from gaussian_renderer.sharded import whole_arrays
from scene.editing import at_most
from scene.gaussians.model import Gaussians
from scene.io import viewer_html
from scene.types import Camera
from utils.sampling import subsample

LOOKED_AT = 24  # cameras by which contributions are judged


def write_viewer_page(
    path: Path,
    gaussians: Gaussians,
    cameras: Sequence[Camera],
    settings: RenderSettings,
    megabytes: float,
    *,
    background: Sequence[float],
) -> str:
    """Write the page, at most `megabytes`, 10⁶ bytes, large; returns what is to be said of it, "" where nothing is.

    No page is left where not even the viewer fits.
    """
    arrays = whole_arrays(gaussians)
    count = viewer_html.fitting_count(arrays, megabytes)
    if count == 0:
        path.unlink(missing_ok=True)  # of a result before
        return f"{path.name} is not written: --viewer_html_mb {megabytes:g} has no room for Gaussians beside the viewer"
    note = ""
    if count < gaussians.total and gaussians.shard is not None:
        path.unlink(missing_ok=True)
        return (
            f"{path.name} is not written: {gaussians.total:,} Gaussians do not fit into --viewer_html_mb "
            f"{megabytes:g}, and which of them contribute most is found on one rank alone"
        )
    if count < gaussians.total:
        note = (
            f"{path.name} has the {count:,} of {gaussians.total:,} Gaussians that contribute most to "
            f"{min(LOOKED_AT, len(cameras))} views: more do not fit into --viewer_html_mb {megabytes:g}"
        )
        scores = contributions(gaussians, subsample(cameras, LOOKED_AT), settings)
        arrays = at_most(arrays, count, scores.cpu().numpy())
    viewer_html.write(path, arrays, cameras, title=path.resolve().parent.name, background=background)
    return note

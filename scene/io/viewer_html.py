"""viewer.html: Gaussians and the cameras that saw them in one file, which any browser opens from the disk.

The viewer is PlayCanvas' SuperSplat (scene/io/supersplat). Its page has one block that is to be filled, a JSON object
with the address of the scene and how to look at it.
"""

from __future__ import annotations

import base64
import html
import json
import lzma
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scene.editing import Similarity, rows, transform, transform_camera
from scene.io.page_scene import PageScene, pack
from scene.types import Camera, GaussianArrays
from scene.upright import level_rotation
from utils.errors import UserError
from utils.files import atomic_write
from utils.sampling import subsample
from utils.text import printable

VENDORED = Path(__file__).with_name("supersplat")
MEGABYTE = 1_000_000
SHOWN_CAMERAS = 25  # annotations beyond this number are refused by SuperSplat's editor
MAX_TITLE = 60  # characters of an annotation
MAX_FOV = 120.0  # degrees
MIDDLE = 0.5  # of the picture, in which the depth of what a camera looks at is taken
MIN_IN_MIDDLE = 10  # Gaussians there, or the depth is that of all
SAMPLE = 20_000  # Gaussians by which the size of a page is judged
INNER = (0.02, 0.98)  # quantiles of positions that an overview has in sight
OVERVIEW, OVERVIEW_FOV = (1280, 720), math.radians(40)  # pixels, as wide as most windows; the angle of the height
SPARE = 1.03  # those that are chosen may pack less well than the sample
# The scene stands in the page as text, since browsers limit data addresses (Firefox: 32 MB). The viewer awaits it.
SCENE = """
<script type="text/plain" id="scene">{scene}</script>
<script>
window.sceneFile = (async () => {
    const text = document.getElementById("scene").textContent, parts = [], step = 1 << 22;
    for (let at = 0; at < text.length; at += step)
        parts.push(Uint8Array.from(atob(text.slice(at, at + step)), (each) => each.charCodeAt(0)));
    const unpacked = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
    const columns = new Uint8Array(await new Response(unpacked).arrayBuffer());
    const header = {header}, count = {count}, ply = new Uint8Array(columns.length);
    ply.set(columns.subarray(0, header));
    const width = (columns.length - header) / count;
    for (let column = 0, from = header; column < width; column++)
        for (let to = header + column; to < ply.length; to += width)
            ply[to] = columns[from++];
    return new Response(ply);
})();
</script>
"""


def write(
    path: Path,
    gaussians: GaussianArrays,
    cameras: Sequence[Camera] = (),
    *,
    title: str = "",
    background: Sequence[float] = (0.0, 0.0, 0.0),
) -> None:
    """Write the page, atomically: it begins at the first camera, before `background`, (3,) in [0, 1].

    Up to 25 of the cameras are places to go to. Their mean horizon is made level. Without cameras it begins where all
    of the scene is in sight; without a title it has the file's name.
    """
    cameras = cameras or [overview(gaussians.means)]
    turn = Similarity.turn(level_rotation(cameras))
    level, moved = [transform_camera(camera, turn) for camera in cameras], transform(gaussians, turn)
    bootstrap = {
        "contentUrl": "scene.ply",  # of which the suffix counts: it is not fetched
        "settings": settings(level, moved.means, background),
    }
    page = _page(printable(title or path.stem), bootstrap, pack(moved))
    with atomic_write(path) as file:
        file.write(page.encode())


def read(path: Path) -> GaussianArrays:
    """Raises: UserError, always."""
    raise UserError(f"{path} is a page to look at, and its Gaussians are rounded; give the file that it was made of")


def overview(means: np.ndarray) -> Camera:
    """A camera that looks along z, as the first of a reconstruction often does, with most of (N, 3) means in sight."""
    low, high = (np.quantile(means, share, axis=0) if len(means) else np.zeros(3) for share in INNER)
    radius = max(float(np.linalg.norm(high - low)) / 2, float(np.finfo(np.float32).tiny))
    focal, pose = OVERVIEW[1] / 2 / math.tan(OVERVIEW_FOV / 2), np.eye(4)
    pose[:3, 3] = -(low + high) / 2 + (0, 0, radius / math.sin(OVERVIEW_FOV / 2))
    return Camera("overview", *OVERVIEW, focal, focal, OVERVIEW[0] / 2, OVERVIEW[1] / 2, pose)


def fitting_count(gaussians: GaussianArrays, megabytes: float) -> int:
    """How many of these Gaussians a page of this size, 10⁶ bytes, has room for; 0 where it has none."""
    count = len(gaussians.means)
    sample = subsample(range(count), SAMPLE)
    each = SPARE * len(pack(rows(gaussians, np.array(sample))).packed) / len(sample) * 4 / 3
    return max(0, min(count, int((megabytes * MEGABYTE - _empty_size()) / each)))


def settings(cameras: Sequence[Camera], means: np.ndarray, background: Sequence[float]) -> dict[str, Any]:
    """SuperSplat's settings.json, version 2, for level cameras that look at (N, 3) means."""
    poses = [_pose(camera, means) for camera in subsample(cameras, SHOWN_CAMERAS)]
    off = {"enabled": False}
    return {
        "version": 2,
        "tonemapping": "linear",
        "highPrecisionRendering": False,
        "background": {"color": [float(value) for value in background]},
        "postEffectSettings": {
            "sharpness": {**off, "amount": 0},
            "bloom": {**off, "intensity": 0.1, "blurLevel": 2},
            "grading": {**off, "brightness": 1, "contrast": 1, "saturation": 1, "tint": [1, 1, 1]},
            "vignette": {**off, "intensity": 0.5, "inner": 0.3, "outer": 0.75, "curvature": 1},
            "fringing": {**off, "intensity": 0.5},
        },
        "animTracks": [],
        "cameras": [{"initial": poses[0]}],
        "annotations": [
            {
                "position": pose["position"],
                "title": printable(camera.name)[-MAX_TITLE:],
                "text": f"{camera.width} × {camera.height} pixels",
                "camera": {"initial": pose},
            }
            for camera, pose in zip(subsample(cameras, SHOWN_CAMERAS), poses, strict=True)
        ],
        "startMode": "default",
    }


def _pose(camera: Camera, means: np.ndarray) -> dict[str, Any]:
    """Where the camera stands, what it turns about, and its larger angle of view, which is the viewer's.

    The viewer turns files by 180° about z, so that the y axis points up.
    """
    forward = camera.camera_from_world[2, :3]
    target = camera.center + _looked_at(camera, means) * forward
    half = max(camera.width / camera.fx, camera.height / camera.fy) / 2
    turned = np.array([-1.0, -1.0, 1.0])
    return {
        "position": (camera.center * turned).tolist(),
        "target": (target * turned).tolist(),
        "fov": min(math.degrees(2 * math.atan(half)), MAX_FOV),
    }


def _looked_at(camera: Camera, means: np.ndarray) -> float:
    """The median depth of what is in the middle of the picture, world units; 1 where nothing is in it."""
    row, column, z, inside = camera.project(means)
    margin = (1 - MIDDLE) / 2
    middle = inside & (abs(row / camera.height - 0.5) < margin) & (abs(column / camera.width - 0.5) < margin)
    seen = z[middle if middle.sum() >= MIN_IN_MIDDLE else inside]
    return float(np.median(seen)) if len(seen) else 1.0


def _page(title: str, bootstrap: dict[str, Any], scene: PageScene) -> str:
    """SuperSplat's page with everything in it. What comes from outside goes in last, so that nothing is put into it."""
    style = (VENDORED / "index.css").read_text()
    script = lzma.decompress((VENDORED / "index.js.xz").read_bytes()).decode()
    script = script.replace("//# sourceMappingURL=index.js.map", "")
    page = (VENDORED / "index.html").read_text()
    page = _filled(page, '<link rel="stylesheet" href="./index.css" />', f"<style>{style}</style>")
    page = _filled(page, "import { createViewer } from './index.js';", script)
    page = _filled(page, "contents: prefetchContent ? fetch(contentUrl) : undefined,", "contents: window.sceneFile,")
    head, block, rest = page.partition('<script type="application/json" id="sse-bootstrap">')
    _, end, rest = rest.partition("</script>")
    head = _filled(head, "<title>SuperSplat Viewer</title>", f"<title>{html.escape(title)}</title>")
    values = json.dumps(bootstrap).replace("<", "\\u003c")  # ASCII, and no tag ends the block
    loader = SCENE.replace("{header}", str(scene.header)).replace("{count}", str(scene.count))
    loader = loader.replace("{scene}", base64.b64encode(scene.packed).decode())
    return "".join([head, block, values, end, loader, rest])


def _filled(page: str, place: str, text: str) -> str:
    """The page with `text` in the one such place."""
    if page.count(place) != 1:
        raise ValueError(f"scene/io/supersplat/index.html has {place} {page.count(place)} times instead of once")
    return page.replace(place, text)


def _empty_size() -> int:
    """Bytes of the page without Gaussians; those of the settings are few."""
    return len(_page("", {}, PageScene(b"", 0, 0)))

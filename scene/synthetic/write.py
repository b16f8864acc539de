"""Writing a synthetic room as an RGB-D scene: a COLMAP model, photos, a depth camera's maps, and the truth beside it.

images/00000.png         8-bit photos
depth/00000.png          16-bit millimetres of z as a depth camera would give them, 0 unknown
sparse/0/*.txt           COLMAP's text model, one pinhole camera for each photo, points as from SfM
test_far/                views far from the path of the photos (scene.synthetic.far)
truth/depth/00000.npy    (H, W) float32, exact z of the ray through each pixel's center, metres
truth/points.ply         dense exact points of every surface that a photo shows
truth/scene.json         what made the folder: version, seed, views, size
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from scene.io.points import write_points
from scene.readers.colmap import write_model
from scene.synthetic.far import write_far
from scene.synthetic.lighting import Lighting, quality_for
from scene.synthetic.points import sample_points
from scene.synthetic.render import Picture, Renderer
from scene.synthetic.room import VERSION
from scene.synthetic.rooms import ROOMS
from scene.types import Camera
from utils.console import progress
from utils.cores import usable_cores
from utils.errors import UserError
from utils.files import write_json

MAKER = "scene.synthetic"
MARK = Path("truth") / "scene.json"
SPARSE_POINTS, DENSE_POINTS = 8_000, 400_000
LEAST = {"views": 2, "test_views": 1, "width": 16, "height": 16, "seed": 0}
POINTS_PER_PIXEL = 0.12  # of SfM points, at most: small pictures give fewer


def write_scene(
    folder: Path,
    views: int = 60,
    width: int = 480,
    height: int = 360,
    seed: int = 0,
    far_views: bool = False,
    quiet: bool = False,
    room: str = "room",
) -> None:
    """Make the scene in `folder`, which is replaced if this function made it, and otherwise must be empty or missing.

    `room`: one of `scene.synthetic.rooms.ROOMS`. `far_views` adds test_far/ (scene.synthetic.far). The same arguments
    give the same bytes. Raises: UserError for sizes that make no scene, and for foreign folders.
    """
    check_sizes(views=views, width=width, height=height, seed=seed)
    replace_folder(folder, lambda building: _write_into(building, room, views, width, height, seed, far_views, quiet))


def check_sizes(**sizes: int) -> None:
    """UserError for a size that makes no scene."""
    for name, value in sizes.items():
        if value < LEAST[name]:
            raise UserError(f"--{name} is {value}; it must be at least {LEAST[name]}")


def replace_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Make `folder` by `write`, whole or not at all. UserError where it holds what no function here has made."""
    _refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        write(building)
        building.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _refuse_foreign(folder: Path) -> None:
    if folder.is_dir():
        if any(folder.iterdir()) and not _is_ours(folder / MARK):
            raise UserError(f"{folder} is not empty and was not made by {MAKER}; name a new folder or an empty one")
    elif folder.exists():
        raise UserError(f"{folder} is a file; name a new folder or an empty one")


def _is_ours(mark: Path) -> bool:
    try:
        return bool(json.loads(mark.read_text())["maker"] == MAKER)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_into(
    folder: Path, name: str, views: int, width: int, height: int, seed: int, far_views: bool, quiet: bool
) -> None:
    workers = usable_cores()
    kind = ROOMS[name]
    room = kind.build(seed)
    renderer = Renderer(room.solids, Lighting(room, quality_for(width), workers))
    cameras = kind.cameras(views, width, height, seed)
    far_cameras = kind.far_cameras(width, height) if far_views else []
    for part in ("images", "depth", "truth/depth"):
        (folder / part).mkdir(parents=True)
    with ThreadPoolExecutor(workers) as pool:
        every = [*cameras, *far_cameras]
        work = pool.map(renderer.render, every)
        rendered = list(progress(work, f"rendering the synthetic scene, {width} × {height}", len(every), quiet))
    pictures, far_pictures = rendered[:views], rendered[views:]
    for number, (camera, picture) in enumerate(zip(cameras, pictures, strict=True)):
        _write_view(folder, camera, picture, kind.sense(picture, room.solids, camera.fx, seed + 1000 * number))
    if far_views:
        write_far(folder, (far_cameras, far_pictures), (cameras, pictures))
    _write_points(folder, cameras, pictures, seed)
    made_by = {"maker": MAKER, "scene": name, "version": VERSION, "seed": seed}
    write_json(folder / MARK, {**made_by, "views": views, "width": width, "height": height})


def _write_view(folder: Path, camera: Camera, picture: Picture, sensed: np.ndarray) -> None:
    """The photo, what a depth camera would say, and the exact depth."""
    color = np.round(picture.color * 255).astype(np.uint8)
    write_png(folder / "images" / camera.name, color[..., ::-1])
    write_png(folder / "depth" / camera.name, sensed)
    np.save((folder / "truth" / "depth" / camera.name).with_suffix(".npy"), picture.depth.astype(np.float32))


def write_png(path: Path, pixels: np.ndarray) -> None:
    if not cv2.imwrite(str(path), pixels):
        raise UserError(f"{path} could not be written")


def _write_points(folder: Path, cameras: Sequence[Camera], pictures: Sequence[Picture], seed: int) -> None:
    pixels = sum(picture.depth.size for picture in pictures)
    sparse = sample_points(cameras, pictures, min(SPARSE_POINTS, int(POINTS_PER_PIXEL * pixels)), 2, seed, noisy=True)
    write_model(folder / "sparse" / "0", cameras, sparse)
    dense = sample_points(cameras, pictures, min(DENSE_POINTS, pixels), 1, seed)
    write_points(folder / "truth" / "points.ply", dense)

"""Writing the scenes in the open: the object as Blender's NeRF scenes are laid out, the outdoors as COLMAP's.

object:   train/r_0.png, test/r_0.png (8-bit RGBA, not premultiplied), transforms_train.json, transforms_test.json
outdoor:  images/00000.png, sparse/0/*.txt with points on the foreground alone
both:     truth/scene.json: what made the folder
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from scene.readers.colmap import write_model
from scene.synthetic import still_life
from scene.synthetic.daylight import OpenAir, OpenPicture, cloudy_sky
from scene.synthetic.outdoors import MIDDLE, cameras_outdoors, outdoors
from scene.synthetic.plan import WORLD_FROM_ROOM, to_world
from scene.synthetic.points import sample_points
from scene.synthetic.render import Picture
from scene.synthetic.write import MAKER, MARK, check_sizes, replace_folder, write_png
from scene.types import Camera, PointCloud
from utils.console import progress
from utils.cores import usable_cores
from utils.files import write_json

VERSION = 1  # raised whenever what a seed makes changes
OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
FOREGROUND = 5.0  # metres from the middle of the things: points are given up to there
SKY_DEPTH = 1e6  # metres
POINTS = 12_000
TEST_SEED = 1_000  # added to the seed: test cameras stand elsewhere


def write_object(
    folder: Path, views: int = 90, test_views: int = 10, size: int = 400, seed: int = 0, quiet: bool = False
) -> None:
    """Make the object scene in `folder`, as `write_scene` makes the room. `size`: of the square pictures, pixels."""
    check_sizes(views=views, test_views=test_views, width=size, seed=seed)

    def write(building: Path) -> None:
        for part, count, own in (("train", views, seed), ("test", test_views, seed + TEST_SEED)):
            cameras = still_life.cameras_around(count, size, size, own, part)
            pictures = _render(OpenAir(still_life.solids(seed)), cameras, f"rendering the object, {part}", quiet)
            (building / part).mkdir()
            for camera, picture in zip(cameras, pictures, strict=True):
                rgba = np.dstack([picture.color[..., ::-1], picture.alpha])
                write_png(building / camera.name, np.round(rgba * 255).astype(np.uint8))
            write_json(building / f"transforms_{part}.json", _transforms(cameras))
        _mark(building, "object", seed=seed, views=views, test_views=test_views, size=size)

    replace_folder(folder, write)


def write_outdoor(
    folder: Path, views: int = 60, width: int = 480, height: int = 320, seed: int = 0, quiet: bool = False
) -> None:
    """Make the outdoor scene in `folder`, as `write_scene` makes the room."""
    check_sizes(views=views, width=width, height=height, seed=seed)

    def write(building: Path) -> None:
        cameras = cameras_outdoors(views, width, height, seed)
        pictures = _render(OpenAir(outdoors(seed), cloudy_sky), cameras, "rendering the outdoor scene", quiet)
        (building / "images").mkdir()
        for camera, picture in zip(cameras, pictures, strict=True):
            write_png(building / "images" / camera.name, np.round(picture.color[..., ::-1] * 255).astype(np.uint8))
        write_model(building / "sparse" / "0", cameras, _foreground_points(cameras, pictures, seed))
        _mark(building, "outdoor", seed=seed, views=views, width=width, height=height)

    replace_folder(folder, write)


def _render(renderer: OpenAir, cameras: Sequence[Camera], text: str, quiet: bool) -> list[OpenPicture]:
    with ThreadPoolExecutor(usable_cores()) as pool:
        return list(progress(pool.map(renderer.render, cameras), text, len(cameras), quiet))


def _transforms(cameras: Sequence[Camera]) -> dict[str, object]:
    """The content of a transforms file: z up, the object's middle at the origin, OpenGL's camera axes."""
    frames = []
    for camera in cameras:
        pose = np.linalg.inv(camera.camera_from_world @ WORLD_FROM_ROOM) @ OPENGL_FROM_OPENCV
        pose[:3, 3] -= still_life.MIDDLE
        frames.append({"file_path": f"./{camera.name.removesuffix('.png')}", "transform_matrix": pose.tolist()})
    return {"camera_angle_x": still_life.FIELD_OF_VIEW, "frames": frames}


def _foreground_points(cameras: Sequence[Camera], pictures: Sequence[OpenPicture], seed: int) -> PointCloud:
    """Points as SfM finds them, of what is near: the lawn's edge, trees, houses and hills are left without."""
    seen = [
        Picture(
            each.color,
            np.where(np.isfinite(each.depth), each.depth, SKY_DEPTH),
            np.ones(each.depth.shape, np.float32),
            np.zeros(each.depth.shape, np.int32),
        )
        for each in pictures
    ]
    points = sample_points(cameras, seen, POINTS, 2, seed, noisy=True)
    near = np.linalg.norm(points.positions - to_world(MIDDLE), axis=1) < FOREGROUND
    return PointCloud(points.positions[near], points.colors[near])


def _mark(folder: Path, scene: str, **made_by: int) -> None:
    (folder / MARK).parent.mkdir()
    write_json(folder / MARK, {"maker": MAKER, "scene": scene, "version": VERSION, **made_by})

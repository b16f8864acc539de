"""Datasets: `load_scene` recognises one by what it contains and returns a `Scene`, whatever its format."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from scene import colmap, lenses
from scene.depth_folder import IGNORED, find_folder, find_maps
from scene.depth_units import Depths, attach_depth
from scene.fuse_points import add_fused
from scene.images import resized
from scene.ply import read_points
from scene.transforms import Frame, read_transforms
from scene.types import Camera, PointCloud, Scene, Undistortion, View
from utils.errors import UserError

TEST_EVERY = 8
RANDOM_POINTS = 20_000  # that a scene without points starts from
NAMED_AT_MOST = 5  # missing files that the summary names
NO_POINTS = PointCloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))


@dataclass(frozen=True)
class Request:
    """What load_scene is asked for, as its arguments say it."""

    images: str
    depths: str
    depth_scale: float | None
    resolution: int
    eval_split: bool
    test_images: Sequence[str]
    grey: float  # behind transparent pixels of renderings


def load_scene(
    source: Path | str,
    *,
    images: str = "images",
    depths: str = "",
    depth_scale: float | None = None,
    resolution: int = -1,
    eval_split: bool = False,
    test_images: Sequence[str] = (),
    white_background: bool = False,
) -> Scene:
    """Read a dataset: a COLMAP model (`sparse/0` or `sparse`) beside `images`, or a transforms.json.

    Args:
        source: the dataset's folder, which is only read.
        images: the folder of the photos in it, for a COLMAP model.
        depths: the folder of the depth maps in it; "": what the scene itself lists, or else `depth` or `depths`;
            "none": depth is ignored.
        depth_scale: world units of a step of the depth maps; None: found out (scene.depth_units).
        resolution: as `-r` has it (scene.images.resized).
        eval_split: every 8th photo by name is a test view; a scene that comes with test views has those.
        test_images: names or stems of the photos that are test views instead.
        white_background: what is behind transparent pixels of renderings: white, else black.

    Raises: UserError for what is not a dataset, or not a whole one.
    """
    source = Path(source)
    if not source.is_dir():
        raise UserError(f"the dataset folder {source} is not there")
    if depth_scale is not None and not 0 < depth_scale < np.inf:
        raise UserError(f"the scale of the depth maps is {depth_scale}; it must be above 0: world units of a step")
    grey = 1.0 if white_background else 0.0
    request = Request(images, depths, depth_scale, resolution, eval_split, test_images, grey)
    if (model_folder := colmap.find_model(source)) is not None:
        return _colmap_scene(source, model_folder, request)
    if (source / "transforms.json").is_file():
        return _transforms_scene(source, ["transforms.json"], request)
    if (source / "transforms_train.json").is_file():
        files = [name for name in ("transforms_train.json", "transforms_test.json") if (source / name).is_file()]
        return _transforms_scene(source, files, request)
    found = ", ".join(sorted(path.name for path in source.iterdir())[:8]) or "nothing"
    raise UserError(
        f"{source} is no dataset: it needs sparse/0 with cameras, images and points3D (COLMAP), transforms.json or "
        f"transforms_train.json; it has {found}"
    )


# ---- COLMAP


def _colmap_scene(source: Path, folder: Path, request: Request) -> Scene:
    model = colmap.read_model(folder)
    image_folder = source / request.images
    if not image_folder.is_dir():
        raise UserError(f"the image folder {image_folder} is not there; -i names another")
    views, missing = [], []
    for image in model.images:
        path = image_folder / image.name
        if path.is_file():
            mask = _mask_beside(image_folder, image.name)
            views.append(_view(image.name, path, mask, image.lens, image.camera_from_world, request.resolution))
        else:
            missing.append(image.name)
    if not views:
        raise UserError(f"none of the {len(missing)} photos of {folder} is in {image_folder}, such as {missing[0]}")
    tracked = any(len(image.observed) for image in model.images)
    tracks = {image.name: image.observed for image in model.images} if tracked else {}
    depths = _with_depth(source, views, {}, model.points, tracks, request.depth_scale, request)
    test = _test_names([view.camera.name for view in views], request)
    return _scene(source, "COLMAP", depths, test, model.points, missing, [])


def _mask_beside(image_folder: Path, name: str) -> Path | None:
    """`masks/<name>.png` or `masks/<name with .png>`, beside the image folder."""
    masks = image_folder.parent / "masks"
    candidates = (masks / f"{name}.png", (masks / name).with_suffix(".png"))
    return next((path for path in candidates if path.is_file()), None)


# ---- transforms.json


def _transforms_scene(source: Path, files: Sequence[str], request: Request) -> Scene:
    parts = [read_transforms(source / name) for name in files]
    frames = [frame for part in parts for frame in part.frames]
    missing = [name for part in parts for name in part.missing]
    views = [_frame_view(frame, request) for frame in frames]
    if not views:
        raise UserError(
            f"none of the {len(missing)} photos that {source / files[0]} lists is there, such as {missing[0]}"
        )
    names = [view.camera.name for view in views]
    own_test = {frame.name for frame in parts[1].frames} if len(parts) > 1 else set()
    test = own_test if own_test and not request.test_images else _test_names(names, request)
    points_path = next((part.points_path for part in parts if part.points_path), None)
    points = NO_POINTS if points_path is None else read_points(points_path)
    listed = {frame.name: frame.depth_path for frame in frames if frame.depth_path is not None}
    scale = request.depth_scale or parts[0].depth_scale
    depths = _with_depth(source, views, listed, points, {}, scale, request)
    notes = []
    if len(points) == 0 and not any(view.depth for view in depths.views):
        points = _random_points([view.camera for view in views])
        notes.append(f"no points are given, so {len(points)} random ones between the cameras are the start")
    return _scene(source, "nerfstudio" if parts[0].has_lens else "Blender", depths, test, points, missing, notes)


def _frame_view(frame: Frame, request: Request) -> View:
    pose = frame.camera_from_world
    view = _view(frame.name, frame.image_path, frame.mask_path, frame.lens, pose, request.resolution)
    return replace(view, alpha_background=request.grey)


def _random_points(cameras: Sequence[Camera]) -> PointCloud:
    """Points in a ball around where the cameras look: the point nearest to all their axes."""
    centers = np.stack([camera.center for camera in cameras])
    axes = np.stack([camera.camera_from_world[2, :3] for camera in cameras])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    middle = np.linalg.lstsq(across.sum(axis=0), (across @ centers[:, :, None]).sum(axis=0)[:, 0], rcond=1e-6)[0]
    radius = max(float(np.median(np.linalg.norm(centers - middle, axis=1))), 1e-6)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(RANDOM_POINTS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distances = radius * np.cbrt(rng.uniform(size=(RANDOM_POINTS, 1)))
    positions = (middle + directions * distances).astype(np.float32)
    return PointCloud(positions, rng.uniform(size=positions.shape).astype(np.float32))


# ---- what all formats share


def _view(
    name: str, path: Path, mask: Path | None, lens: Undistortion, camera_from_world: np.ndarray, resolution: int
) -> View:
    """A view whose camera is that of the file's pixels, undistorted and resized."""
    with Image.open(path) as image:
        width, height = image.size
    if (width, height) != (lens.width, lens.height):
        lens = lenses.rescaled(lens, width, height)
    fx, fy, cx, cy = lenses.pinhole(lens)
    new_width, new_height = resized(width, height, resolution)
    x, y = new_width / width, new_height / height
    camera = Camera(name, new_width, new_height, fx * x, fy * y, cx * x, cy * y, camera_from_world)
    return View(camera, path, mask, None if lenses.is_pinhole(lens) else lens)


def _with_depth(
    source: Path,
    views: Sequence[View],
    listed: Mapping[str, Path],
    points: PointCloud,
    tracks: Mapping[str, np.ndarray],
    scale: float | None,
    request: Request,
) -> Depths:
    """The views with the depth maps that the request names, the scene lists, or a usual folder holds."""
    if request.depths == IGNORED:
        return Depths(list(views), "", [])
    paths, warnings = dict(listed), []
    if request.depths or not listed:
        folder = find_folder(source, request.depths)
        paths = {} if folder is None else find_maps(folder, [view.camera.name for view in views])
        if folder is not None and not paths:
            stem = Path(views[0].camera.name).stem
            warnings.append(f"the depth folder {folder} has a map of no photo: there is no {stem}.png, .npy or .tiff")
    gone = [path for path in paths.values() if not path.is_file()]
    if gone:
        warnings.append(f"{len(gone)} listed depth maps are missing, such as {gone[0]}")
    paths = {name: path for name, path in paths.items() if path not in gone}
    if not paths:
        return Depths(list(views), "", warnings)
    depths = attach_depth(views, paths, points, tracks, scale)
    return replace(depths, warnings=[*warnings, *depths.warnings])


def _test_names(names: Sequence[str], request: Request) -> set[str]:
    """The photos to hold out. Raises: UserError for a name that is not there."""
    if not request.test_images:
        return set(sorted(names)[::TEST_EVERY]) if request.eval_split else set()
    chosen = set()
    for name in request.test_images:
        found = [n for n in names if name in (n, Path(n).name, Path(n).stem)]
        if not found:
            near = difflib.get_close_matches(name, [*names, *(Path(n).name for n in names)], n=3) or sorted(names)[:3]
            raise UserError(f"--test_images: there is no photo {name!r}; there are {', '.join(near)}, ...")
        chosen.update(found)
    return chosen


def _scene(
    source: Path,
    kind: str,
    depths: Depths,
    test_names: set[str],
    points: PointCloud,
    missing: Sequence[str],
    notes: Sequence[str],
) -> Scene:
    ordered = sorted(depths.views, key=lambda view: view.camera.name)
    train = tuple(view for view in ordered if view.camera.name not in test_names)
    test = tuple(view for view in ordered if view.camera.name in test_names)
    if not train:
        raise UserError(f"{source}: all {len(test)} photos are test views, and none is left to train on")
    extent = _extent(train)
    points, added = add_fused(points, train)
    notes = [*([depths.text] if depths.text else []), *([added] if added else []), *notes]
    summary = _summary(source, kind, train, test, points, extent, missing, notes)
    return Scene(source, kind, train, test, points, extent, summary, tuple(depths.warnings))


def _extent(views: Sequence[View]) -> float:
    """1.1 × the largest distance of a camera from the cameras' mean; for a single camera, 1."""
    centers = np.stack([view.camera.center for view in views])
    return 1.1 * float(np.linalg.norm(centers - centers.mean(axis=0), axis=1).max()) or 1.0


def _summary(
    source: Path,
    kind: str,
    train: Sequence[View],
    test: Sequence[View],
    points: PointCloud,
    extent: float,
    missing: Sequence[str],
    notes: Sequence[str],
) -> str:
    views = (*train, *test)
    sizes = sorted({f"{view.camera.width}×{view.camera.height}" for view in views})
    undone = sorted({view.undistortion.model for view in views if view.undistortion is not None})
    masked = sum(view.mask_path is not None for view in views)
    parts = [
        f"{source.name}: {kind}, {len(train)} training and {len(test)} test photos of {', '.join(sizes[:3])} pixels",
        f"{len(points)} points, extent {extent:.3g}",
    ]
    if undone:
        parts.append(f"lens distortion undone ({', '.join(undone)})")
    if masked:
        parts.append(f"{masked} masks")
    if missing:
        shown = ", ".join(missing[:NAMED_AT_MOST]) + (", ..." if len(missing) > NAMED_AT_MOST else "")
        parts.append(f"{len(missing)} listed photos are missing and skipped ({shown})")
    return "; ".join([*parts, *notes])

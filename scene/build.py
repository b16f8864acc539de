"""What the readers of all formats share: how photos, depth maps, points and test views become a `Scene`."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scene import camera_models
from scene.camera_models import shown_share
from scene.depth.files import IGNORED, USUAL_FOLDERS, find_folder
from scene.depth.fusion import add_fused
from scene.depth.maps import SUFFIXES
from scene.depth.r3d import require_library
from scene.depth.scale import Depths, attach_depth
from scene.extent import measure_extent
from scene.far import FOLDER, FarViews, split_far
from scene.gaussians.filled_start import add_where_none
from scene.gaussians.random_start import random_start
from scene.image_header import Header
from scene.images import resized
from scene.ledger import account
from scene.left_over import why_left
from scene.origin import about_local_origin
from scene.pairing import Pairing, pair
from scene.photo_checks import check_photos
from scene.plain_background import BLACK, WHITE, plain_background
from scene.readers.base import ParsedDataset, PosedImage
from scene.types import NO_POINTS, Camera, DepthMap, PointCloud, Scene, View
from utils.errors import UserError
from utils.files import is_file
from utils.sampling import subsample

TEST_EVERY = 8
MAX_FRAMES = 300  # of a video to train on: each stays in memory, some 2 MB, and its neighbours show nearly the same
MAX_TEST_FRAMES = 60  # where the dataset itself holds frames out
MOST_OF_IT = 0.85  # of a photo's area: where less is left of it by undoing its lens, that is said
NAMED_AT_MOST = 5  # missing files that the summary names
MOST_MISSING = 0.5  # of the listed photos: where more are missing, the dataset is probably not whole


@dataclass(frozen=True)
class Request:
    """What load_scene is asked for, as its arguments say it."""

    images: str
    depths: str
    depth_scale: float | None
    resolution: int
    eval_split: bool
    test_images: Sequence[str]
    gray: float  # behind transparent pixels of renderings
    guess_points: bool
    keep_background: bool


def make_scene(source: Path, recording: ParsedDataset, request: Request) -> Scene:
    """The scene of what a reader found in the folder `source`. Raises: UserError where nothing is left to train on."""
    if not recording.frames:
        some = f", such as {recording.missing[0]}" if recording.missing else ""
        raise UserError(f"{source}: none of the {len(recording.missing)} photos of {recording.kind} is there{some}")
    recording, origin = about_local_origin(_each_once(source, recording))
    recording, distant = split_far(source, recording, origin)
    chosen, test_names, thinned = _chosen(recording, request, distant.listed)
    whole, damaged = check_photos(chosen)
    if not whole:
        raise UserError(f"{source}: {'; '.join(damaged)}")
    depths = _with_depth(source, recording, whole, request)
    ordered = sorted(depths.views, key=lambda view: view.camera.name)
    own = _far_views(source, distant, request)
    test = tuple(view for view in ordered if view.camera.name in test_names)
    far = (*(view for view in ordered if view.camera.name in distant.listed), *own.views)
    train = tuple(view for view in ordered if view.camera.name not in test_names | distant.listed)
    if not train:
        held_out = len(test) + len(distant.listed)
        raise UserError(f"{source}: all {held_out} photos are test views, and none is left to train on")
    train, test, transparent = _before_nothing(train, test, request)
    known, unseen = _seen(recording.points, train)
    points, said, measured = _start(known, train, request.guess_points)
    none = ["no photo is held out: those that --eval chose are damaged"] if request.eval_split and not test else []
    extent, near, away = measure_extent([view.camera for view in train], measured)
    notes = [note for note in (thinned, *recording.notes, transparent, depths.text, *said) if note]
    summary = _summary(source, recording, (train, test, far), points, extent, notes)
    warnings = (
        *recording.warnings,
        *_incomplete(recording),
        *damaged,
        *none,
        *depths.warnings,
        *unseen,
        *away,
        *own.warnings,
    )
    used = _used(recording, ordered) | _used_far(distant, far)
    ledger = account(source, used, _reasons(recording, chosen, ordered, source, request), why_left)
    found = (train, test, points, extent, near, summary, warnings, ledger)
    meters = recording.meters_per_unit or (distant.own and distant.own.meters_per_unit) or depths.meters_per_unit
    where = tuple(origin.tolist())
    background = max((view.background for view in train if view.background is not None), default=request.gray)
    return Scene(
        source, recording.kind, *found, measured=measured, origin=where, far=far, meters_per_unit=meters,
        background=background,
    )  # fmt: skip


# ---- which photos


def _incomplete(recording: ParsedDataset) -> list[str]:
    """A warning about a dataset most of whose photos are elsewhere."""
    missing, listed = len(recording.missing), len(recording.missing) + len(recording.frames)
    if missing <= MOST_MISSING * listed:
        return []
    return [f"{missing} of {listed} listed photos are missing, such as {recording.missing[0]}: is the dataset whole?"]


def _each_once(source: Path, recording: ParsedDataset) -> ParsedDataset:
    """The dataset with each photo once. Raises: UserError for one that is given to two cameras."""
    kept: dict[Path, PosedImage] = {}
    for frame in recording.frames:
        other = kept.setdefault(frame.image_path, frame)
        if other is not frame and not (
            other.lens == frame.lens and np.array_equal(other.camera_from_world, frame.camera_from_world)
        ):
            raise UserError(f"{source}: the photo {frame.image_path} is listed twice, with different cameras")
    again = len(recording.frames) - len(kept)
    notes = (*recording.notes, *([f"{again} photos are listed twice, and used once"] if again else []))
    return replace(recording, frames=tuple(kept.values()), notes=notes)


def _chosen(recording: ParsedDataset, request: Request, far: frozenset[str]) -> tuple[list[PosedImage], set[str], str]:
    """The frames to use, the names of those to hold out, and what is to be said of frames that are not used. Those of
    the names `far` are used, and no test views."""
    distant = [frame for frame in recording.frames if frame.name in far]
    everything = [frame for frame in recording.frames if frame.name not in far]
    most = (MAX_FRAMES, MAX_TEST_FRAMES) if recording.is_video else (len(everything),) * 2
    test = _named(everything, request.test_images) or set(recording.test - far)
    if not test:
        frames = subsample(everything, most[0])
        test = set(sorted(frame.name for frame in frames)[::TEST_EVERY]) if request.eval_split else set()
    else:
        held_out = [frame for frame in everything if frame.name in test]
        kept = held_out if request.test_images else subsample(held_out, most[1])
        frames = [*subsample([frame for frame in everything if frame.name not in test], most[0]), *kept]
    if len(frames) == len(everything):
        return [*frames, *distant], test, ""
    return [*frames, *distant], test, f"{len(frames):,} of its {len(everything):,} frames are used, evenly spread"


def _named(frames: Sequence[PosedImage], wanted: Sequence[str]) -> set[str]:
    """The photos that are asked for as test views. Raises: UserError for a name that is not there."""
    names, chosen = [frame.name for frame in frames], set()
    for name in wanted:
        found = [n for n in names if name in (n, Path(n).name, Path(n).stem)]
        if not found:
            near = difflib.get_close_matches(name, [*names, *(Path(n).name for n in names)], n=3) or sorted(names)[:3]
            raise UserError(f"--test_images: there is no photo {name!r}; there are {', '.join(near)}, ...")
        chosen.update(found)
    return chosen


def _view(frame: PosedImage, header: Header, request: Request, transparent: bool) -> View:
    """A view whose camera is that of the file's pixels, undistorted and resized."""
    lens = frame.lens
    width, height = header.width, header.height
    transparent = transparent and header.has_alpha
    if (width, height) != (lens.width, lens.height):
        lens = camera_models.rescaled(lens, width, height)
    try:
        fx, fy, cx, cy = camera_models.pinhole(lens)
    except UserError as error:
        raise UserError(f"{frame.image_path}: {error}") from None
    camera = Camera(frame.name, width, height, fx, fy, cx, cy, frame.camera_from_world)
    camera = camera.resized(*resized(width, height, request.resolution))
    bent = None if camera_models.is_pinhole(lens) else lens
    background = request.gray if transparent else None
    return View(camera, frame.image_path, frame.mask_path, bent, background, orientation=header.orientation)


def _before_nothing(
    train: tuple[View, ...], test: tuple[View, ...], request: Request
) -> tuple[tuple[View, ...], tuple[View, ...], str]:
    """Training and test views with the background that all photos share taken for transparent, and a note of it. Test
    photos remain what they are, unless another background is asked for."""
    plain = None if request.keep_background else plain_background(train)
    if plain is None:
        return train, test, ""
    gray = 1.0 if plain.color == WHITE else request.gray
    train = tuple(replace(view, plain=plain, background=gray) for view in train)
    if plain.color != (gray,) * 3:
        test = tuple(replace(view, plain=plain, background=gray) for view in test)
    name = {WHITE: "white", BLACK: "black"}.get(
        plain.color, f"({', '.join(f'{255 * each:.0f}' for each in plain.color)})"
    )
    text = f"the plain background of the photos, {name}, is taken for transparent (--keep_background: for a surface)"
    return train, test, text


# ---- their depth, and the points to start from


def _with_depth(
    source: Path, recording: ParsedDataset, photos: Sequence[tuple[PosedImage, Header]], request: Request
) -> Depths:
    """The views with the depth maps that the request names, the scene lists, or a usual folder holds."""
    views = [_view(frame, header, request, recording.is_transparent) for frame, header in photos]
    frames = [frame for frame, _ in photos]
    if request.depths == IGNORED:
        return Depths(views, "", [])
    scale, warnings = request.depth_scale or recording.depth_scale, []
    listed = [frame for frame in frames if frame.depth_path is not None]
    maps = {
        f.name: DepthMap(f.depth_path, scale or 1.0, camera=f.depth_camera, confidence=f.confidence)
        for f in listed
        if f.depth_path
    }
    if request.depths or not listed:
        folder = find_folder(source, request.depths)
        found, contested = pair(folder, [frame.name for frame in frames], SUFFIXES) if folder else Pairing({}, [])
        warnings += contested
        maps = {name: DepthMap(path, 1.0) for name, path in found.items()}
        scale = request.depth_scale
        if folder is not None and not found and not contested:
            stem = Path(frames[0].name).stem
            warnings.append(f"the depth folder {folder} has a map of no photo: there is no {stem}{', '.join(SUFFIXES)}")
    twice = _given_twice(maps)
    if twice:
        raise UserError(f"{source}: the depth map {twice} is given to two photos")
    gone = {name: found.path for name, found in maps.items() if not is_file(found.path)}
    if gone:
        warnings.append(f"{len(gone)} listed depth maps are missing, such as {next(iter(gone.values()))}")
    maps = {name: found for name, found in maps.items() if name not in gone}
    if not maps:
        return Depths(views, "", warnings)
    for each in maps.values():
        require_library(each.path)  # without it all would be left out, one by one
    depths = attach_depth(views, maps, recording.points, recording.tracks, scale)
    return replace(depths, warnings=[*warnings, *depths.warnings])


def _far_views(source: Path, far: FarViews, request: Request) -> Depths:
    """The views of the far dataset. They are only measured: its own depth maps are read, whatever -d says."""
    if far.own is None:
        return Depths([], "", [])
    whole, damaged = check_photos(far.own.frames)
    found = _with_depth(source / FOLDER, far.own, whole, replace(request, depths="", depth_scale=None))
    ordered = sorted(found.views, key=lambda view: view.camera.name)
    return replace(found, views=ordered, warnings=[*damaged, *found.warnings])


def _given_twice(maps: Mapping[str, DepthMap]) -> Path | None:
    """A file that several photos have for their depth, if there is one: they do not see the same."""
    counts = Counter(found.path for found in maps.values())
    return next((path for path, count in counts.items() if count > 1), None)


def _seen(points: PointCloud, train: Sequence[View]) -> tuple[PointCloud, list[str]]:
    """The points, or none and a warning where no training camera has any of them in its picture."""
    if not len(points) or any(view.camera.project(points.positions)[3].any() for view in train):
        return points, []
    return NO_POINTS, [
        f"none of the {len(points):,} points is in the picture of any training camera: they are of another scene, or "
        "in other coordinates, and are not used"
    ]


def _start(points: PointCloud, train: Sequence[View], guess: bool) -> tuple[PointCloud, list[str], PointCloud]:
    """The points to start from, what is to be said of them, and those of them that are measured."""
    measured, fused = add_fused(points, train)
    if not len(measured):
        random, said = random_start(train)
        return random, [said], measured
    filled, guessed = add_where_none(measured, train) if guess else (measured, "")
    return filled, [fused, guessed], measured


# ---- what became of the files


def _used(recording: ParsedDataset, views: Sequence[View]) -> dict[Path, str]:
    """What each file is that is used."""
    maps = {view.depth.path: "depth map" for view in views if view.depth is not None}
    sure = {view.depth.confidence.path: "confidence map" for view in views if view.depth and view.depth.confidence}
    masks = {view.mask_path: "mask" for view in views if view.mask_path is not None}
    photos = {view.image_path: "photo" for view in views}
    return dict.fromkeys(recording.files, f"{recording.kind} file") | sure | maps | masks | photos


def _used_far(far: FarViews, views: Sequence[View]) -> dict[Path, str]:
    """The same for far views."""
    of_views = {path: f"far {what}" for path, what in _used(ParsedDataset("", ()), views).items()}
    return dict.fromkeys(far.files, "file of far views") | of_views


def _reasons(
    recording: ParsedDataset, chosen: Sequence[PosedImage], views: Sequence[View], source: Path, request: Request
) -> dict[Path, str]:
    """Why files, or all files of a folder, are not used."""
    depth = "-d none" if request.depths == IGNORED else "the depth map of no photo that is used"
    folders = {source / name: depth for name in (*USUAL_FOLDERS, request.depths) if name not in ("", IGNORED)}
    folders |= {source / "masks": "the mask of no photo that is used"}
    used = {view.image_path for view in views}
    thinned = {frame.image_path: "a part of the frames is enough" for frame in recording.frames}
    damaged = {frame.image_path: "damaged" for frame in chosen if frame.image_path not in used}
    has_depth = {view.depth.path for view in views if view.depth is not None}
    maps = {frame.depth_path: depth for frame in recording.frames if frame.depth_path not in (None, *has_depth)}
    return folders | dict(recording.unused) | {path: why for path, why in maps.items() if path} | thinned | damaged


# ---- the whole


def _summary(
    source: Path,
    recording: ParsedDataset,
    split: tuple[Sequence[View], Sequence[View], Sequence[View]],
    points: PointCloud,
    extent: float,
    notes: Sequence[str],
) -> str:
    (train, test, far), missing = split, recording.missing
    views = (*train, *test)
    sizes = sorted({f"{view.camera.width}×{view.camera.height}" for view in views})
    undone = sorted({view.camera_model.model for view in views if view.camera_model is not None})
    masked = sum(view.mask_path is not None for view in views)
    count = f"{len(train)} training and {len(test)} test photos" + (f" (and {len(far)} far ones)" if far else "")
    parts = [
        f"{source.name}: {recording.kind}, {count} of {', '.join(sizes[:3])} pixels",
        f"{len(points):,} points, extent {extent:.3g}",
    ]
    if undone:
        parts.append(f"lens distortion undone ({', '.join(undone)})")
    cropped = min((shown_share(view.camera_model) for view in views if view.camera_model is not None), default=1.0)
    if cropped < MOST_OF_IT:
        parts.append(f"the rim of wide photos is cropped: {100 * cropped:.0f} % of their area is used, undistorted")
    if masked:
        parts.append(f"{masked} masks")
    if missing:
        shown = ", ".join(missing[:NAMED_AT_MOST]) + (", ..." if len(missing) > NAMED_AT_MOST else "")
        parts.append(f"{len(missing)} listed photos are missing and skipped ({shown})")
    return "; ".join([*parts, *notes])

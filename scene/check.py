"""The doctor for datasets: python -m scene.check <dataset> says what training would use, and what looks wrong."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from scene import load_scene
from scene.extent import camera_spacing
from scene.images import load_image
from scene.loading.contents import damaged
from scene.photo_agreement import compare_pairs
from scene.readers.base import ReadOptions
from scene.types import Scene, View
from utils.console import run_script, say
from utils.errors import UserError
from utils.sampling import subsample
from utils.text import count_text

LOOKED_AT = 60  # photos whose brightness and sharpness are measured
STOPS = 1.0  # of brightness by which a photo may differ from the median one
BLURRED = 0.2  # of the median photo's sharpness: less is named
DARK = 0.1  # of white: where no photo is brighter, that is named
DISAGREE = 0.005  # of the width of the photos, by which matches may miss their epipolar lines
NAMED_AT_MOST = 5


def report(scene: Scene) -> list[str]:
    """What is found, a line each; those that begin with "warning: " are probably not as they should be."""
    faults = damaged((*scene.train, *scene.test))
    views = [view for view in (*scene.train, *scene.test) if view.camera.name not in faults]
    if not views:
        raise UserError(f"none of {len(faults)} photos can be decoded: {next(iter(faults.values()))}")
    return [
        scene.summary,
        scene.ledger.said(len(scene.ledger.unused)),
        _cameras_line(scene),
        *_poses(views, scene.extent),
        *_photos(subsample(views, LOOKED_AT)),
        *(f"warning: {warning}" for warning in scene.warnings),
        *(f"warning: {fault}" for fault in faults.values()),
    ]


def _cameras_line(scene: Scene) -> str:
    cameras = [view.camera for view in (*scene.train, *scene.test)]
    lengths = f"extent {scene.extent:.3g}, near plane {scene.near:.3g}, in scene units"
    return f"Cameras: {len(cameras)}, {camera_spacing(cameras):.3g} from one to the nearest other (median), {lengths}"


def _poses(views: Sequence[View], extent: float) -> list[str]:
    """Whether photos show what their poses say."""
    pairs = compare_pairs(views, extent)
    if not pairs:
        return ["Poses and photos were not compared: no two neighbors share enough features"]
    error = float(np.median([pair.error for pair in pairs]))
    worst = max(pairs, key=lambda pair: pair.error)
    matches = sum(pair.matches for pair in pairs)
    said = f"{error:.2g} px (epipolar distance, {matches:,} matches in {len(pairs)} pairs; worst {worst.error:.2g} px: "
    said += f"{' and '.join(worst.names)})"
    limit = max(2.0, DISAGREE * views[0].camera.width)
    if error <= limit:
        return [f"Poses and photos agree to {said}"]
    return [
        f"warning: poses and photos disagree by {said}: photos, poses or intrinsics are inexact, or not of one scene"
    ]


def _photos(views: Sequence[View]) -> list[str]:
    """Brightness and sharpness, against the median photo's."""
    looks = [_look(view) for view in views]
    grays, names = [look.gray for look in looks], [view.camera.name for view in views]
    stops = np.log2([max(float(gray.mean()), 1.0) for gray in grays])
    stops -= np.median(stops)
    sharpness = np.array([cv2.Laplacian(gray, cv2.CV_32F).var() for gray in grays])
    lines = [f"Photos: {abs(stops.min()):.1f} stops darker to {stops.max():.1f} stops brighter than the median one"]
    brightest = max(int(gray.max()) for gray in grays) / 255
    if brightest < DARK:
        lines.append(
            f"warning: no photo is brighter than {100 * brightest:.0f} % of white: are there fewer bits in their files?"
        )
    hidden = [name for name, look in zip(names, looks, strict=True) if look.is_hidden]
    uneven = [names[index] for index in np.flatnonzero(np.abs(stops) > STOPS)]
    blurred = [names[index] for index in np.flatnonzero(sharpness < BLURRED * np.median(sharpness))]
    for what, found in (
        (f"over {STOPS:g} stop darker or brighter than the median one", uneven),
        (f"blurred, less than {100 * BLURRED:g} % as sharp as the median one", blurred),
        ("hidden by their masks", hidden),
    ):
        if found:
            more = ", ..." if len(found) > NAMED_AT_MOST else ""
            are = "photo is" if len(found) == 1 else "photos are"
            lines.append(f"warning: {len(found)} {are} {what}: {', '.join(found[:NAMED_AT_MOST])}{more}")
    return lines


class _Look(NamedTuple):
    gray: np.ndarray  # (H, W) uint8, 400 pixels wide at most, so that photos of any size compare
    is_hidden: bool  # whether its mask leaves no pixel


def _look(view: View) -> _Look:
    photo = load_image(view)
    color = np.round(255 * photo.color.transpose(1, 2, 0)).astype(np.uint8)
    gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    factor = min(1.0, 400 / gray.shape[1])
    if factor < 1:
        gray = cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return _Look(gray, photo.mask is not None and not photo.mask.any())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scene.check", description=__doc__)
    parser.add_argument("source", type=Path, help="the dataset: its folder, a video or a zip")
    parser.add_argument(
        "-m", "--model_path", type=Path, help="keeps the poses of photos, the frames of a video (default: nothing does)"
    )
    parser.add_argument("--frames", type=int, default=ReadOptions.frames, help="frames that are taken of a video")
    parser.add_argument("-i", "--images", default="images", help="the folder of the photos in it")
    parser.add_argument("-d", "--depths", default="", help='the folder of the depth maps in it; "none": ignored')
    parser.add_argument("--depth_scale", type=float, help="world units of a step of the depth maps")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as nowhere:
        scene = load_scene(
            options.source,
            images=options.images,
            depths=options.depths,
            depth_scale=options.depth_scale,
            workspace=options.model_path or Path(nowhere),
            frames=options.frames,
            quiet=False,
        )
        lines = report(scene)
    for line in lines:
        say(line)
    found = sum(line.startswith("warning: ") for line in lines)
    say(count_text(found, "warning") if found else "nothing looks wrong")


if __name__ == "__main__":
    run_script(main)

"""What the numbers of depth maps mean, decided by evidence: the depths of the scene's points at the same pixels.

A unit is recognised where it makes the maps agree with the points, whatever unit the cameras are in; if none does and
the maps agree with each other, their common ratio is the scale. Inverse depth of monocular networks is recognised by
falling where the points' depth rises, and each map is fitted to the points by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scene.depth import is_usable, z_of
from scene.depth_evidence import Look, look_at
from scene.types import DepthMap, PointCloud, View

AGREES = 1.25  # a ratio of depths up to this, or down to its inverse, counts as agreement
EXACT = 1.05  # a ratio up to this is noise of points and sensor: the unit's round scale is taken
COMMON = 0.05  # median absolute deviation, in logarithms, of ratios that are one ratio
INVERSE_SCALES = 5.0  # a monocular map's scale differs from the median one by at most this factor
FALLING = -0.3  # rank correlation of numbers and depths from which on numbers are inverse depths
NAMED_AT_MOST = 3  # files in a warning


@dataclass(frozen=True)
class Depths:
    """The views with their depth, and what is to be said of it."""

    views: list[View]
    text: str  # for the summary; "" without any
    warnings: list[str]


@dataclass(frozen=True)
class Unit:
    name: str
    scale: float  # of a stored step, in world units
    world: str = "m"  # unit of the world then


UNITS = (
    Unit("mm", 1 / 1000),
    Unit("scene units", 1.0, "scene units"),
    Unit("cm", 1 / 100),
    Unit("0.1 mm", 1 / 10_000),
    Unit("TUM's 1/5000 m", 1 / 5000),
    Unit("Replica's 1/6553.5 m", 1 / 6553.5),
    Unit("KITTI's 1/256 m", 1 / 256),
)
MM = UNITS[0]


@dataclass(frozen=True)
class Meaning:
    """Of the numbers of all maps together."""

    unit: str  # for people
    scale: float
    world: str  # unit of depths in the world
    warning: str = ""


def attach_depth(
    views: Sequence[View],
    paths: Mapping[str, Path],
    points: PointCloud,
    tracks: Mapping[str, np.ndarray],
    scale: float | None = None,
) -> Depths:
    """Give views the depth maps `paths` (by camera name), once it is known what their numbers mean.

    Args:
        points: of the scene, the evidence; empty if there is none.
        tracks: by camera name, which of the points it was found to see; without, that is guessed.
        scale: world units of a stored step, if that is known; then points only check it.

    A map that cannot be used, or that disagrees with the points where others agree, is left out with a warning.
    """
    with ThreadPoolExecutor() as pool:
        seen = [view for view in views if view.camera.name in paths]
        found = list(pool.map(lambda v: look_at(v, paths[v.camera.name], points, tracks.get(v.camera.name)), seen))
    unusable = [f"the depth map {look.path} {look.problem}: it is not used" for look in found if look.problem]
    looks = [look for look in found if not look.problem]
    warnings = [*_few(unusable), *_few_bits(looks)]
    telling = [look for look in looks if look.tells]
    if not telling and scale is None:
        looks = [look for look in looks if look.dtype != np.uint8]  # of which no unit is usual
    if scale is None and telling and np.median([look.rank_correlation for look in telling]) < FALLING:
        maps, refused = _fit_inverse(looks)
        meaning = Meaning("inverse depth fitted to the points", 1.0, "scene units")
    else:
        meaning = _meaning(looks, telling, scale)
        maps, refused = _scaled(looks, telling, meaning.scale)
    warnings += [*([meaning.warning] if meaning.warning else []), *_few(refused)]
    attached = [replace(view, depth=maps.get(view.camera.name)) for view in views]
    return Depths(attached, _summary(looks, maps, len(views), meaning), warnings)


# ---- depth of a sensor


def _few_bits(looks: Sequence[Look]) -> list[str]:
    coarse = [look.path for look in looks if look.dtype == np.uint8]
    if not coarse:
        return []
    return [f"{_named(coarse)} with 8 bits a pixel: 255 steps are too few for depth; write 16-bit PNG or float32 npy"]


def _meaning(looks: Sequence[Look], telling: Sequence[Look], given: float | None) -> Meaning:
    """The scale that all maps share: as given, of a known unit that the points agree with, or what the points say."""
    if not telling:
        return _unchecked(looks, given)
    files = _named([look.path for look in looks])
    scales = np.array([look.log_scale for look in telling])
    common, spread = np.median(scales), np.median(np.abs(scales - np.median(scales)))
    measured = float(np.exp(common))
    if given is not None:
        off = given / measured
        warning = f"{files}: with the given scale depths are {off:.3g} × those of the scene's points"
        return Meaning(_steps(given), given, "scene units", "" if _agrees(off) else warning)
    unit = min(UNITS, key=lambda each: abs(np.log(each.scale) - common))
    off = measured / unit.scale
    if spread > COMMON:
        warning = f"{files}: depths disagree with the scene's points, and not all by the same factor"
        scale = unit.scale if _agrees(off) else measured
        return Meaning(_steps(scale), scale, "scene units", warning)
    if 1 / EXACT <= off <= EXACT:
        return Meaning(unit.name, unit.scale, unit.world)
    if _agrees(off):
        warning = (
            f"{files}: in {unit.name} depths are {1 / off:.3g} × those of the scene's points, and are scaled to agree"
        )
        return Meaning(f"{unit.name} × {off:.4g}", measured, "scene units", warning)
    warning = (
        f"{files}: in no known unit do depths agree with the scene's points (in millimetres they are "
        f"{MM.scale / measured:.3g} × as deep); they agree with each other, so {_steps(measured)} is taken, which is "
        "right for points of arbitrary scale, as SfM's, and wrong if the maps belong to another scene"
    )
    return Meaning(_steps(measured), measured, "scene units", warning)


def _unchecked(looks: Sequence[Look], given: float | None) -> Meaning:
    """Without points to compare with: as given, or what is usual."""
    if given is not None:
        return Meaning(_steps(given), given, "scene units")
    if not looks or looks[0].dtype == np.float32:
        return Meaning("scene units", 1.0, "scene units")
    warning = (
        f"{_named([look.path for look in looks])}: too few points of the scene are seen to tell the unit of depth, "
        "which is taken to be millimetres in a world of metres"
    )
    return Meaning(MM.name, MM.scale, MM.world, warning)


def _scaled(looks: Sequence[Look], telling: Sequence[Look], scale: float) -> tuple[dict[str, DepthMap], list[str]]:
    """The maps by camera name, without those that disagree with the points where the others agree; and warnings."""
    scales = {look.path: look.log_scale for look in telling}
    common = np.median(list(scales.values())) if scales else 0.0
    maps, warnings = {}, []
    for look in looks:
        off = float(np.exp(common - scales.get(look.path, common)))
        if _agrees(off):
            maps[look.view.camera.name] = DepthMap(look.path, scale)
        else:
            warnings.append(
                f"the depth map {look.path} disagrees with the scene's points: its depths are {off:.3g} × theirs where "
                "other maps agree; it is not used"
            )
    return maps, warnings


def _agrees(ratio: float) -> bool:
    return 1 / AGREES <= ratio <= AGREES


def _steps(scale: float) -> str:
    return f"{scale:.6g} scene units a step"


# ---- inverse depth of a network


def _fit_inverse(looks: Sequence[Look]) -> tuple[dict[str, DepthMap], list[str]]:
    """Each map's own scale and offset: medians and median absolute deviations of numbers and inverse depths match."""
    fits: list[tuple[Look, float, float]] = []
    warnings = []
    for look in looks:
        scale, offset = _affine(look) if look.tells else (0.0, 0.0)
        if scale > 0 and look.rank_correlation < FALLING:
            fits.append((look, scale, offset))
        else:
            found = f"sees only {len(look.z)} of the scene's points" if not look.tells else "does not fit the points"
            warnings.append(f"the depth map {look.path} of inverse depth {found}: it is not used")
    typical = float(np.median([scale for _, scale, _ in fits])) if fits else 0.0
    maps = {}
    for look, scale, offset in fits:
        if typical / INVERSE_SCALES <= scale <= typical * INVERSE_SCALES:
            maps[look.view.camera.name] = DepthMap(look.path, scale, "inverse", offset, invalid=())
        else:
            warnings.append(
                f"the depth map {look.path} of inverse depth fits the points with {scale / typical:.3g} × the scale of "
                "the others: it is not used"
            )
    return maps, warnings


def _affine(look: Look) -> tuple[float, float]:
    inverse = 1 / look.z
    spread = float(np.median(np.abs(look.numbers - np.median(look.numbers))))
    scale = float(np.median(np.abs(inverse - np.median(inverse)))) / spread if spread > 0 else 0.0
    return scale, float(np.median(inverse) - scale * np.median(look.numbers))


# ---- words


def _few(refusals: Sequence[str]) -> list[str]:
    """The first sentences about maps that are not used, and how many more there are."""
    more = len(refusals) - NAMED_AT_MOST
    return [*refusals[:NAMED_AT_MOST], *([f"{more} more depth maps are not used for such reasons"] if more > 0 else [])]


def _named(paths: Sequence[Path]) -> str:
    shown = ", ".join(str(path) for path in paths[:NAMED_AT_MOST])
    more = f" and {len(paths) - NAMED_AT_MOST} more" if len(paths) > NAMED_AT_MOST else ""
    return f"the depth map{'s' if len(paths) > 1 else ''} {shown}{more}"


def _summary(looks: Sequence[Look], maps: Mapping[str, DepthMap], views: int, meaning: Meaning) -> str:
    used = [look for look in looks if look.view.camera.name in maps]
    depths = np.concatenate([_depths(look.samples, maps[look.view.camera.name]) for look in used] or [np.zeros(0)])
    if len(depths) == 0:
        return "depth: no map can be used"
    span = "–".join(f"{value:.3g}" for value in np.percentile(depths, (1, 50, 99)))
    count = f"{len(used)} maps" if len(used) == views else f"{len(used)} maps for {views} photos"
    valid = 100 * np.mean([look.valid for look in used])
    return f"depth: {count}, {meaning.unit}, {span} {meaning.world} at p1–p50–p99, {valid:.0f} % valid"


def _depths(numbers: np.ndarray, depth_map: DepthMap) -> np.ndarray:
    return z_of(numbers[is_usable(numbers, depth_map)].astype(float), depth_map)

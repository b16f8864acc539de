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

from scene.depth.maps import valid_mask, z_of
from scene.depth.mixed_units import fewer_in_another_unit
from scene.depth.monocular import FALLING, fit_inverse
from scene.depth.multiview_check import likely_scale
from scene.depth.ray_lengths import are_ray_lengths
from scene.depth.sparse_check import DepthSamples, sample_at_points
from scene.types import DepthMap, PointCloud, View

AGREES = 1.25  # a ratio of depths up to this, or down to its inverse, counts as agreement
EXACT = 1.05  # a ratio up to this is noise of points and sensor: the unit's round scale is taken
COMMON = 0.05  # median absolute deviation, in logarithms, of ratios that are one ratio
LARGE = 100  # median of whole numbers that would be too coarse in another unit than millimetres
TOO_FAR = 300.0  # times the distance of the cameras from each other
NAMED_AT_MOST = 3  # files in a warning
METERS = {"m": 1.0, "mm": 1e-3}  # length of a world unit, by its name


@dataclass(frozen=True)
class Depths:
    """The views with their depth, and what is to be said of it."""

    views: list[View]
    text: str  # for the summary; "" without any
    warnings: list[str]
    meters_per_unit: float | None = None  # length of a world unit, if the maps tell it


@dataclass(frozen=True)
class KnownUnit:
    name: str
    scale: float  # of a stored step, in world units
    world: str = "m"  # unit of the world then


@dataclass(frozen=True)
class _Understood:
    """Maps, what their numbers mean, those of them that are used by camera name, and what is to be said of it."""

    looks: Sequence[DepthSamples]
    meaning: DepthScale
    maps: Mapping[str, DepthMap]
    warnings: list[str]


KNOWN_UNITS = (
    KnownUnit("mm", 1 / 1000),
    KnownUnit("scene units", 1.0, "scene units"),
    KnownUnit("cm", 1 / 100),
    KnownUnit("0.1 mm", 1 / 10_000),
    KnownUnit("TUM's 1/5000 m", 1 / 5000),
    KnownUnit("Replica's 1/6553.5 m", 1 / 6553.5),
    KnownUnit("KITTI's 1/256 m", 1 / 256),
)
MM = KNOWN_UNITS[0]


@dataclass(frozen=True)
class DepthScale:
    """Of the numbers of all maps together."""

    unit: str  # for people
    scale: float
    world: str  # unit of depths in the world
    warning: str = ""


def attach_depth(
    views: Sequence[View],
    maps: Mapping[str, DepthMap],
    points: PointCloud,
    tracks: Mapping[str, np.ndarray],
    scale: float | None = None,
) -> Depths:
    """Give views their depth maps, by camera name, once it is known what their numbers mean: `maps` say where they are.

    Args:
        points: of the scene, the evidence; empty if there is none.
        tracks: by camera name, which of the points it was found to see; without, that is guessed.
        scale: world units of a stored step, if that is known; then points only check it.

    A map that cannot be used, or that disagrees with the points where others agree, is left out with a warning.
    """
    with ThreadPoolExecutor() as pool:
        seen = [view for view in views if view.camera.name in maps]
        found = list(
            pool.map(lambda v: sample_at_points(v, maps[v.camera.name], points, tracks.get(v.camera.name)), seen)
        )
    unusable = [f"the depth map {look.path} {look.problem}: it is not used" for look in found if look.problem]
    looks = [look for look in found if not look.problem]
    parts = [_understood(part, scale) for part in ([looks] if scale is not None else _by_type(looks))]
    warnings = [*_few(unusable), *_few_bits(looks), *(text for part in parts for text in part.warnings)]
    meant = {name: each for part in parts for name, each in part.maps.items()}
    attached = [replace(view, depth=meant.get(view.camera.name)) for view in views]
    said = [part for part in parts if part.maps] or parts[:1]
    texts = [_summary(part.looks, part.maps, len(views), part.meaning) for part in said]
    worlds = {part.meaning.world for part in parts if part.maps}
    meters = METERS.get(worlds.pop()) if len(worlds) == 1 else None
    return Depths(attached, "; ".join(texts), warnings, meters)


def _by_type(looks: Sequence[DepthSamples]) -> list[list[DepthSamples]]:
    """Whole numbers of 8 bits, of 16 and floats apart: what wrote them counted in units of their own."""
    kinds = sorted({look.dtype for look in looks}, key=str)
    return [[look for look in looks if look.dtype == kind] for kind in kinds] or [[]]


def _understood(looks: Sequence[DepthSamples], scale: float | None) -> _Understood:
    """Maps whose numbers are of one kind."""
    telling = [look for look in looks if look.has_enough_points]
    if not telling and scale is None:
        looks = [look for look in looks if look.dtype != np.uint8]  # of which no unit is usual
    if scale is None and telling and np.median([look.rank_correlation for look in telling]) < FALLING:
        meant, refused = fit_inverse(looks)
        meaning = DepthScale("inverse depth fitted to the points", 1.0, "scene units")
    elif are_ray_lengths(telling):
        meaning, meant, refused = DepthScale("lengths of rays", 1.0, "scene units"), {}, [_lengths(looks)]
    else:
        meaning = _meaning(looks, telling, scale)
        meant, refused = _scaled(looks, telling, meaning.scale)
    said = [meaning.warning, *([] if telling else [_apart(looks), _too_far(looks, meaning.scale)])]
    return _Understood(looks, meaning, meant, [*filter(None, said), *_few(refused)])


# ---- depth of a sensor


def _too_far(looks: Sequence[DepthSamples], scale: float) -> str:
    """A warning where cameras hardly move beside what they see, though they do move; else ""."""
    depths = [scale * float(np.median(look.samples)) for look in looks]
    centers = [look.view.camera.center for look in looks] or [np.zeros(3)]
    apart = float(np.linalg.norm(np.ptp(centers, axis=0)))
    times = float(np.median(depths)) / apart if apart > 0 and depths else 0.0
    if times <= TOO_FAR:
        return ""
    return (
        f"{_named([look.path for look in looks])}: with {_steps(scale)} what they show is {times:.2g} times as far "
        "away as the cameras are from each other, so the unit is probably another; --depth_scale sets it"
    )


def _lengths(looks: Sequence[DepthSamples]) -> str:
    files = _named([look.path for look in looks])
    return (
        f"{files}: numbers fit the distances of the scene's points from the camera, and not their depths along its "
        "axis: not used; divide each by the length of its pixel's ray, sqrt(1 + ((x - cx) / fx)^2 + ((y - cy) / fy)^2)"
    )


def _apart(looks: Sequence[DepthSamples]) -> str:
    """A warning where some maps have numbers of quite another size than all others; else ""."""
    found = fewer_in_another_unit(np.array([np.median(look.samples) for look in looks]))
    if found is None:
        return ""
    fewer, times = found
    named = _named([look.path for look, is_one in zip(looks, fewer, strict=True) if is_one])
    return (
        f"{named}: numbers {times:.3g} × those of the other maps, with none between them: probably in another unit; "
        "convert them, or take them away"
    )


def _few_bits(looks: Sequence[DepthSamples]) -> list[str]:
    coarse = [look.path for look in looks if look.dtype == np.uint8]
    if not coarse:
        return []
    return [f"{_named(coarse)} with 8 bits a pixel: 255 steps are too few for depth; write 16-bit PNG or float32 npy"]


def _meaning(looks: Sequence[DepthSamples], telling: Sequence[DepthSamples], given: float | None) -> DepthScale:
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
        return replace(_of_scale(given), warning="" if _agrees(off) else warning)
    unit = min(KNOWN_UNITS, key=lambda each: abs(np.log(each.scale) - common))
    off = measured / unit.scale
    if spread > COMMON:
        warning = f"{files}: depths disagree with the scene's points, and not all by the same factor"
        scale = unit.scale if _agrees(off) else measured
        return DepthScale(_steps(scale), scale, "scene units", warning)
    if 1 / EXACT <= off <= EXACT:
        return _of_unit(unit, telling)
    if _agrees(off):
        warning = (
            f"{files}: in {unit.name} depths are {1 / off:.3g} × those of the scene's points, and are scaled to agree"
        )
        return DepthScale(f"{unit.name} × {off:.4g}", measured, "scene units", warning)
    warning = (
        f"{files}: in no known unit do depths agree with the scene's points (in millimetres they are "
        f"{MM.scale / measured:.3g} × as deep); they agree with each other, so {_steps(measured)} is taken, which is "
        "right for points of arbitrary scale, as SfM's, and wrong if the maps belong to another scene"
    )
    return DepthScale(_steps(measured), measured, "scene units", warning)


def _unchecked(looks: Sequence[DepthSamples], given: float | None) -> DepthScale:
    """Without points to compare with: as given, or by comparing views with each other, or what is usual."""
    if given is not None:
        return _of_scale(given)
    found = likely_scale(looks, [unit.scale for unit in KNOWN_UNITS]) if looks else None
    if found is not None:
        return _of_unit(next(unit for unit in KNOWN_UNITS if unit.scale == found), looks)
    if not looks or looks[0].dtype == np.float32:
        return DepthScale("scene units", 1.0, "scene units")
    warning = (
        f"{_named([look.path for look in looks])}: too few points of the scene are seen to tell the unit of depth, and "
        "the maps do not tell it either: it is taken to be millimetres in a world of metres"
    )
    return DepthScale(MM.name, MM.scale, MM.world, warning)


def _of_scale(scale: float) -> DepthScale:
    """Of a scale that is given, by its unit's name if it has one."""
    known = next((unit for unit in KNOWN_UNITS if abs(unit.scale / scale - 1) < 1e-4), None)
    return DepthScale(known.name, scale, known.world) if known else DepthScale(_steps(scale), scale, "scene units")


def _of_unit(unit: KnownUnit, looks: Sequence[DepthSamples]) -> DepthScale:
    """Whole numbers in the world's own unit, and large ones, are millimetres in a world of millimetres."""
    whole = all(look.dtype.kind == "u" for look in looks)
    if unit.scale == 1 and whole and np.median([np.median(look.samples) for look in looks]) >= LARGE:
        return DepthScale("mm, as the scene's own unit seems to be", unit.scale, "mm")
    return DepthScale(unit.name, unit.scale, unit.world)


def _scaled(
    looks: Sequence[DepthSamples], telling: Sequence[DepthSamples], scale: float
) -> tuple[dict[str, DepthMap], list[str]]:
    """The maps by camera name, without those that disagree with the points where the others agree; and warnings."""
    scales = {look.path: look.log_scale for look in telling}
    common = np.median(list(scales.values())) if scales else 0.0
    maps, warnings = {}, []
    for look in looks:
        off = float(np.exp(common - scales.get(look.path, common)))
        if _agrees(off) or look.may_be_hiding(scale, AGREES):
            maps[look.view.camera.name] = replace(look.found, scale=scale)
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


# ---- words


def _few(refusals: Sequence[str]) -> list[str]:
    """The first sentences about maps that are not used, and how many more there are."""
    more = len(refusals) - NAMED_AT_MOST
    return [*refusals[:NAMED_AT_MOST], *([f"{more} more depth maps are not used for such reasons"] if more > 0 else [])]


def _named(paths: Sequence[Path]) -> str:
    shown = ", ".join(str(path) for path in paths[:NAMED_AT_MOST])
    more = f" and {len(paths) - NAMED_AT_MOST} more" if len(paths) > NAMED_AT_MOST else ""
    return f"the depth map{'s' if len(paths) > 1 else ''} {shown}{more}"


def _summary(looks: Sequence[DepthSamples], maps: Mapping[str, DepthMap], views: int, meaning: DepthScale) -> str:
    used = [look for look in looks if look.view.camera.name in maps]
    depths = np.concatenate([_depths(look.samples, maps[look.view.camera.name]) for look in used] or [np.zeros(0)])
    if len(depths) == 0:
        return "depth: no map can be used"
    span = "–".join(f"{value:.3g}" for value in np.percentile(depths, (1, 50, 99)))
    count = f"{len(used)} maps" if len(used) == views else f"{len(used)} maps for {views} photos"
    valid = 100 * np.mean([look.valid for look in used])
    return f"depth: {count}, {meaning.unit}, {span} {meaning.world} at p1–p50–p99, {valid:.0f} % valid"


def _depths(numbers: np.ndarray, depth_map: DepthMap) -> np.ndarray:
    return z_of(numbers[valid_mask(numbers, depth_map)].astype(float), depth_map)

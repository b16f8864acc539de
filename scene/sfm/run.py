"""pycolmap's three stages: features of each photo, matches of pairs, and the poses that explain them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scene import heif
from scene.image_header import UNREADABLE
from scene.sfm.pairs import PairsOf
from utils.console import progress, say
from utils.errors import UserError
from utils.files import write_json

INSTALL = 'pip install -e ".[sfm]" --no-build-isolation'
SETTINGS = {"max_image_size": 1600, "max_num_features": 4096, "camera_model": "SIMPLE_RADIAL", "seed": 0}
BATCH_PHOTOS, BATCH_PAIRS = (
    8,
    100,
)  # at a time: what is between two steps of the progress bar, and two answers to Ctrl-C
MIN_MODEL = 3  # photos
QUALITY = 95  # of photos that become JPEG
DATABASE = "database.db"
MAKE, MODEL, FOCAL, FOCAL_35MM, EXIF_IFD = 0x010F, 0x0110, 0x920A, 0xA405, 0x8769  # EXIF tags


def load_pycolmap(source: Path) -> Any:
    """The module, for the photos or the video `source`. Raises: UserError, naming the command that installs it."""
    try:
        import pycolmap
    except ImportError as error:
        raise UserError(
            f"{source}: photos without poses need pycolmap, which finds out from where they were taken: {INSTALL} "
            f"({error})"
        ) from None
    return pycolmap


def reconstruct(folder: Path, names: Sequence[str], into: Path, pairs_of: PairsOf, quiet: bool) -> None:
    """Write the largest model of the photos `names` of `folder` to `into`/sparse/0, and what it is to `into`/sfm.json.

    Raises: UserError where pycolmap is missing, and where no photo can be decoded.
    """
    pycolmap = load_pycolmap(folder)
    pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR)
    pycolmap.set_random_seed(SETTINGS["seed"])
    work = into / "work"
    named = _placed(folder, names, work / "photos", quiet)
    _extract(pycolmap, work, list(named), quiet)
    if _first_camera(pycolmap, work / DATABASE) < 0:
        raise UserError(f"{folder}: none of its {len(names)} photos can be decoded, such as {names[0]}")
    _match(pycolmap, work, list(named), pairs_of, quiet)
    models = _map(pycolmap, work, len(names), quiet)
    best = models[0] if models else None
    if best is not None:
        for image in best.images.values():
            image.name = named[image.name]
        (into / "sparse" / "0").mkdir(parents=True)
        best.write(into / "sparse" / "0")
    facts = {
        "photos": len(names),
        "registered": 0 if best is None else best.num_reg_images(),
        "error": 0.0 if best is None else float(best.compute_mean_reprojection_error()),
        "points": 0 if best is None else best.num_points3D(),
        "others": [model.num_reg_images() for model in models[1:]],
        "pycolmap": pycolmap.__version__,
    }
    write_json(into / "sfm.json", facts)
    shutil.rmtree(work)  # features and matches are large, and not needed again
    said = "SfM: {registered} of {photos} photos placed, {points:,} points, mean reprojection error {error:.2f} px"
    say(said.format(**facts), quiet)


def _placed(folder: Path, names: Sequence[str], into: Path, quiet: bool) -> dict[str, str]:
    """The names of links to the photos, in their order, each with the photo's own, which may have blanks or no letters:
    lists of pairs have no room for them. What pycolmap may not decode becomes JPEG."""
    into.mkdir(parents=True)
    named, foreign = dict[str, str](), dict[Path, Path]()
    for number, name in enumerate(names):
        suffix = Path(name).suffix.lower()
        place = into / f"{number:06}{'.jpg' if suffix in heif.SUFFIXES else suffix}"
        named[place.name] = name
        if suffix in heif.SUFFIXES:
            foreign[place] = folder / name
        else:
            place.symlink_to((folder / name).resolve())
    if foreign:
        for place, photo in progress(foreign.items(), f"SfM: decoding {len(foreign)} photos", len(foreign), quiet):
            _write_jpeg(photo, place)
    return named


def _write_jpeg(photo: Path, place: Path) -> None:
    """The pixels and the EXIF data, which have the focal length. A photo that cannot be decoded becomes none."""
    try:
        heif.missing_library(photo)  # makes Pillow ready
        with Image.open(photo) as image:
            image.convert("RGB").save(place, quality=QUALITY, subsampling=0, exif=image.info.get("exif") or b"")
    except UNREADABLE:
        place.touch()


def _extract(pycolmap: Any, work: Path, names: Sequence[str], quiet: bool) -> None:
    """Photos of one camera at one zoom share their intrinsics, which makes these surer."""
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = SETTINGS["camera_model"]
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.max_image_size = SETTINGS["max_image_size"]
    extraction.sift.max_num_features = SETTINGS["max_num_features"]
    database, folder = work / DATABASE, work / "photos"
    one = len({_taken_by(folder / name) for name in names}) == 1
    mode = pycolmap.CameraMode.SINGLE if one else pycolmap.CameraMode.AUTO
    batches = [names[start : start + BATCH_PHOTOS] for start in range(0, len(names), BATCH_PHOTOS)]
    for batch in progress(batches, f"SfM: features of {len(names)} photos", len(batches), quiet):
        pycolmap.extract_features(
            database, folder, list(batch), mode, reader_options=reader, extraction_options=extraction
        )
        if one and reader.existing_camera_id < 0:
            reader.existing_camera_id = _first_camera(pycolmap, database)


def _first_camera(pycolmap: Any, database: Path) -> int:
    """The number of the first photo's camera; -1 where no photo could be decoded."""
    with pycolmap.Database.open(database) as opened:
        return next((int(camera.camera_id) for camera in opened.read_all_cameras()), -1)


def _taken_by(path: Path) -> tuple[Any, ...]:
    """The photo's size, and what EXIF says of its camera and zoom: the same for photos that share intrinsics."""
    try:
        with Image.open(path) as image:
            exif = image.getexif() if "exif" in image.info else {}
            zoom = exif.get_ifd(EXIF_IFD) if isinstance(exif, Image.Exif) else {}
            values = exif.get(MAKE), exif.get(MODEL), zoom.get(FOCAL), zoom.get(FOCAL_35MM)
            return (*image.size, *map(str, values))
    except UNREADABLE:
        return ()


def _match(pycolmap: Any, work: Path, names: Sequence[str], pairs_of: PairsOf, quiet: bool) -> None:
    database = work / DATABASE
    with pycolmap.Database.open(database) as opened:
        ids = {image.name: image.image_id for image in opened.read_all_images()}

        def descriptors(name: str) -> np.ndarray:
            return np.asarray(opened.read_descriptors(ids[name]).data)

        pairs = pairs_of([name for name in names if name in ids], descriptors)
    pairing, verification = pycolmap.ImportedPairingOptions(), pycolmap.TwoViewGeometryOptions()
    pairing.match_list_path = work / "pairs.txt"
    verification.ransac.random_seed = SETTINGS["seed"]
    batches = [pairs[start : start + BATCH_PAIRS] for start in range(0, len(pairs), BATCH_PAIRS)]
    for batch in progress(batches, f"SfM: matches of {len(pairs)} pairs", len(batches), quiet):
        pairing.match_list_path.write_text("".join(f"{one} {other}\n" for one, other in batch))
        pycolmap.match_image_pairs(database, pairing_options=pairing, verification_options=verification)


def _map(pycolmap: Any, work: Path, count: int, quiet: bool) -> list[Any]:
    """The models, those of most photos first."""
    options = pycolmap.IncrementalPipelineOptions()
    for part in (options, options.mapper, options.triangulation):
        part.random_seed = SETTINGS["seed"]
    options.min_model_size = MIN_MODEL
    (work / "models").mkdir()
    bar: Any = progress(iter(int, 1), f"SfM: poses of {count} photos", count, quiet)
    next(bar)
    found = pycolmap.incremental_mapping(
        work / DATABASE,
        work / "photos",
        work / "models",
        options=options,
        next_image_callback=lambda: next(bar, None),
    )
    bar.close()
    return sorted(found.values(), key=lambda model: -model.num_reg_images())

"""COLMAP models in other places than sparse/: colmap/sparse/0, as nerfstudio keeps them beside images/; dense/0, as
COLMAP undistorts photos; and a folder that has the model's files itself. Whatever else describes the folder comes
first: in colmap/ is what it was made of."""

from __future__ import annotations

from pathlib import Path

from scene.readers import colmap
from scene.readers.base import ParsedDataset, ReadOptions

PLACES = ("colmap", "dense/0", "dense")
LAYOUT = "colmap/sparse/0, dense/0 or the model in the folder itself (COLMAP)"


def can_read(source: Path) -> bool:
    return bool(_models(source))


def read(source: Path, options: ReadOptions) -> ParsedDataset:
    """Read the model of most photos, with the photos beside it, or else those of the dataset's folder."""
    models = _models(source)
    place = next((source / name for name in PLACES if models[0].is_relative_to(source / name)), source)
    beside = place / options.images
    return colmap.read_best(source, models, beside if beside.is_dir() else source / options.images)


def _models(source: Path) -> list[Path]:
    """Of the first place that has any."""
    for name in PLACES:
        models = colmap.find_models(source / name)
        if models:
            return models
    parts = ([source / f"{stem}{end}" for end in colmap.ENDS] for stem in ("cameras", "images"))
    return [source] if all(any(path.is_file() for path in part) for part in parts) else []

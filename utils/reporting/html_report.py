"""The pages that show how a run went, made of nothing but the files in its model folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from utils.files import atomic_write
from utils.image_io import NOTHING, ColorScale, read_png, write_png
from utils.metrics.renders import FAR, rendered_folders
from utils.metrics_log import read_log, read_object
from utils.output_dir import config_path
from utils.reporting import figures, html_page
from utils.sampling import subsample
from utils.text import count_text, duration_text, printable, score_text

ROWS = 5  # views in the contact sheet


def write_summary(model: Path, iteration: int | None = None) -> list[Path]:
    """Write contact_sheet.png, curves.png and report.html for the renders of `iteration`, the last when None.

    Takes what there is of config.json, run.json, metrics.jsonl, results.json and per_view.json. UserError when nothing
    has been rendered.
    """
    folders = {folder.name: folder for folder in rendered_folders(model)}
    folder = folders.get(f"ours_{iteration}", list(folders.values())[-1])
    results = read_object(model / "results.json").get(folder.name, {})
    stored = read_object(model / "per_view.json")
    per_view, far = stored.get(folder.name, {}), stored.get(f"{FAR}/{folder.name}", {})
    lines = read_log(model / "metrics.jsonl")
    sheet = view_sheet(folder, model.resolve().name, facts_line(folder, results, lines), per_view)
    write_png(model / "contact_sheet.png", sheet)
    curves = figures.curves(lines) if lines else None
    if curves is not None:
        write_png(model / "curves.png", curves)
    tables = {
        "Views": view_table(per_view, photo_names(folder)),
        "Far views": view_table(far, photo_names(model / FAR / folder.name)),
        "Settings": flattened(read_object(config_path(model))),
        "Run": flattened(read_object(model / "run.json")),
    }
    page = html_page.report(
        f"{model.resolve().name}, iteration {iteration_of(folder):,}", tiles(results, lines), sheet, curves, tables
    )
    with atomic_write(model / "report.html") as file:
        file.write(printable(page).encode())
    names = ("contact_sheet.png", "curves.png", "report.html")
    return [model / name for name in names if (model / name).exists()]


# ---- contact sheet ---------------------------------------------------------------------------------------------------


def view_sheet(folder: Path, name: str, subtitle: str, per_view: Mapping[str, Mapping[str, Any]]) -> np.ndarray:
    """Ground truth | render | depth | distortion | error for some views of `folder` (test/ours_<N>), best to worst."""
    described = read_object(folder / "colors.json").items()
    scales = {kind: scale for kind, each in described if (scale := ColorScale.from_described(each)) is not None}
    columns = [
        figures.Column("Ground truth"),
        figures.Column("Render"),
        figures.Column("Depth", scales.get("depth")),
        figures.Column("Distortion", scales.get("distortion")),
        figures.Column("Error", figures.ERROR_SCALE),
    ]
    measured = {"depth", "depth_error"} <= scales.keys()
    if measured:
        columns += [
            figures.Column("Measured depth", scales["depth"]),
            figures.Column("Depth error", scales["depth_error"]),
        ]
    files = [path.name for path in sorted((folder / "renders").glob("*.png"))]
    names = photo_names(folder)
    chosen = subsample(sorted(files, key=lambda file: -(per_view.get("PSNR", {}).get(file) or 0.0)), ROWS)
    scores = {file: {name: values.get(file) for name, values in per_view.items()} for file in chosen}
    rows = [_row(folder, file, names.get(file, file), scores[file], measured) for file in chosen]
    return figures.contact_sheet(f"{name}, iteration {iteration_of(folder):,}", subtitle, columns, rows)


def _row(folder: Path, file: str, name: str, scores: Mapping[str, Any], measured: bool) -> figures.Row:
    shown = {kind: read_png(folder / kind / file) for kind in ("gt", "renders", "depth", "distortion")}
    mask = folder / "masks" / file
    pixels = read_png(mask)[..., 0] if mask.exists() else None
    error = figures.error_map(shown["renders"], shown["gt"], pixels)
    pictures = [*shown.values(), error]
    if measured:
        paths = [folder / kind / file for kind in ("measured_depth", "depth_error")]
        nothing = np.full_like(error, NOTHING)
        pictures += [read_png(path) if path.exists() else nothing for path in paths]
    return figures.Row(name, score_text(scores), pictures)


def photo_names(folder: Path) -> dict[str, str]:
    """The photo of each file of `folder`, as far as names.json says it."""
    return {file: name for file, name in read_object(folder / "names.json").items() if isinstance(name, str)}


def facts_line(folder: Path, results: Mapping[str, Any], lines: list[dict[str, Any]]) -> str:
    """One line about a run: views, scores, number of Gaussians, time."""
    count = len(list((folder / "renders").glob("*.png")))
    parts = [count_text(count, f"{folder.parent.name} view"), score_text(results)]
    if lines:
        parts.append(f"{_gaussians(lines):,} Gaussians   {duration_text(lines[-1]['seconds'])}")
    return "   ".join(part for part in parts if part)


# ---- page ------------------------------------------------------------------------------------------------------------


def tiles(results: Mapping[str, Any], lines: list[dict[str, Any]]) -> dict[str, str]:
    """The numbers at the top of the page."""
    shown = set_tiles(results) | set_tiles(results.get(FAR, {}))
    if lines:
        shown["Gaussians"] = f"{_gaussians(lines):,}"
        shown["Training"] = duration_text(lines[-1]["seconds"])
    return shown


def set_tiles(scores: Mapping[str, Any]) -> dict[str, str]:
    """Those of one set of views."""
    shown, where, depth = {}, scores.get("set", ""), scores.get("depth", {})
    for name, form in {"PSNR": "{:.2f} dB", "SSIM": "{:.4f}", "LPIPS": "{:.4f}"}.items():
        if scores.get(name) is not None:
            shown[f"{name}, {where}"] = form.format(scores[name])
    if depth.get("MAE") is not None:
        shown[f"Depth MAE / median, scene units, {where}"] = "{MAE:.4g} / {median:.4g}".format(**depth)
    if depth.get("in_front") is not None and where == FAR:
        limit = depth.get("in_front_limit") or "the limit"
        shown[f"Pixels over {limit} before the surface, {where}"] = f"{depth['in_front']:.2%}"
    return shown


def view_table(per_view: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> list[tuple[str, ...]]:
    """A row per view: file, photo and scores; the first row holds the titles."""
    metrics = [name for name, values in per_view.items() if any(value is not None for value in values.values())]
    files = sorted(per_view.get("PSNR", {}))
    rows = [(file, names.get(file, ""), *(_number(per_view[name].get(file)) for name in metrics)) for file in files]
    return [("file", "photo", *metrics), *rows] if rows else []


def flattened(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, ...]]:
    """Nested settings as rows of name and value: {"a": {"b": 1}} -> ("a.b", "1")."""
    rows: list[tuple[str, ...]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += flattened(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, value if isinstance(value, str) else json.dumps(value)))
    return rows


def iteration_of(folder: Path) -> int:
    """N of .../ours_<N>."""
    return int(folder.name.removeprefix("ours_"))


def _gaussians(lines: list[dict[str, Any]]) -> int:
    return next((line["gaussians"] for line in reversed(lines) if "gaussians" in line), 0)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4f}"

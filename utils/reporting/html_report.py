"""The pages that show how a run went, made of nothing but the files in its model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from utils.files import atomic_write
from utils.image_io import NOTHING, ColorScale, read_png, write_png
from utils.metrics.renders import FAR, rendered_folders
from utils.metrics_log import read_log, read_object
from utils.output_dir import config_path
from utils.reporting import figures, report_page
from utils.sampling import subsample
from utils.text import count_text, duration_text, score_text

ROWS = 5  # views in the contact sheet
PAGE_VIEWS = 12  # on the page, at most 0.4 MB each
COLUMNS = {"gt": "Ground truth", "renders": "Render", "depth": "Depth", "distortion": "Distortion", "error": "Error"}
MEASURED = {"depth", "depth_error"}  # have colors where depth was measured
Scores = Mapping[str, Mapping[str, Any]]  # metric -> file -> value


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
    run = read_object(model / "run.json")
    warnings = run.get("warnings")
    page = report_page.report(
        f"{model.resolve().name}, iteration {iteration_of(folder):,}",
        tiles(results, lines),
        shown_views(folder, per_view),
        report_page.charts(lines, read_object(model / "histograms.json")),
        {
            "Views": view_table(per_view, photo_names(folder)),
            "Far views": view_table(far, photo_names(model / FAR / folder.name)),
            "Run": report_page.flattened({name: value for name, value in run.items() if name != "warnings"}),
            "Settings": report_page.flattened(read_object(config_path(model))),
        },
        command=str(run.get("command", "")),
        warnings=[str(text) for text in warnings] if isinstance(warnings, list) else [],
    )
    with atomic_write(model / "report.html") as file:
        file.write(page.encode())
    names = ("contact_sheet.png", "curves.png", "report.html")
    return [model / name for name in names if (model / name).exists()]


# ---- contact sheet ---------------------------------------------------------------------------------------------------


def view_sheet(folder: Path, name: str, subtitle: str, per_view: Scores) -> np.ndarray:
    """Ground truth | render | depth | distortion | error for some views of `folder` (test/ours_<N>), best to worst."""
    scales = color_scales(folder)
    columns = [figures.Column(title, scales.get(kind)) for kind, title in COLUMNS.items()]
    if scales.keys() >= MEASURED:
        columns += [
            figures.Column("Measured depth", scales["depth"]),
            figures.Column("Depth error", scales["depth_error"]),
        ]
    rows = [
        figures.Row(title, score_text(scores), pictures(folder, file, scales.keys() >= MEASURED))
        for file, title, scores in best_to_worst(folder, per_view, ROWS)
    ]
    return figures.contact_sheet(f"{name}, iteration {iteration_of(folder):,}", subtitle, columns, rows)


def shown_views(folder: Path, per_view: Scores) -> list[report_page.ShownView]:
    """Some views of `folder` (test/ours_<N>) for the page, best to worst."""
    scales = color_scales(folder)
    measured = scales.keys() >= MEASURED
    kinds = ["depth", "distortion", "error", *(("measured_depth", "depth_error") if measured else ())]
    titles = COLUMNS | {"measured_depth": "Measured depth", "depth_error": "Depth error"}
    views = []
    for file, title, scores in best_to_worst(folder, per_view, PAGE_VIEWS):
        photo, render, *others = pictures(folder, file, measured)
        shown = [
            report_page.Picture(titles[kind], pixels, scales.get("depth" if kind == "measured_depth" else kind))
            for kind, pixels in zip(kinds, others, strict=True)
        ]
        views.append(report_page.ShownView(title, score_text(scores), photo, render, shown))
    return views


def color_scales(folder: Path) -> dict[str, ColorScale]:
    """By kind of picture, as far as colors.json says it."""
    described = read_object(folder / "colors.json").items()
    scales = {kind: scale for kind, each in described if (scale := ColorScale.from_described(each)) is not None}
    return {**scales, "error": figures.ERROR_SCALE}


def best_to_worst(folder: Path, per_view: Scores, count: int) -> list[tuple[str, str, dict[str, Any]]]:
    """File, photo and scores of at most `count` views, evenly chosen by PSNR."""
    files = [path.name for path in sorted((folder / "renders").glob("*.png"))]
    names = photo_names(folder)
    chosen = subsample(sorted(files, key=lambda file: -(per_view.get("PSNR", {}).get(file) or 0.0)), count)
    return [
        (file, names.get(file, file), {metric: values.get(file) for metric, values in per_view.items()})
        for file in chosen
    ]


def pictures(folder: Path, file: str, measured: bool) -> list[np.ndarray]:
    """Photo, render, depth, distortion and error of a view, (H,W,3) uint8; with `measured`, measured depth and depth
    error, blank where there are none."""
    shown = {kind: read_png(folder / kind / file) for kind in ("gt", "renders", "depth", "distortion")}
    mask = folder / "masks" / file
    pixels = read_png(mask)[..., 0] if mask.exists() else None
    error = figures.error_map(shown["renders"], shown["gt"], pixels)
    found = [*shown.values(), error]
    if measured:
        paths = [folder / kind / file for kind in ("measured_depth", "depth_error")]
        nothing = np.full_like(error, NOTHING)
        found += [read_png(path) if path.exists() else nothing for path in paths]
    return found


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


def iteration_of(folder: Path) -> int:
    """N of .../ours_<N>."""
    return int(folder.name.removeprefix("ours_"))


def _gaussians(lines: list[dict[str, Any]]) -> int:
    return next((line["gaussians"] for line in reversed(lines) if "gaussians" in line), 0)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4f}"

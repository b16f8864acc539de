"""The report of a GPU run: its figures as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from figure_table import markdown_table

Figures = Sequence[dict[str, Any]]

TIMES = ("forward_ms", "forward_backward_ms", "step_ms", "forward_backward_mib", "step_mib")
TIME_HEAD = ("forward, ms", "+ backward, ms", "step, ms", "forward + backward, MiB", "step, MiB")
TRAINING = ("scene", "iterations", "psnr", "ssim", "gaussians", "seconds", "peak_gpu_memory_mib")
TRAINING_HEAD = ("scene", "iterations", "PSNR", "SSIM", "Gaussians", "seconds, measuring included", "GPU memory, MiB")


def report_text(card: str, parts: Sequence[tuple[str, str, float]], figures: Figures, rehearsed: bool) -> str:
    """Markdown: what was done, the rasterizers side by side, the kernels, the trainings."""
    texts = [f"# GPU run of {date.today().isoformat()}: {card}"]
    if rehearsed:
        texts.append("**A rehearsal on the CPU: no figure here means anything.**")
    texts.append(markdown_table(("part", "outcome", "seconds"), parts))
    for title, table in (
        ("Rasterizers", rasterizers(figures)),
        ("Kernels, milliseconds", kernel_table(figures)),
        ("Training", training(figures)),
    ):
        texts += [f"## {title}", table or "No figures."]
    return "\n\n".join(texts) + "\n"


def rasterizers(figures: Figures) -> str:
    """A row for each case and rasterizer; of gsplat, how many times our time and memory it takes."""
    lines = [line for line in figures if "forward_ms" in line or ("error" in line and "outputs" not in line)]
    ours = {_case(line): line for line in lines if line["rasterizer"] == "ours" and "outputs" in line}
    rows = []
    for line in sorted(lines, key=lambda line: (*_case(line), line["rasterizer"] != "ours")):
        image, outputs = f"{line['width']}×{line['height']}", line.get("outputs", line.get("error"))
        case = [line["n"], image, outputs, line["rasterizer"]]
        rows.append([*case, *(line.get(name) for name in TIMES), *_ratios(line, ours.get(_case(line)))])
    head = ("Gaussians", "image", "outputs", "rasterizer", *TIME_HEAD, "× our time", "× our memory", "difference")
    return markdown_table(head, rows) if rows else ""


def _case(line: dict[str, Any]) -> tuple[int, int, str]:
    return line["n"], line["width"] * line["height"], line.get("outputs", "")


def _ratios(line: dict[str, Any], ours: dict[str, Any] | None) -> list[float | None]:
    """Of forward + backward, and how far the color is from ours."""
    if ours is None or line is ours:
        return [None, None, None]
    names = ("forward_backward_ms", "forward_backward_mib")
    ratios = [line[name] / ours[name] if line.get(name) and ours.get(name) else None for name in names]
    return [*ratios, line.get("difference")]


def kernel_table(figures: Figures) -> str:
    """A row for each case, a column for each kernel."""
    lines = [line for line in figures if "kernel" in line]
    kernels = list(dict.fromkeys(line["kernel"] for line in lines))
    cases: dict[tuple[int, str], dict[str, float]] = {}
    for line in lines:
        cases.setdefault((line["n"], f"{line['width']}×{line['height']}"), {})[line["kernel"]] = line["ms"]
    rows = [[n, image, *(times.get(kernel) for kernel in kernels)] for (n, image), times in cases.items()]
    return markdown_table(("Gaussians", "image", *kernels), rows) if rows else ""


def training(figures: Figures) -> str:
    rows = [[line.get(name) for name in TRAINING] for line in figures if "psnr" in line]
    return markdown_table(TRAINING_HEAD, rows) if rows else ""

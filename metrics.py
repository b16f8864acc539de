"""Measure the renders of trained scenes against the photos.

python render.py -m output/garden && python metrics.py -m output/garden
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils.console import Parser, run_script, say
from utils.metrics.image import NAMES, Lpips, hidden_text, load_lpips
from utils.metrics.renders import FAR, evaluate_model
from utils.reporting.html_report import write_summary
from utils.text import table


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="metrics.py", description="Measure renders against the photos.")
    parser.add_argument(
        "-m",
        "--model_paths",
        type=Path,
        nargs="+",
        required=True,
        metavar="MODEL",
        help="model folders that hold renders of render.py",
    )
    parser.add_argument(
        "--lpips_weights",
        type=Path,
        metavar="FILE",
        help="file of torchvision's VGG16 weights, which LPIPS needs (default: LPIPS is left out)",
    )
    parser.add_argument("--quiet", action="store_true", help="prints nothing but errors")
    return parser.parse_args(arguments)


def rows(model: Path, results: dict[str, dict[str, Any]]) -> list[list[str]]:
    """A line of the table for each iteration that was rendered, and for its far views."""
    forms = {"PSNR": "{:.2f}", "SSIM": "{:.4f}", "LPIPS": "{:.4f}"}
    return [
        [f"{model} {name}", f"{scores['views']} {scores['set']}"]
        + ["-" if scores[metric] is None else forms[metric].format(scores[metric]) for metric in NAMES]
        for name, scores in each_set(results)
    ]


def each_set(results: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The scores of each iteration's views, and of its far views if it has any."""
    pairs = [(name, sets) for name, scores in results.items() for sets in (scores, scores.get(FAR))]
    return [(name, scores) for name, scores in pairs if scores is not None]


def depth_line(model: Path, name: str, scores: dict[str, Any]) -> str:
    """The line on the depth of some views: its error in scene units, and how much is drawn before the surface."""
    depth = scores["depth"]
    if depth["MAE"] is None:
        return f"{model} {name}, {scores['set']}: no depth to measure"
    error = f"depth error {depth['MAE']:.4g} (mean), {depth['median']:.4g} (median)"
    line = f"{model} {name}, {scores['set']}: {error}"
    if depth["in_front"] is None:  # rendered before that was measured
        return line
    return f"{line}; {depth['in_front']:.2%} of the pixels over {depth['in_front_limit']} before the surface"


def main(arguments: Sequence[str] | None = None) -> None:
    values = parse(arguments)
    lpips: Lpips | None = load_lpips(values.lpips_weights) if values.lpips_weights else None
    lines, pages, notes = [["model", "views", *NAMES]], list[Path](), list[str]()
    for model in values.model_paths:
        results = evaluate_model(model, lpips)
        lines += rows(model, results)
        notes += [depth_line(model, name, each) for name, each in each_set(results) if "depth" in each]
        notes += [
            f"{model} {name}: {hidden_text(each['views_hidden'], each['views'])}"
            for name, each in each_set(results)
            if "views_hidden" in each
        ]
        pages += write_summary(model)
    say("\n".join([table(lines), *notes]), values.quiet)
    if lpips is None:
        say("LPIPS was not measured: it needs --lpips_weights", values.quiet)
    for page in pages:
        if page.suffix == ".html":
            say(f"open {page}", values.quiet)


if __name__ == "__main__":
    run_script(main)

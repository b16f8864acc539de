"""report.html: one page that needs nothing beside it, its pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from utils.image_io import encode_png

Table = Sequence[tuple[str, ...]]  # rows of cells

STYLE = """
:root { color-scheme: dark; }
body { margin: 0 auto; padding: 32px 24px 64px; max-width: 1500px; background: #14161b; color: #f1f3f6;
       font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 26px; margin: 0 0 20px; }
img { display: block; max-width: 100%; border: 1px solid #2b2f37; border-radius: 8px; margin-top: 20px; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; }
.tile { background: #1d2027; border: 1px solid #2b2f37; border-radius: 8px; padding: 10px 18px; }
.tile b { display: block; font-size: 22px; font-variant-numeric: tabular-nums; }
.tile span { color: #99a1ad; font-size: 13px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
td, th { padding: 4px 20px 4px 0; border-bottom: 1px solid #2b2f37; text-align: left; vertical-align: top;
         overflow-wrap: anywhere; }
th, td:first-child { color: #99a1ad; font-weight: normal; }
summary { cursor: pointer; font-size: 18px; font-weight: bold; margin: 32px 0 12px; }
"""


def report(
    title: str, tiles: Mapping[str, str], sheet: np.ndarray, curves: np.ndarray | None, tables: Mapping[str, Table]
) -> str:
    """The page's text: `tiles` are names and values at the top; `sheet` and `curves` are (H,W,3) uint8.

    A table whose rows have more than two cells has its titles in the first row.
    """
    boxes = "".join(f'<div class="tile"><b>{escape(b)}</b><span>{escape(a)}</span></div>' for a, b in tiles.items())
    parts = [f"<h1>{escape(title)}</h1>", f'<div class="tiles">{boxes}</div>', _image(sheet, "some views")]
    if curves is not None:
        parts.append(_image(curves, "curves over iterations"))
    parts += [_section(name, rows) for name, rows in tables.items() if rows]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n'


def _image(picture: np.ndarray, text: str) -> str:
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{base64.b64encode(encode_png(picture)).decode()}">'


def _section(name: str, rows: Table) -> str:
    titled = len(rows[0]) > 2
    lines = [_line(row, "th" if titled and index == 0 else "td") for index, row in enumerate(rows)]
    is_open = " open" if titled else ""
    return f"<details{is_open}><summary>{escape(name)}</summary><table>{''.join(lines)}</table></details>"


def _line(row: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) + "</tr>\n"

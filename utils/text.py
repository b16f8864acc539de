"""Numbers and names as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def score_text(scores: Mapping[str, Any]) -> str:
    """Metrics for people: "PSNR 27.31 dB  SSIM 0.8912"; those of depth in scene units. Metrics of nothing are None."""
    depth = {"depth_MAE": "{:.4g}", "depth_median": "{:.4g}", "in_front": "{:.2%}"}
    units = {"PSNR": "{:.2f} dB", "SSIM": "{:.4f}", "LPIPS": "{:.4f}", **depth}
    known = {name: form.format(scores[name]) for name, form in units.items() if scores.get(name) is not None}
    if not known and "PSNR" in scores:
        return "nothing to measure"
    return "  ".join(f"{name.replace('_', ' ')} {text}" for name, text in known.items())


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells in columns: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("   ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def duration_text(seconds: float) -> str:
    """A time for people: "42 s", "7 min", "2 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def count_text(count: int, noun: str) -> str:
    """ "1 view", "8 views"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def about_text(count: int) -> str:
    """Of a count that is not known well, two digits: "41,000"."""
    return f"{round(count, 2 - len(str(count))):,}" if count > 0 else "0"


def printable(text: str, encoding: str = "utf-8") -> str:
    """`text` as a terminal of this encoding may have it: a name in it cannot move the cursor, or fail to be shown.

    Control characters, newline and tab aside, and whatever the encoding lacks become escapes: \\x1b, \\udcff, \\xd7.
    """
    safe = (each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode() for each in text)
    return "".join(safe).encode(encoding, "backslashreplace").decode(encoding)

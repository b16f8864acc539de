"""The documents: the README stays short, and what they link to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from utils.losses.depth import NAMES

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
MAX_WORDS = 400  # of the README, as it is read: without commands and the targets of links
LINKED = ("docs/architecture.md", "docs/extending.md", "docs/losses.md", "docs/migration-from-3dgs.md")


def links(text: str) -> list[str]:
    """Targets in the repository, without the part after #."""
    targets = re.findall(r"\]\(([^)]+)\)", re.sub(r"```.*?```", "", text, flags=re.S))
    return [target.split("#")[0] for target in targets if "://" not in target and not target.startswith("#")]


def test_the_readme_is_short_and_names_the_documents() -> None:
    text = (ROOT / "README.md").read_text()
    assert set(LINKED) <= set(links(text))
    prose = re.sub(r"\]\([^)]*\)", "]", re.sub(r"^ {4}.*$", "", text, flags=re.M))
    assert 200 < len(re.findall(r"\S*\w\S*", prose)) <= MAX_WORDS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    missing = [target for target in links(document.read_text()) if not (document.parent / target).exists()]
    assert not missing, f"{document.name} links to {', '.join(missing)}"


def test_every_depth_loss_has_its_row_and_its_picture() -> None:
    text = (ROOT / "docs" / "losses.md").read_text()
    rows = re.findall(r"^\| `(\w+)`", text.split("## Depth losses")[1], re.M)
    assert sorted(rows) == list(NAMES) and "images/depth_losses.png" in links(text)
    source = (ROOT / "benchmarks" / "plot_depth_losses.py").read_text()
    assert "zip(axes.flat, NAMES, strict=True)" in source  # a panel for each

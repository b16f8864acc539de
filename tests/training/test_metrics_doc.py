"""docs/metrics.md: every key that a run writes to metrics.jsonl is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import train
from tests.helpers.ring import BUSY
from training import loss
from utils.losses.depth import NAMES

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def documented() -> re.Pattern[str]:
    """Matches the paths of the keys in the first columns of the tables."""
    cells = re.findall(r"^\| (`.*?) \|", DOCUMENT.read_text(), re.M)
    keys = [key for cell in cells for key in re.findall(r"`([^`]+)`", cell)]
    assert len(keys) > 30
    patterns = [re.sub(r"<\w+>", r"\\w+", re.escape(key)) for key in keys]
    return re.compile("|".join(patterns).replace("test/", "(?:test|train|far)/"))


def paths(entry: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in entry.items():
        if isinstance(value, dict):
            yield from paths(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}"


@pytest.mark.parametrize(
    ("flags", "seen"),
    [
        (
            "--iterations 100 --eval --audit_gradients --test_iterations 20 --lambda_ray 0.1 --lambda_opacity 0.01 "
            "--lambda_scale 0.01",
            {"loss", "ray", "opacity", "scale", "depth_distortion/max", "test/PSNR", "audit/l1/share",
             "densification/cloned", "densification/weight", "compared/gradient/median"},
        ),
        ("--iterations 24 --strategy mcmc", {"densification/relocated", "densification/added", "train/PSNR"}),
        ("--iterations 24 --strategy budget", {"densification/split"}),
        ("--iterations 24 --strategy adc", {"densification/split"}),
    ],
)  # fmt: skip
def test_every_key_of_a_run_is_documented(dataset: Path, tmp_path: Path, flags: str, seen: set[str]) -> None:
    train.main(["-s", str(dataset), "-m", str(tmp_path / "out"), "--quiet", *BUSY.split(), *flags.split()])
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    found = {path for line in lines for path in paths(line)}
    assert seen <= found
    assert not {path for path in found if not documented().fullmatch(path)}


def test_every_term_of_the_loss_is_documented() -> None:
    alone, summed = loss.depth_terms("inv_l1", {}), loss.depth_terms("+".join(NAMES), {})
    assert alone.keys() == {"depth"} and len(summed) == len(NAMES)
    assert all(documented().fullmatch(term) for term in (*loss.FLAGS, *alone, *summed))

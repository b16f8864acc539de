"""A held-out photo is shown in the exposure that its neighbours foretell, as far as neighbours foretell anything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussian_renderer.exposures import IDENTITY, Exposures
from utils.errors import UserError


def gains(values: list[float]) -> dict[str, np.ndarray]:
    return {f"{2 * index:03}.png": value * IDENTITY for index, value in enumerate(values)}


def test_a_sequence_foretells_the_photos_between() -> None:
    smooth = 1 + 0.3 * np.sin(np.arange(40) / 6)
    exposures = Exposures(gains(list(smooth)))
    assert exposures.trust > 0.95
    expected = (smooth[10] + smooth[11]) / 2
    assert exposures.of("021.png")[0, 0] == pytest.approx(1 + exposures.trust * (expected - 1))
    assert np.array_equal(exposures.of("020.png"), smooth[10] * IDENTITY)  # a training photo has its own
    for name, end in (("-1.png", smooth[0]), ("999.png", smooth[-1])):
        assert exposures.of(name)[0, 0] == pytest.approx(1 + exposures.trust * (end - 1))


def test_photos_in_no_order_foretell_nothing() -> None:
    exposures = Exposures(gains([1.2, 0.8] * 20))
    assert exposures.trust == 0 and np.array_equal(exposures.of("021.png"), IDENTITY)
    assert np.array_equal(Exposures(gains([1.0] * 9)).of("001.png"), IDENTITY)
    assert np.array_equal(Exposures(gains([1.5, 1.5])).of("001.png"), IDENTITY)  # of two nobody knows


def test_colors_are_shown_as_in_training() -> None:
    matrix = np.array([[0.5, 0.1, 0.0, 0.01], [0.0, 2.0, 0.2, 0.02], [0.3, 0.0, 1.0, -0.5]])
    color = torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(0))
    shown = Exposures({"a": matrix}).show(color, "a")
    expected = color.permute(1, 2, 0).numpy() @ matrix[:, :3] + matrix[:, 3]
    np.testing.assert_allclose(shown.permute(1, 2, 0).numpy(), expected, atol=1e-6)


def test_the_file(tmp_path: Path) -> None:
    assert Exposures.read(tmp_path) is None
    (tmp_path / "exposure.json").write_text(json.dumps({"a.png": (2 * IDENTITY).tolist()}))
    found = Exposures.read(tmp_path)
    assert found is not None and np.array_equal(found.of("a.png"), 2 * IDENTITY)
    for bad in ([[1, 2], [3, 4]], "x", None, np.full((3, 4), np.nan).tolist(), [[10**400] * 4] * 3):
        (tmp_path / "exposure.json").write_text(json.dumps({"a.png": bad}))
        with pytest.raises(UserError, match="exposure.json, a.png is no exposure"):
            Exposures.read(tmp_path)

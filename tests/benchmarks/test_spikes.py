"""The benchmark's faulty gradient is put into the training, and nothing else is changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import spikes

import train
from scene.io import read_gaussians
from scene.types import GaussianArrays
from tests.helpers.rgbd import write_scene


def trained(run: Callable[[Sequence[str]], None], folder: Path, *flags: str) -> GaussianArrays:
    """After 4 steps."""
    common = ["-s", str(folder / "scene"), "--iterations", "4", "--quiet", "--overwrite", "--viewer_html_mb", "0"]
    model = folder / ("model" + "".join(flags))
    run([*common, "-m", str(model), "--distortion", "plain", "--lambda_sensor", "0", *flags])
    return read_gaussians(model / "point_cloud" / "iteration_4" / "point_cloud.ply")


@pytest.mark.slow
def test_the_approximation_is_another_gradient_of_distortion_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scene(tmp_path / "scene")
    exact = trained(train.main, tmp_path)
    without = trained(train.main, tmp_path, "--lambda_dist", "0")
    assert np.abs(exact.means - without.means).max() > 0, "distortion does nothing here"
    monkeypatch.setattr(spikes.batch, "render_batch", spikes.batch.render_batch)  # put back at the end
    approximated = trained(spikes.train_approximated, tmp_path)
    assert np.abs(approximated.means - exact.means).max() > 0
    assert np.abs(approximated.means - without.means).max() > 0
    alone = trained(spikes.train_approximated, tmp_path, "--lambda_dist", "0")
    np.testing.assert_array_equal(alone.means, without.means)

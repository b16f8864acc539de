"""Means of the steps just made."""

from __future__ import annotations

import pytest

from utils.metrics_log import TermMeans


def test_recent_means_follow_and_window_means_start_again():
    means = TermMeans()
    means.add({"loss": 1.0})
    means.add({"loss": 3.0})
    assert means.means() == {"loss": 2.0} and means.recent["loss"] == pytest.approx(1.1)
    means.restart()
    means.add({"loss": 5.0})
    assert means.means() == {"loss": 5.0} and means.recent["loss"] == pytest.approx(1.1 + 0.05 * 3.9)

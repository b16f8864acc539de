"""The shape of a cloud of Gaussians in a few numbers: histograms of opacity, size and aspect ratio."""

from __future__ import annotations

from typing import Any

import numpy as np

from scene.types import GaussianArrays

BINS = 40
SHARES = (0.001, 0.999)  # of the Gaussians, between which a logarithmic axis reaches
MAX_ASPECT = 1000.0


def histograms(gaussians: GaussianArrays) -> dict[str, dict[str, Any]]:
    """By title: BINS + 1 "edges", the "counts" between them, and a "note". What is not finite is left out; what lies
    beyond the edges is in the first and last bin."""
    logs = np.sort(gaussians.scales.astype(np.float64), axis=1)
    opacities = 1 / (1 + np.exp(-np.clip(gaussians.opacities[:, 0].astype(np.float64), -50, 50)))
    return {
        "Opacity": _counted(opacities, np.linspace(0, 1, BINS + 1), _median(opacities)),
        "Longest axis, world units": _counted(
            logs[:, 2], _log_edges(logs[:, 2]), _median(np.exp(logs[:, 2])), log=True
        ),
        "Shortest axis, world units": _counted(
            logs[:, 0], _log_edges(logs[:, 0]), _median(np.exp(logs[:, 0])), log=True
        ),
        "Longest / middle axis": _aspects(logs[:, 2] - logs[:, 1]),
        "Longest / shortest axis": _aspects(logs[:, 2] - logs[:, 0]),
    }


def _aspects(logs: np.ndarray) -> dict[str, Any]:
    finite = logs[np.isfinite(logs)]
    share = float((finite > np.log(10)).mean()) if len(finite) else 0.0
    edges = np.linspace(0, np.log(MAX_ASPECT), BINS + 1)
    return _counted(logs, edges, f"{_median(np.exp(np.clip(logs, None, 50)))}, {share:.1%} over 10", log=True)


def _log_edges(logs: np.ndarray) -> np.ndarray:
    finite = logs[np.isfinite(logs)]
    low, high = np.quantile(finite, SHARES) if len(finite) else (0.0, 1.0)
    return np.linspace(low, max(high, low + 0.1), BINS + 1)


def _counted(values: np.ndarray, edges: np.ndarray, note: str, log: bool = False) -> dict[str, Any]:
    finite = np.clip(values[np.isfinite(values)], edges[0], edges[-1])
    counts = np.histogram(finite, edges)[0].tolist()
    shown = np.exp(edges) if log else edges
    return {"edges": [float(f"{value:.6g}") for value in shown], "counts": counts, "note": note}


def _median(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    return f"median {np.median(finite):.3g}" if len(finite) else "none"

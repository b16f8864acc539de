"""What several test modules share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The processes of pytest-xdist share the cores, and so do runs that a test starts: torch's threads may not spin, and
# each process has one unless a test asks for more.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from tests.helpers import sharing

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

REAL_SCENES = Path(__file__).resolve().parents[2] / "shared" / "scenes"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return sharing.scheduler(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # a process of pytest-xdist
        sharing.long_units_first(items)


def real_scene(name: str) -> Path:
    """The folder of a real scene, or a skip: real photos are not ours to publish, so a clone has none."""
    path = REAL_SCENES / name
    if not path.exists():
        pytest.skip(f"the real scene {name!r} is not at {REAL_SCENES}; it may not be published with the project")
    return path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For small images, which several threads make slower; a test may set another number, which is undone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of tests.helpers.ring."""
    from tests.helpers.ring import make_dataset  # here: the rasterizer's tests run without what the trainer needs

    return make_dataset(tmp_path_factory.mktemp("data") / "ring")


@pytest.fixture
def without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing the pages at the end takes longer than a short run."""
    monkeypatch.setattr("training.outputs.write_summary", lambda folder: [])
    monkeypatch.setattr("training.outputs.write_viewer_page", lambda *_, **__: "")

"""The backends that the tests of this folder run on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from .emulated import build, load
from .pipeline import ON_CARD, Backend


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    library = tmp_path_factory.mktemp("emulated") / "emulated.so"
    build(library)
    return Backend(load(library))


@pytest.fixture
def emulated(emulator: Backend) -> Iterator[Backend]:
    """The kernels in the natural order, one block at a time; a test that wants another says so."""
    yield emulator
    emulator.operators.schedule(0, 1)
    emulator.operators.fill_shared(0xFF)


@pytest.fixture(params=["emulated", *(["card"] if torch.cuda.is_available() else [])])
def kernels(request: pytest.FixtureRequest) -> Backend:
    """The CUDA kernels wherever they can run: in the emulator, and on a card where there is one."""
    return ON_CARD if request.param == "card" else request.getfixturevalue("emulated")


@pytest.fixture(autouse=True)
def garbage_in_new_tensors() -> Iterator[None]:
    """What a kernel writes it must write everywhere: torch fills new memory with NaN or the largest integer."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])

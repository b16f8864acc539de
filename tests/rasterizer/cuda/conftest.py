"""The emulated kernels, built once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .emulated import Emulated, build


@pytest.fixture(scope="session")
def emulated_library(tmp_path_factory: pytest.TempPathFactory) -> Emulated:
    library = tmp_path_factory.mktemp("emulated") / "emulated.so"
    build(library)
    return Emulated(library)


@pytest.fixture
def emulated(emulated_library: Emulated) -> Iterator[Emulated]:
    """The kernels in the natural order of blocks and threads; a test that wants another says so."""
    emulated_library.seed(0)
    yield emulated_library
    emulated_library.seed(0)

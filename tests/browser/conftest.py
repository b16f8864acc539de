"""A browser for the tests of pages; without one they are skipped."""

from __future__ import annotations

import pytest

from tests.helpers.browser import chromium


@pytest.fixture(scope="session")
def program() -> str:
    """Chromium, or a skip."""
    found = chromium()
    if found is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    return found

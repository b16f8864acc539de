"""A browser for the tests of pages; without one they are skipped."""

from __future__ import annotations

import os

import pytest

from tests.helpers.browser import chromium


@pytest.fixture(autouse=True)
def only_when_asked() -> None:
    """A browser without a GPU takes seconds for each page."""
    if not os.environ.get("CHECK_BROWSER"):
        pytest.skip("make check-browser runs what needs a browser")


@pytest.fixture(scope="session")
def program() -> str:
    """Chromium, or a skip."""
    found = chromium()
    if found is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    return found

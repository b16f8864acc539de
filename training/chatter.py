"""What a run can do without: pictures, logs, lines on the screen, measurements, pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from utils.errors import reason


class Chatter:
    """Keeps what is said about a run from ending it: the first failure of a kind is a warning, later ones nothing."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self.failed: set[str] = set()  # kinds

    @contextmanager
    def attempt(self, kind: str) -> Iterator[None]:
        """Do what stands in the block, as far as it goes. `kind`, as in "writing preview.png", begins the warning."""
        try:
            yield
        except Exception as error:  # whatever it is, hours of training are worth more
            if kind not in self.failed:
                self.failed.add(kind)
                self._warn(f"{kind} failed, and training goes on without: {reason(error)}")

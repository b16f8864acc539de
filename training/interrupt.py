"""Ctrl-C, `kill` and a closed terminal as a wish that is heard between two steps, not in the middle of one."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """While entered, the first SIGINT, SIGTERM or SIGHUP sets `requested`; the second acts as it would without this.

    A SIGHUP that is ignored stays so: the run was started by nohup.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        heard = [each for each in self.SIGNALS if not (each == signal.SIGHUP and _is_ignored(each))]
        self._before = {each: signal.signal(each, self._request) for each in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)


def _is_ignored(each: signal.Signals) -> bool:
    return signal.getsignal(each) == signal.SIG_IGN

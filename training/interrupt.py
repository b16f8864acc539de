"""Ctrl-C, `kill` and a closed terminal as a wish that is heard between two steps, not in the middle of one."""

from __future__ import annotations

import signal
from enum import Enum
from types import FrameType, TracebackType
from typing import Any

from utils.console import ask

QUESTION = "Enter stops here; f finishes now, by the last 5 % of the steps and the pages; g goes on as before: "


class Wish(Enum):
    """What is to become of a run whose state is kept."""

    STOP = ""
    FINISH = "f"
    GO_ON = "g"


class Interrupt:
    """While entered, the first SIGINT, SIGTERM or SIGHUP sets `requested`. A second one takes nothing away of what is
    being kept; after a second SIGINT `wish` asks. The third acts as it would without this.

    A SIGHUP that is ignored stays so: the run was started by nohup.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._heard: list[int] = []
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        return bool(self._heard)

    def __enter__(self) -> Interrupt:
        self._heard = []
        heard = [each for each in self.SIGNALS if not (each == signal.SIGHUP and _is_ignored(each))]
        self._before = {each: signal.signal(each, self._request) for each in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def wish(self) -> Wish:
        """What to do now that the state is kept: to stop, unless Ctrl-C was pressed twice on a terminal, where another
        wish may be typed. Then it is as if no signal had been heard."""
        answer = Wish.STOP
        if self._heard == [signal.SIGINT, signal.SIGINT]:
            answer = _wish_of(ask(QUESTION))
        if answer != Wish.STOP:
            self.__enter__()
        return answer

    def _request(self, number: int, frame: FrameType | None) -> None:
        self._heard.append(number)
        if len(self._heard) == 2:
            self._restore()

    def _restore(self) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)


def _wish_of(answer: str) -> Wish:
    word = answer.strip().lower()[:1]
    return Wish(word) if word in (Wish.FINISH.value, Wish.GO_ON.value) else Wish.STOP


def _is_ignored(each: signal.Signals) -> bool:
    return signal.getsignal(each) == signal.SIG_IGN

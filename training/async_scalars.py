"""Numbers that the device makes and the host reads without waiting for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

About = TypeVar("About")


class _Reading(NamedTuple):
    names: tuple[str, ...]
    numbers: Tensor  # on the host, or on their way there
    arrival: torch.cuda.Event | None


class AsyncScalars(Generic[About]):
    """A queue of named numbers on their way, each with what it is about.

    From a GPU they come when it has got that far, usually a step later; on the CPU they are there at once.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[About, _Reading]] = deque()

    @torch.no_grad()
    def put(self, about: About, numbers: Mapping[str, Tensor]) -> Tensor:
        """`numbers`: scalars, all on one device. Returns them there, as one tensor."""
        values = torch.stack(list(numbers.values()))
        on_host = values.to("cpu", non_blocking=True)
        arrival = torch.cuda.current_stream().record_event() if values.is_cuda else None
        self._waiting.append((about, _Reading(tuple(numbers), on_host, arrival)))
        return values

    def arrived(self, wait: bool = False) -> Iterator[tuple[About, dict[str, float]]]:
        """Those that have come, in order, each once; with `wait` all there are."""
        while self._waiting:
            about, (names, numbers, arrival) = self._waiting[0]
            if arrival is not None and not wait and not arrival.query():
                return
            if arrival is not None:
                arrival.synchronize()
            self._waiting.popleft()
            yield about, dict(zip(names, numbers.tolist(), strict=True))

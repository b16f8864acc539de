"""Numbers that come late are those that were put."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from training.async_scalars import AsyncScalars


class Arrival:
    """Of a GPU that is behind: there when it was waited for."""

    def __init__(self) -> None:
        self.there = False

    def query(self) -> bool:
        return self.there

    def synchronize(self) -> None:
        self.there = True


def test_on_the_cpu_they_are_there_at_once() -> None:
    readings: AsyncScalars[str] = AsyncScalars()
    leaf = torch.tensor(0.25, requires_grad=True)
    precise = torch.tensor(3.0, dtype=torch.float64)
    values = readings.put("first", {"a": 2 * leaf, "b": precise, "c": torch.tensor(True)})
    assert values.tolist() == [0.5, 3, 1] and not values.requires_grad
    assert list(readings.arrived()) == [("first", {"a": 0.5, "b": 3.0, "c": 1.0})]
    assert list(readings.arrived()) == []


def test_those_of_a_gpu_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    readings: AsyncScalars[int] = AsyncScalars()
    for number in range(3):
        readings.put(number, {"n": torch.tensor(float(number))})
    arrivals = [Arrival() for _ in range(3)]
    waiting: Any = readings._waiting
    for place, arrival in enumerate(arrivals):
        about, reading = waiting[place]
        waiting[place] = (about, reading._replace(arrival=arrival))
    assert list(readings.arrived()) == []
    arrivals[1].there = True
    assert list(readings.arrived()) == [], "the first is not there yet"
    arrivals[0].there = True
    assert [about for about, _ in readings.arrived()] == [0, 1]
    assert list(readings.arrived(wait=True)) == [(2, {"n": 2.0})]

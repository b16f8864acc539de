"""Tensors brought to the device while it computes, so that nothing waits for them."""

from __future__ import annotations

import torch
from torch import Tensor

Tensors = tuple[Tensor | None, ...]


class Uploader:
    """Copies from the host to `device` on a stream of its own; on the CPU there is nothing to copy."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def keep(self, tensors: Tensors) -> Tensors:
        """The same in memory that the device can copy from by itself."""
        if self.stream is None:
            return tensors
        return tuple(None if each is None else each.pin_memory() for each in tensors)

    def start(self, tensors: Tensors) -> Upload:
        """Begin to copy."""
        if self.stream is None:
            return Upload(to_device(tensors, self.device))
        with torch.cuda.stream(self.stream):
            copies = to_device(tensors, self.device)
        return Upload(copies, self.stream.record_event())


class Upload:
    """Copies on their way."""

    def __init__(self, copies: Tensors, arrival: torch.cuda.Event | None = None) -> None:
        self._copies, self._arrival = copies, arrival

    def arrived(self) -> Tensors:
        """The copies, for use on the current stream: the device waits for them, the host does not."""
        if self._arrival is not None:
            current = torch.cuda.current_stream()
            current.wait_event(self._arrival)
            for each in self._copies:
                if each is not None:
                    each.record_stream(current)  # their memory is the other stream's: not to be used again before this
        return self._copies


def to_device(tensors: Tensors, device: torch.device) -> Tensors:
    """All of them on `device`; those of pinned memory are on their way, in the order of the current stream."""
    return tuple(None if each is None else each.to(device, non_blocking=True) for each in tensors)

"""Whether all ranks are there. A thread of each looks at the others' signs of life, and ends its own when one has died.

Nobody else could: who waits in a collective for a rank that has died waits for as long as the collective may take,
hours where rank 0 measures and draws. The signs are in the store that torchrun keeps for all processes.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType

import torch
import torch.distributed as dist

from utils.console import complain
from utils.distributed import ONE, Launch, Ranks, join, leave
from utils.errors import UserError, reason

BEAT = 2.0  # seconds between two signs of life
SILENCE = 40.0  # seconds without one, after which a rank is taken for dead
GRACE = 6.0  # seconds in which a rank that fails waits for others to say that they have, too
LEFT = "left"  # the sign of a rank that has done its part
BEGUN = "train/begun"
FAILED = 3  # the exit status of what ended because another rank did


class Watch:
    """While entered, this rank shows that it is alive, and ends when another is not.

    `fail` says why this one will end, so that the others can tell it.
    """

    def __init__(self, launch: Launch, end: Callable[[int], None] = os._exit) -> None:
        self.launch, self._end = launch, end
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._store: dist.Store | None = None
        self._seen: dict[int, tuple[bytes, float]] = {}  # rank -> its last sign, and when that was new

    def __enter__(self) -> Watch:
        if self.launch.size > 1:
            self._store = dist.PrefixStore(f"watch/{self.launch.restarts}", _connected())
            self._say("alive")
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._store is not None:
            self._thread.join(BEAT * 2)
            self._tell("sign", LEFT)

    def fail(self, error: BaseException) -> str:
        """Tell the others why this rank ends. Returns what of it is to be said here: "" where another says it, and who
        has ended where this one ends because of that."""
        if self._store is None:
            return reason(error)
        text = reason(error).splitlines()[0]
        lost = isinstance(error, RuntimeError) and not isinstance(error, (ValueError, NotImplementedError))
        self._tell("fault" if not lost else "lost", text)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            for rank in range(self.launch.size):
                if rank != self.launch.rank and (fault := self._told("fault", rank)):
                    if lost:
                        return f"rank {self.launch.rank} stops, since rank {rank} has: {fault}"
                    if fault == text and rank < self.launch.rank:
                        return ""
            if not lost and self.launch.rank == 0:
                break
            time.sleep(0.1)
        dead = self._silent(GRACE / 2) if lost else []  # its last sign may have been seen a beat after its death
        if dead:
            return f"rank {self.launch.rank} stops, since rank {dead[0]} has ended without a word (killed?)"
        return f"rank {self.launch.rank}: {reason(error)}"

    def _look(self) -> None:
        while not self._stop.wait(BEAT):
            try:
                self._say(str(time.monotonic()))
                ended = self._ended()
            except Exception as error:  # the store is gone, and who keeps it
                ended = "" if self._stop.is_set() else f"nobody keeps the ranks together any more ({reason(error)})"
            if ended and not self._stop.is_set():
                time.sleep(2 * GRACE + BEAT)  # the main thread has noticed, too, and says it better
                if not self._stop.is_set():
                    complain(f"error: rank {self.launch.rank} stops: {ended}")
                    self._end(FAILED)
                return

    def _ended(self) -> str:
        """Why there is no going on; "" where there is."""
        for rank in range(self.launch.size):
            if rank != self.launch.rank and (fault := self._told("fault", rank)):
                return f"rank {rank} has ended: {fault}"
        silent = self._silent(SILENCE)
        return f"rank {silent[0]} has not answered for {SILENCE:.0f} seconds" if silent else ""

    def _silent(self, seconds: float) -> list[int]:
        """Ranks without a new sign of life for this long."""
        now, silent = time.monotonic(), []
        for rank in range(self.launch.size):
            sign = self._told("sign", rank).encode()
            before = self._seen.get(rank)
            if before is None or before[0] != sign:
                self._seen[rank] = before = (sign, now)
            if rank != self.launch.rank and sign.decode() != LEFT and now - before[1] > seconds:
                silent.append(rank)
        return silent

    def _say(self, sign: str) -> None:
        assert self._store is not None
        self._store.set(f"sign/{self.launch.rank}", sign)

    def _tell(self, what: str, text: str) -> None:
        with suppress(Exception):  # the store may be gone with rank 0
            assert self._store is not None
            self._store.set(f"{what}/{self.launch.rank}", text)

    def _told(self, what: str, rank: int) -> str:
        assert self._store is not None
        key = f"{what}/{rank}"
        return self._store.get(key).decode(errors="replace") if self._store.check([key]) else ""


def mark_begun() -> None:
    """Let processes that torchrun starts again know that these had a model folder of their own."""
    if (store := _store_of_torchrun()) is not None:
        store.set(BEGUN, "1")


def has_begun() -> bool:
    """Whether processes before these, of the same torchrun, had a model folder of their own."""
    store = _store_of_torchrun()
    return store is not None and store.check([BEGUN])


def _store_of_torchrun() -> dist.Store | None:
    """What outlives the processes that torchrun starts; None without it."""
    return _connected() if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" else None


def _connected() -> dist.Store:
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(address, port, is_master=False, timeout=timedelta(seconds=20))


@contextmanager
def together(launch: Launch, device: torch.device) -> Iterator[Ranks]:
    """While entered, the processes that torchrun has started are ranks that know of each other; what ends one ends all.

    Raises: UserError that says which rank has ended, and why, where another than this one was the first; SystemExit
    where another says all that there is to say.
    """
    if launch.size == 1:
        yield ONE
        return
    ranks = join(launch, device)
    with Watch(launch) as watch:
        try:
            yield ranks
            ranks.wait()  # rank 0 may have pages to write
        except (UserError, OSError, RuntimeError) as error:
            text = watch.fail(error)
            if not text:
                sys.exit(2)
            raise UserError(text) from error
        except BaseException as error:
            watch.fail(error)
            raise
    leave(ranks)

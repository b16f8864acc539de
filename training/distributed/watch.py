"""Whether all ranks are there. A thread of each looks at the others' signs of life, and ends its own when one has died.

Nobody else could: who waits in a collective for a rank that has died waits for as long as the collective may take,
hours where rank 0 measures and draws. The signs are in the store that torchrun keeps for all processes.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import TracebackType

import torch
import torch.distributed as dist

from utils.console import complain
from utils.distributed import ONE, Launch, Ranks, join, keeps_store, launch_of, leave, meeting_point
from utils.errors import UserError, reason

BEAT = 2.0  # seconds between two signs of life
SILENCE = 40.0  # seconds without one, after which a rank is taken for dead
STARTING = 300.0  # the same for a rank that has not given any: another machine may be slow to start
GRACE = 6.0  # seconds in which a rank that fails waits for others to say that they have, too
LEFT = "left"  # the sign of a rank that has done its part
BEGUN = "train/begun"
FAILED = 2  # the exit status of what ended because another rank did, as of any error that is said in a sentence


class Watch:
    """While entered, this rank shows that it is alive, and ends when another is not.

    `fail` says why this one will end, so that the others can tell it.
    """

    def __init__(self, launch: Launch, store: dist.Store) -> None:
        """`store`: of the meeting point; the watch has a line of its own to it."""
        self.launch = launch
        line: dist.Store = store.clone()  # type: ignore[attr-defined]  # the stubs do not know it
        self._store = dist.PrefixStore(f"watch/{launch.restarts}", line)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._seen: dict[int, tuple[str, float]] = {}  # rank -> its last sign, and when that was new

    def __enter__(self) -> Watch:
        self._say("alive")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(BEAT * 2)
        self._tell("sign", LEFT)

    def fail(self, error: BaseException) -> str:
        """Tell the others why this rank ends. Returns what of it is to be said here: "" where another says it, and who
        has ended where this one ends because of that."""
        try:
            return self._why(error)
        except Exception:  # the store has gone with who kept it
            return f"rank {self.launch.rank}: {reason(error)}"

    def _why(self, error: BaseException) -> str:
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
                    text = f"rank {self.launch.rank} stops, since {ended}"
                    complain(f"error: {text}")
                    _tell_torchrun(text, int(time.time()))
                    os._exit(FAILED)
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
            sign = self._told("sign", rank)
            before = self._seen.get(rank)
            if before is None or before[0] != sign:
                self._seen[rank] = before = (sign, now)
            limit = seconds if sign else max(seconds, STARTING)
            if rank != self.launch.rank and sign != LEFT and now - before[1] > limit:
                silent.append(rank)
        return silent

    def _say(self, sign: str) -> None:
        self._store.set(f"sign/{self.launch.rank}", sign)

    def _tell(self, what: str, text: str) -> None:
        with suppress(Exception):  # the store may be gone with rank 0
            self._store.set(f"{what}/{self.launch.rank}", text)

    def _told(self, what: str, rank: int) -> str:
        key = f"{what}/{rank}"
        return self._store.get(key).decode(errors="replace") if self._store.check([key]) else ""


def mark_begun() -> None:
    """Let processes that torchrun starts again know that these had a model folder of their own."""
    if keeps_store():
        meeting_point(launch_of()).set(BEGUN, "1")


def has_begun() -> bool:
    """Whether processes before these, of the same torchrun, had a model folder of their own."""
    return keeps_store() and bool(meeting_point(launch_of()).check([BEGUN]))


@contextmanager
def together(launch: Launch) -> Iterator[Callable[[torch.device], Ranks]]:
    """While entered, the processes that torchrun has started know of each other, and what ends one ends all. What it
    yields makes them ranks, which compute on a device each.

    Raises: UserError that says which rank has ended, and why, where another than this one was the first; SystemExit
    where another says all that there is to say.
    """
    if launch.size == 1:
        yield lambda device: ONE
        return
    store, made = meeting_point(launch), list[Ranks]()

    def join_on(device: torch.device) -> Ranks:
        made.append(join(launch, device, store))
        return made[0]

    with Watch(launch, store) as watch:
        try:
            yield join_on
            for ranks in made:
                ranks.wait()  # rank 0 may have pages to write
        except BaseException as error:
            _outlive_torchrun()
            now = int(time.time())
            text = watch.fail(error)
            if text and isinstance(error, Exception):  # what exits by itself has said all
                _tell_torchrun(text, now)
            if not isinstance(error, (UserError, OSError, RuntimeError)):  # Ctrl-C, or a fault of the program
                raise
            if not text:
                sys.exit(FAILED)
            raise UserError(text) from error
    for ranks in made:
        leave(ranks)


@contextmanager
def said_once(launch: Launch) -> Iterator[None]:
    """While entered, rank 0 prints for all: what each would print by itself, as argparse does."""
    nothing = io.StringIO()
    with (
        redirect_stdout(nothing) if launch.rank else nullcontext(),
        redirect_stderr(nothing) if launch.rank else nullcontext(),
    ):
        yield


def _outlive_torchrun() -> None:
    """Where one rank has ended, torchrun ends the others by SIGTERM, before they could say why; by SIGKILL later."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _tell_torchrun(text: str, when: int) -> None:
    """Let the last lines on the screen, which are torchrun's, say why this rank has ended, and when: in seconds since
    1970, by which torchrun finds who was the first."""
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        with suppress(OSError):
            told = {"message": text, "extraInfo": {"timestamp": str(when)}}  # as its `record` writes it
            Path(path).write_text(json.dumps({"message": told}))

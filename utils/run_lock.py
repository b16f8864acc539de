"""One run at a time in a model folder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

from utils.errors import UserError
from utils.metrics_log import read_object

NAME = ".training.lock"


class RunLock:
    """While entered, no other run can enter the same folder, from the moment that the folder is there.

    The lock is the system's (flock) on a file in the folder, which says who holds it. It ends with the process that
    holds it, however that ends, so a file that a killed run has left is in nobody's way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / NAME
        self._descriptor: int | None = None

    def __enter__(self) -> RunLock:
        if self.folder.is_dir():
            self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)  # before the lock ends: afterwards it may be another's
            os.close(self._descriptor)
            self._descriptor = None

    def take(self) -> None:
        """Lock the folder, which must be there, unless it is locked already. UserError naming the run that has it."""
        while self._descriptor is None:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if self._lock(descriptor):
                    self._descriptor = descriptor
            finally:
                if self._descriptor is None:
                    os.close(descriptor)

    def _lock(self, descriptor: int) -> bool:
        """Whether the file is locked now; not where it was removed meanwhile by the one that had it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{self.folder} is in use by another run{self._holder()}; choose another by -m") from None
        except OSError:  # a file system without locks: nothing can be known
            pass
        if not self.path.exists() or not os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
            return False
        start = datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "start": start}
        with suppress(OSError):  # on a full disk it stays unsaid
            os.truncate(descriptor, 0)
            os.write(descriptor, json.dumps(holder).encode())
        return True

    def _holder(self) -> str:
        holder = read_object(self.path)
        if not holder:  # it is just writing it
            return ""
        return f" (process {holder.get('pid')} on {holder.get('host')}, since {holder.get('start')})"

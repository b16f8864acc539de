"""The contents of photos and masks, looked through while training begins, so that damage is named before it is met."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType

from scene.images import decode_image, undecodable
from scene.types import View

LONGEST = 60  # seconds: a file system that no longer answers keeps no run from its end
LOWEST = 19  # priority of the thread, by the system's count
CHECKED = ".png"  # by its check sums, with its header: scene/image_header.py


class ContentCheck:
    """While entered, a thread of the lowest priority decodes each file once. It changes no result of a run: which views
    are left out is found when they are asked for, `ViewCache.find`, and this only says it early.

    A JPEG has no check sums: one whose damage gives another picture is taken for whole.
    """

    def __init__(self, views: Sequence[View]) -> None:
        self._paths = list(dict.fromkeys(path for view in views for path in _unchecked(view)))
        self._found: SimpleQueue[str] = SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> ContentCheck:
        if self._paths:
            self._thread = threading.Thread(target=self._look_through, name="contents", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the file that is being decoded: cv2 aborts the process where Python has ended in the meantime."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(LONGEST)

    def new_faults(self) -> list[str]:
        """What was found since the last call: a sentence for each damaged file."""
        found = []
        while True:
            try:
                found.append(self._found.get_nowait())
            except Empty:
                return found

    def _look_through(self) -> None:
        if sys.platform == "linux":  # elsewhere a thread has no priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)
        for path in self._paths:
            if self._stop.is_set():
                return
            if fault := _fault(path):
                self._found.put(fault)


def damaged(views: Sequence[View]) -> dict[str, str]:
    """Why photos or masks cannot be decoded, by the view's name."""
    faults = ((view.camera.name, _fault(path)) for view in views for path in _unchecked(view))
    return {name: fault for name, fault in faults if fault}


def _unchecked(view: View) -> list[Path]:
    paths = (view.image_path, view.mask_path)
    return [path for path in paths if path is not None and path.suffix.lower() != CHECKED]


def _fault(path: Path) -> str:
    try:
        return "" if decode_image(path) is not None else str(undecodable(path))
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"

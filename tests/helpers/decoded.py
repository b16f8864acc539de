"""What of photos is decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene import images


def parts_decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """To which part of its size each file is decoded from now on."""
    asked, decode = list[int](), images.decode_image

    def noting(path: Path, reduced: int = 1) -> np.ndarray | None:
        asked.append(reduced)
        return decode(path, reduced)

    monkeypatch.setattr(images, "decode_image", noting)
    return asked

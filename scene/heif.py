"""HEIC, HEIF and AVIF photos, as phones and cameras take them: Pillow decodes them, since OpenCV's wheels do not.

HEIC and HEIF are read by Pillow's plugin pillow-heif, AVIF by Pillow itself from 11.3 on. Pixels of HEIF come upright,
as the file's own properties turn them (ISO/IEC 23008-12), without EXIF's orientation; those of AVIF come as stored.
"""

from __future__ import annotations

from pathlib import Path

from PIL import features

SUFFIXES = (".heic", ".heif", ".hif", ".avif")
FORMATS = ("HEIF", "AVIF")  # Pillow's names
BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"avif", b"avis")
START = 64  # bytes of a file, in which its type box names its brands
PLUGIN, PILLOW = "pip install pillow-heif", 'pip install "pillow>=11.3"'


def is_heif(start: bytes) -> bool:
    """Whether a file that begins with these bytes is of one of the formats, whatever its name."""
    return start[4:8] == b"ftyp" and start[8:12] in BRANDS


def missing_library(path: Path) -> str:
    """The command that installs what decodes the photo; "" where nothing is missing, as for files of other formats.

    Where it is "", Pillow opens the photo.
    """
    with path.open("rb") as file:
        start = file.read(START)
    if not is_heif(start):
        return ""
    if b"avif" in start:
        return "" if features.check("avif") else PILLOW
    return "" if _plugin_is_there() else PLUGIN


def _plugin_is_there() -> bool:
    """Whether Pillow has its plugin, which it is given here; thumbnails and maps inside a photo are not looked at."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    return True

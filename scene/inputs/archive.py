"""A zip of a dataset, unpacked: no file leaves the folder, and none grows without bound."""

from __future__ import annotations

import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from scene.inputs.workspace import fingerprint, made_once
from utils.console import progress
from utils.errors import UserError

FOLDER = "unpacked"  # in the workspace
MAX_FILES = 100_000
MAX_RATIO, FREE_BYTES = 100, 1 << 30  # of unpacked to packed bytes, beyond the first: photos hardly shrink at all
BLOCK = 1 << 20
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, ArithmeticError, LookupError, ValueError)
UNREADABLE = (*DAMAGE, OSError, EOFError, RuntimeError, MemoryError)  # the last but one for what needs a password


def is_archive(path: Path) -> bool:
    return path.is_file() and zipfile.is_zipfile(path)


def unpacked(archive: Path, workspace: Path, quiet: bool = False) -> Path:
    """The folder of what a zip holds, in `workspace`, where it is unpacked once.

    Raises: UserError for an archive that is damaged, encrypted or too large, and for names that lead out of it.
    """
    folder = workspace / FOLDER
    made_once(folder, {"archive": fingerprint(archive)}, lambda place: _unpack(archive, place, quiet))
    return folder


def _unpack(archive: Path, folder: Path, quiet: bool) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened, archive)
            for member, name in progress(members, f"Unpacking {archive.name}", len(members), quiet):
                _write(opened, member, folder / name, archive)
    except UserError:
        raise
    except UNREADABLE as error:
        raise UserError(f"{archive} cannot be unpacked: {error}") from None


def _members(opened: zipfile.ZipFile, archive: Path) -> Sequence[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The files, and where they go. Raises: UserError for what does not belong into the archive of a dataset."""
    files = [(member, _inside(member, archive)) for member in opened.infolist() if not member.is_dir()]
    if len(files) > MAX_FILES:
        raise UserError(f"{archive} holds {len(files):,} files; at most {MAX_FILES:,} are unpacked")
    total, packed = sum(member.file_size for member, _ in files), archive.stat().st_size
    if total > MAX_RATIO * packed + FREE_BYTES:
        sizes = f"{packed / 2**30:.3f} GB packed would become {total / 2**30:.1f} GB"
        raise UserError(f"{archive} is no dataset: {sizes}, and photos hardly shrink")
    return [(member, name) for member, name in files if not _is_hidden(name)]


def _is_hidden(name: PurePosixPath) -> bool:
    return any(part == "__MACOSX" or part.startswith(".") for part in name.parts)


def _inside(member: zipfile.ZipInfo, archive: Path) -> PurePosixPath:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    leads_out = name.is_absolute() or ".." in name.parts or ":" in (name.parts or (":",))[0]
    if leads_out or stat.S_ISLNK(member.external_attr >> 16):
        raise UserError(f"{archive} holds {member.filename!r}, which leads out of it: nothing is unpacked")
    return name


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, archive: Path) -> None:
    """Raises: UserError for a file that is longer than the archive says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(path.parent).free < member.file_size:
        raise UserError(f"{archive} cannot be unpacked: the disk has no room for {member.filename!r}")
    left = member.file_size
    with opened.open(member) as source, path.open("xb") as target:
        while block := source.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise UserError(f"{archive}: {member.filename!r} is longer than the archive says")
            target.write(block)

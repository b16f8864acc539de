"""Zips of datasets: read like the folder, and nothing leaves theirs."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from scene import load_scene
from scene.inputs.archive import unpacked
from tests.helpers import recordings, rgbd
from utils.errors import UserError


def zipped(folder: Path, archive: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted(folder.rglob("*")):
            target.write(path, Path(inside) / path.relative_to(folder))
    return archive


@pytest.mark.parametrize("inside", ["", "scene", "a/b"])
def test_a_zip_is_read_like_its_folder(tmp_path: Path, inside: str) -> None:
    recordings.write_tum(tmp_path / "tum")
    expected = load_scene(tmp_path / "tum")
    archive = zipped(tmp_path / "tum", tmp_path / "tum.zip", inside)
    with zipfile.ZipFile(archive, "a") as target:
        target.writestr("__MACOSX/._rgb.txt", "x")
    for _ in range(2):  # the second time it is there
        scene = load_scene(archive, workspace=tmp_path / "model")
        assert [view.camera.name for view in scene.train] == [view.camera.name for view in expected.train]
        assert scene.kind == "TUM RGB-D" and "unpacked from tum.zip" in scene.summary
        assert scene.ledger.used == expected.ledger.used and scene.ledger.unused == {}
        stamp = (tmp_path / "model" / "unpacked").stat().st_mtime_ns
    assert stamp == (tmp_path / "model" / "unpacked").stat().st_mtime_ns


def test_a_folder_that_the_format_needs_is_not_stepped_over(tmp_path: Path) -> None:
    recordings.write_polycam(tmp_path / "capture")
    scene = load_scene(zipped(tmp_path / "capture", tmp_path / "a.zip"), workspace=tmp_path / "model")
    assert scene.kind == "Polycam" and len(scene.train) == 4 and ".made_of.json" not in scene.ledger.unused


def test_a_zip_needs_a_place(tmp_path: Path) -> None:
    rgbd.write_scene(tmp_path / "a")
    with pytest.raises(UserError, match="the files of an archive need a folder to be kept in"):
        load_scene(zipped(tmp_path / "a", tmp_path / "a.zip"))


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt", "..\\out.txt", "C:\\out.txt"])
def test_names_that_lead_out_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("first.txt", "x")
        target.writestr(name, "x")
    with pytest.raises(UserError, match="leads out of it: nothing is unpacked"):
        unpacked(archive, tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == [] and not (tmp_path / "out.txt").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("images")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr(link, "/etc")
    with pytest.raises(UserError, match="'images', which leads out of it"):
        unpacked(tmp_path / "a.zip", tmp_path / "model")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("a.png", bytes(1000))
    data = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):  # the length, in both headers
        at = data.index(signature) + place
        data[at : at + 4] = struct.pack("<I", 2**32 - 2)
    archive.write_bytes(data)
    with pytest.raises(UserError, match="is no dataset: 0.000 GB packed would become 4.0 GB"):
        unpacked(archive, tmp_path / "model")


def test_damage_is_said_and_nothing_left(tmp_path: Path) -> None:
    rgbd.write_scene(tmp_path / "a")
    archive = zipped(tmp_path / "a", tmp_path / "a.zip")
    data = bytearray(archive.read_bytes())
    data[len(data) // 3] ^= 255
    archive.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.zip cannot be unpacked: "):
        unpacked(archive, tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize("name", ["a.ply", "B.compressed.PLY", "c.spz"])
def test_gaussians_are_no_dataset_and_it_is_said_what_takes_them(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"ply")
    with pytest.raises(UserError, match=rf"{name} is a file of Gaussians, .*: --start_from .* --splats .*export.py -m"):
        load_scene(tmp_path / name, workspace=tmp_path / "model")


@pytest.mark.parametrize("name", ["a.zip", "a.txt", "a.json"])
def test_what_is_neither_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no archive")
    with pytest.raises(UserError, match=rf"{name} is neither a folder, a zip nor a video \(.*\.mp4"):
        load_scene(tmp_path / name, workspace=tmp_path / "model")
    with pytest.raises(UserError, match="the dataset .*b.zip is not there"):
        load_scene(tmp_path / "b.zip", workspace=tmp_path / "model")

"""What the fuzzer damages: how each format is written, which of its files are damaged, and how it is read."""

from __future__ import annotations

import gzip
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from scene.io import write_gaussians
from tests.fuzz import datasets, model_files, reading
from tests.fuzz.reading import Part, files_alone, reader_alone, scene_fault
from tests.helpers.splats import splats


def nothing(folder: Path) -> None:
    """What follows the damage to most files."""


def unsealed(data: bytes) -> bytes:
    """Of files without check sums, and to damage what has some."""
    return data


def chunks_resealed(data: bytes) -> bytes:
    """A PNG whose chunks have the check sums of what they hold now."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        data = data[:end] + struct.pack(">I", zlib.crc32(data[at + 4 : end])) + data[end + 4 :]
        at = end + 4
    return data


@dataclass(frozen=True)
class Format:
    """A format of datasets or files."""

    write: Callable[[Path], None]
    damaged: tuple[str, ...]  # the files that match one of these patterns
    fault: Callable[[Path], str] = scene_fault  # reads the folder; see tests/fuzz/reading.py
    part: Callable[[Path], Part] | None = None  # reads what the damage reaches first, which is much faster
    whole_every: int = 8  # inputs, where there is such a part
    afterwards: Callable[[Path], None] = nothing  # is called between damage and reading
    resealed: Callable[[bytes], bytes] = unsealed  # a damaged file whose check sums are right: damage is behind them
    opened: Callable[[bytes], bytes] = unsealed  # what is damaged of a file, which `resealed` makes a file again
    needs: str = ""  # the module without which it cannot be written

    @property
    def is_writable(self) -> bool:
        return not self.needs or find_spec(self.needs) is not None


def packed(name: str) -> Format:
    """A file of Gaussians of another format: our own, or the golden file of the reader's tests."""

    def write(folder: Path) -> None:
        golden = GOLDEN / name
        if golden.exists():
            shutil.copyfile(golden, folder / name)
        elif name == "a.ply":
            datasets.ply_gaussians(folder)
        else:
            write_gaussians(folder / name, splats(8, 4))

    return Format(write, (name,), lambda folder: reading.gaussians_fault(folder / name))


MODEL = ("sparse/0/*",)
PLACED = ("workspace/sfm/*.json", "workspace/sfm/.made_of.json", "workspace/sfm/sparse/0/*")
PAGES = ("*.json", "metrics.jsonl", "test/ours_3/*.json", "test/ours_3/*/*.png")
GOLDEN = Path(__file__).parents[1] / "scene" / "io" / "golden"
SPLATS = {  # format of the fuzzer -> file that is damaged; spz_4 needs an optional library
    "ply_gaussians": "a.ply",
    "compressed_ply": "a.compressed.ply",
    "splat": "b.splat",
    "spz_2_3": "b.spz",
    "spz_4": "v4.spz",
    "sog": "a.sog",
    "glb": "a.glb",
}
FORMATS = {
    "colmap_bin": Format(lambda folder: datasets.colmap(folder, binary=True), MODEL, part=reader_alone),
    "colmap_bin_depth": Format(
        lambda folder: datasets.colmap(folder, binary=True, depth="png"), MODEL, part=reader_alone
    ),
    "colmap_txt": Format(datasets.colmap, MODEL, part=reader_alone),
    "colmap_txt_depth": Format(lambda folder: datasets.colmap(folder, depth="png"), MODEL, part=reader_alone),
    "colmap_lenses": Format(datasets.lenses, ("sparse/0/cameras.txt",), part=reader_alone),
    "lists": Format(datasets.lists, ("sparse/0/test.txt", "test_far.txt", "test_far/*.json")),
    "placed_photos": Format(datasets.placed_photos, PLACED, reading.placed_fault),
    "nerfstudio": Format(datasets.nerfstudio, ("transforms.json", "sparse.ply"), part=reader_alone),
    "blender": Format(datasets.blender, ("*.json",), part=reader_alone),
    "tum": Format(datasets.tum, ("*.txt",), part=reader_alone),
    "scannet": Format(datasets.scannet, ("pose/*", "intrinsic/*"), part=reader_alone),
    "scannet_img": Format(datasets.scannet, ("color/*", "depth/*"), part=files_alone),
    "sevenscenes": Format(datasets.seven_scenes, ("*/*.txt", "*.txt"), part=reader_alone),
    "replica": Format(datasets.replica, ("*.txt", "*.json"), part=reader_alone),
    "redwood": Format(datasets.redwood, ("*.log", "*.json"), part=reader_alone),
    "kitti": Format(datasets.kitti, ("*.txt",), part=reader_alone),
    "opensfm": Format(datasets.opensfm, ("reconstruction.json",), part=reader_alone),
    "scanner_app": Format(datasets.scanner_app, ("*.json",), part=reader_alone),
    "scanner_conf": Format(datasets.scanner_app, ("conf_*", "depth_*"), part=files_alone),
    "polycam": Format(datasets.polycam, ("keyframes/*/*.json",), part=reader_alone),
    "polycam_conf": Format(datasets.polycam, ("keyframes/confidence/*", "keyframes/depth/*"), part=files_alone),
    "record3d": Format(datasets.record3d, ("metadata.json",), part=reader_alone),
    "r3d": Format(datasets.r3d, ("metadata",), part=reader_alone, needs="lzfse"),
    "r3d_depth": Format(datasets.r3d, ("rgbd/*.depth", "rgbd/*.conf"), part=files_alone, needs="lzfse"),
    "stray": Format(datasets.stray, ("*.csv",)),
    "stray_video": Format(datasets.stray, ("*.mp4",)),
    "zip": Format(datasets.zipped, ("a.zip",), partial(scene_fault, source="a.zip")),
    "depth_exr_zip": Format(datasets.record3d, ("depth/*",), part=files_alone),
    "depth_exr_rle": Format(lambda folder: datasets.record3d(folder, compression=1), ("depth/*",), part=files_alone),
    "img_jpg": Format(lambda folder: datasets.colmap(folder, suffix="jpg"), ("images/*",), part=files_alone),
    "img_avif": Format(datasets.by_pillow(".avif"), ("images/*",), part=files_alone),
    "img_heic": Format(datasets.by_pillow(".heic"), ("images/*",), needs="pillow_heif", part=files_alone),
    "img_tiff": Format(datasets.by_pillow(".tiff"), ("images/*",), part=files_alone),
    "img_png_16": Format(datasets.deep_photos, ("images/*",), part=files_alone),
    "img_png": Format(datasets.colmap, ("images/*",), part=files_alone),
    "img_png_sealed": Format(datasets.deep_photos, ("images/*",), part=files_alone, resealed=chunks_resealed),
    "img_bmp": Format(lambda folder: datasets.colmap(folder, suffix="bmp"), ("images/*",), part=files_alone),
    "img_ppm": Format(lambda folder: datasets.colmap(folder, suffix="ppm"), ("images/*",), part=files_alone),
    "img_webp": Format(lambda folder: datasets.colmap(folder, suffix="webp"), ("images/*",), part=files_alone),
    "mask_png": Format(lambda folder: datasets.colmap(folder, masks=True), ("masks/*",), part=files_alone),
    "depth_png": Format(lambda folder: datasets.colmap(folder, depth="png"), ("depth/*",), part=files_alone),
    "depth_png_sealed": Format(
        lambda folder: datasets.colmap(folder, depth="png"), ("depth/*",), part=files_alone, resealed=chunks_resealed
    ),
    "depth_tiff": Format(lambda folder: datasets.colmap(folder, depth="tiff"), ("depth/*",), part=files_alone),
    "depth_npy": Format(lambda folder: datasets.colmap(folder, depth="npy"), ("depth/*",), part=files_alone),
    "ply_points": Format(datasets.ply_points, ("a.ply",), reading.points_fault),
    **{kind: packed(name) for kind, name in SPLATS.items()},
    "spz_inside": replace(packed("b.spz"), opened=gzip.decompress, resealed=partial(gzip.compress, compresslevel=1)),
    "config": Format(model_files.config, ("config.json",), reading.config_fault),
    "cameras_json": Format(model_files.cameras, ("cameras.json",), reading.cameras_fault),
    "exposure_json": Format(model_files.exposures, ("exposure.json",), reading.exposures_fault),
    "poses_refined": Format(
        model_files.refined_poses, ("poses_refined.json",), reading.poses_fault, part=reading.poses_alone
    ),
    "camera_path": Format(model_files.camera_path, ("path.json",), reading.path_fault),
    "pages": Format(model_files.pages, PAGES, reading.pages_fault, part=reading.page_without_drawings, whole_every=200),
    "checkpoint": Format(model_files.checkpoint, ("chkpnt0.pth",), reading.checkpoint_fault),
    "checkpoint_sealed": Format(
        model_files.checkpoint, ("chkpnt0.pth",), reading.checkpoint_fault, model_files.seal_again
    ),
    "sharded": Format(model_files.sharded, ("chkpnt0/*", "chkpnt0/.metadata"), reading.sharded_fault),
    "sharded_sealed": Format(
        model_files.sharded, ("chkpnt0/*", "chkpnt0/.metadata"), reading.sharded_fault, model_files.seal_sharded_again
    ),
}

"""Small model folders, with the files that are read again after training: what the fuzzer damages of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from arguments import parse_train_options, to_json
from gaussian_renderer.exposures import FILE as EXPOSURES
from scene.camera_list import write_cameras
from scene.gaussians.shard import Shard
from scene.histograms import histograms
from scene.readers.base import OPENCV_FROM_OPENGL
from scene.refined_poses import write_refined
from scene.types import Camera
from tests.fuzz.datasets import HEIGHT, POINTS, WIDTH, colmap, poses
from tests.fuzz.reading import CPU, state_of
from tests.helpers.pictures import write_log, write_views
from tests.helpers.splats import splats
from training.checkpoint import FORMAT, NO_COMMENT, SEAL_SIZE, save_checkpoint
from training.distributed.checkpoint import SEAL, SHARDED_FORMAT, save_sharded
from utils.distributed import ONE
from utils.files import write_json
from utils.metrics.renders import evaluate_model
from utils.reporting.html_report import write_summary


def config(folder: Path) -> None:
    (folder / "config.json").write_text(to_json(parse_train_options(["-s", "data", "-m", "out", "--eval"])))


def cameras(folder: Path) -> None:
    views = [
        Camera(f"{k}.png", WIDTH, HEIGHT, 14.0, 14.0, 8.0, 6.0, np.linalg.inv(pose)) for k, pose in enumerate(poses())
    ]
    write_cameras(folder, views)


def exposures(folder: Path) -> None:
    write_json(folder / EXPOSURES, {f"{k}.png": (1.1 * np.eye(3, 4) + 0.01 * k).tolist() for k in range(4)})


def refined_poses(folder: Path) -> None:
    colmap(folder / "data")
    before = np.stack([np.linalg.inv(pose) for pose in poses()])
    names = [f"{k}.png" for k in range(len(before))]
    write_refined(folder, names, before, before, np.zeros(len(before)), np.zeros(len(before)))


def camera_path(folder: Path) -> None:
    matrices = [(pose @ OPENCV_FROM_OPENGL).ravel().tolist() for pose in poses()]
    frames = [{"camera_to_world": matrix, "fov": 50, "aspect": 1.3} for matrix in matrices]
    content = {"camera_type": "perspective", "render_height": 480, "render_width": 640, "fps": 24, "seconds": 4}
    (folder / "path.json").write_text(json.dumps({**content, "is_cycle": False, "camera_path": frames}))


def pages(folder: Path) -> None:
    write_views(folder / "test" / "ours_3", 2)
    write_log(folder)
    facts = {"command": "train.py", "warnings": ["a"], "status": "finished", "machine": {"cores": 2}}
    write_json(folder / "run.json", facts)
    write_json(folder / "histograms.json", {"iteration": 3, **histograms(splats(8, 4))})
    evaluate_model(folder)
    write_summary(folder)  # which loads what draws: no fault of the first input that is read


# ---- checkpoints


def checkpoint(folder: Path) -> None:
    colmap(folder / "data")
    save_checkpoint(folder / "chkpnt0.pth", state_of(str(folder / "data")).to_checkpoint())


def seal_again(folder: Path) -> None:
    """The seal of whatever the checkpoint holds now: damage comes to what is behind it."""
    path = folder / "chkpnt0.pth"
    content = path.read_bytes()[: -len(NO_COMMENT) - SEAL_SIZE]
    seal = f"checkpoint {FORMAT:03} blake2b {digest(content + NO_COMMENT)}".encode()
    path.write_bytes(content + len(seal).to_bytes(2, "little") + seal)


def sharded(folder: Path) -> None:
    colmap(folder / "data")
    state = state_of(str(folder / "data"))
    shard = Shard.dealt(ONE, len(state.gaussians), CPU)
    content = {**state.to_checkpoint(), "ids": shard.ids, "created": shard.created}
    save_sharded(folder / "chkpnt0", content, shard)


def seal_sharded_again(folder: Path) -> None:
    seal = folder / "chkpnt0" / SEAL
    names = [path.name for path in seal.parent.iterdir() if path != seal]
    files = {name: digest((seal.parent / name).read_bytes()) for name in names}
    write_json(seal, {"format": SHARDED_FORMAT, "ranks": 1, "counts": [POINTS], "files": files})


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()

"""Whether a checkpoint is one of this run: of its scene, its settings, and made as its state is made."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scene.types import Scene, View
from utils.errors import UserError

ROUNDING = 6  # digits of what is compared: another machine may compute the last ones of a pose otherwise


def fingerprint(scene: Scene) -> dict[str, str]:
    """What makes the training photos of a scene those that they are, a digest for each part."""
    names = [view.camera.name for view in scene.train]
    sizes = [(view.camera.width, view.camera.height) for view in scene.train]
    intrinsics = [_intrinsics(view) for view in scene.train]
    parts = {"names": names, "sizes": sizes, "intrinsics": intrinsics, "poses": _poses(scene.train)}
    return {name: hashlib.sha256(json.dumps(part).encode()).hexdigest() for name, part in parts.items()}


def check_scene(stored: Any, expected: Mapping[str, str], scene: Scene) -> None:
    """UserError, with what differs, when a checkpoint has the fingerprint of another scene."""
    if not isinstance(stored, Mapping):
        raise UserError("the checkpoint does not say which scene it is of")
    differing = [name for name, digest in expected.items() if not _equal(stored.get(name), digest)]
    if differing:
        raise UserError(
            f"the checkpoint is of another scene than {scene.source}: the {', '.join(differing)} of its training "
            f"photos are not the same as those of these {len(scene.train)}; use the dataset, --images, -r, --eval and "
            "--test_images of that run"
        )


def check_settings(stored: Any, expected: Mapping[str, Any]) -> None:
    """UserError for flags that could only be ignored, since a checkpoint was made with others."""
    for name, value in expected.items():
        found = stored.get(name) if isinstance(stored, Mapping) else None
        if not _equal(found, value):
            raise UserError(
                f"--{name} {value}: the checkpoint was made with --{name} {_short(found)}, and goes on with that"
            )


def check_like(value: Any, model: Any, place: str, rows: tuple[int, int] | None = None) -> None:
    """UserError, with the place in the checkpoint, unless `value` is made as `model`, and all its numbers are finite.

    `rows`: the number of Gaussians of `model` and of `value`; a tensor of the one must have as many rows as the other.
    """
    if isinstance(model, Tensor):
        _check_tensor(value, model, place, rows)
    elif isinstance(model, Mapping):
        if not isinstance(value, Mapping) or value.keys() != model.keys():
            raise UserError(f"{place} of the checkpoint must hold {', '.join(map(str, model))}")
        for name in model:
            check_like(value[name], model[name], f"{place}.{name}", rows)
    elif isinstance(model, tuple):
        if not isinstance(value, (tuple, list)) or len(value) != len(model):
            raise UserError(f"{place} of the checkpoint must hold {len(model)} values")
        for index, each in enumerate(model):
            check_like(value[index], each, f"{place}[{index}]", rows)
    elif type(value) is not type(model) or (isinstance(value, float) and not math.isfinite(value)):
        raise UserError(f"{place} of the checkpoint must be a finite {type(model).__name__}, not {_short(value)}")


def check_count(value: Any, place: str, most: int) -> int:
    """`value`, a whole number from 0 to `most`; UserError otherwise."""
    if type(value) is not int or not 0 <= value <= most:
        raise UserError(f"{place} of the checkpoint must be a number from 0 to {most}, not {_short(value)}")
    return value


def check_order(value: Any, place: str, count: int) -> None:
    """UserError unless `value` lists some of `count` photos, each once."""
    if not isinstance(value, list) or any(type(each) is not int or not 0 <= each < count for each in value):
        raise UserError(f"{place} of the checkpoint must be a list of numbers under {count}")
    if len(set(value)) != len(value):
        raise UserError(f"{place} of the checkpoint names a photo twice")


def check_generator(value: Any, place: str) -> None:
    """UserError unless a generator of random numbers can go on from `value`."""
    try:
        torch.Generator().set_state(value.cpu())
    except Exception as error:  # torch has another one for each thing that may be wrong
        raise UserError(f"{place} of the checkpoint is not the state of a generator: {error}") from None


def _check_tensor(value: Any, model: Tensor, place: str, rows: tuple[int, int] | None) -> None:
    shape = list(model.shape)
    if rows is not None and shape and shape[0] == rows[0]:
        shape[0] = rows[1]
    if not isinstance(value, Tensor) or value.dtype != model.dtype or value.layout != model.layout:
        raise UserError(f"{place} of the checkpoint must be a tensor of {model.dtype}, not {_short(value)}")
    if list(value.shape) != shape:
        raise UserError(f"{place} of the checkpoint must have the shape {tuple(shape)}, not {tuple(value.shape)}")
    if value.is_floating_point() and not value.isfinite().all():
        raise UserError(f"{place} of the checkpoint holds values that are not finite")


def _equal(value: Any, expected: Any) -> bool:
    return type(value) is type(expected) and bool(value == expected)


def _short(value: Any) -> str:
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else str(value)[:60]


def _intrinsics(view: View) -> list[float]:
    camera = view.camera
    return [round(value, ROUNDING) for value in (camera.fx, camera.fy, camera.cx, camera.cy)]


def _poses(views: Sequence[View]) -> list[Any]:
    """Of each view, its rotation and its translation."""
    poses = np.stack([view.camera.camera_from_world[:3] for view in views])
    digits = ROUNDING - math.ceil(math.log10(np.abs(poses[:, :, 3]).max() or 1.0))
    rotations, translations = poses[:, :, :3].round(ROUNDING), poses[:, :, 3].round(digits)
    return [(rotations + 0.0).tolist(), (translations + 0.0).tolist()]  # + 0: there is a 0 with a minus

"""A training step asks the device for nothing that the host would have to wait for, and all that it uses is there.

Shown without a GPU, on tensors that have a shape and a device but no values. Operations on tensors of two devices are
errors there. Operations that on a GPU would wait, because they need a value of the device's or copy without
`non_blocking`, are noted. The one that a step does need, the length of `isect_tiles`' lists, is inside that operator.
"""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import train
from arguments import parse_train_options
from scene import load_scene
from scene.loading.image_cache import ShuffledViews
from tests.helpers.rgbd import sphere_depth, write_map, write_scene
from training.async_scalars import AsyncScalars
from training.outputs import RunOutputs
from training.pace import Pace
from training.startup import first_state
from utils.losses import regularizers

pytestmark = pytest.mark.slow

VALUELESS = torch.device("meta")
LAST = 101  # of the steps before it, one is due for a line in the log and a look for effects
FLAGS = "--lambda_ray 0.1 --lambda_opacity 0.1 --lambda_scale 0.1 --random_background --densify_from_iter 1000"
NEED_VALUES = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique", "repeat_interleave"}


class Waits(TorchDispatchMode):
    """Notes the operations for which the host would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, operator: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        result = operator(*arguments, **named)
        tensors = [each for each in tree_leaves((arguments, named)) if isinstance(each, Tensor)]
        name = operator.overloadpacket.__name__
        if any(each.device == VALUELESS for each in tensors) and (
            name in NEED_VALUES or (name.startswith("index") and any(each.dtype == torch.bool for each in tensors))
        ):
            self.found.append(name)
        places = {each.device for each in (*tensors, *tree_leaves(result)) if isinstance(each, Tensor)}
        blocking = not any(each is True for each in (*arguments, named.get("non_blocking")))
        if name in ("_to_copy", "copy_") and len(places) > 1 and blocking:
            self.found.append("a blocking copy")
        return result


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rgbd")
    for camera in write_scene(folder, 4):
        write_map(folder / "depth" / camera.name, np.round(1000 * sphere_depth(camera)).astype(np.uint16))
    return folder


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU would bring, and what the host does with values between steps, is left out."""
    for name in ("rasterize", "adam", "depth_terms", "effective_rank", "exposure", "photometric"):
        module = importlib.import_module(f"diff_gaussian_rasterization.{name}")
        monkeypatch.setattr(module, "check_device", lambda *_: None)
    monkeypatch.setattr(train, "device_text", str)
    monkeypatch.setattr(ShuffledViews, "next_batch", lambda self, *_: [(0, self.photos[0])])
    monkeypatch.setattr(AsyncScalars, "arrived", lambda self, wait=False: iter(()))  # nothing has come yet
    monkeypatch.setattr(RunOutputs, "after_step", lambda self, step: None)
    monkeypatch.setattr(RunOutputs, "finish", lambda self, stopped: True)


def waits(dataset: Path, model: Path, flags: str = "") -> list[str]:
    """What three steps wait for."""
    words = ["-s", str(dataset), "-m", str(model), "--quiet", "--iterations", str(LAST), *FLAGS.split(), *flags.split()]
    options = parse_train_options(words)
    scene = load_scene(dataset, **options.model.scene_arguments())
    assert scene.train[0].depth is not None
    with FakeTensorMode(shape_env=ShapeEnv()):
        state = first_state(options, scene, VALUELESS)
        state.iteration = LAST - 3
        with Waits() as noted:
            pace = Pace(options.run, scene, state, time.monotonic(), lambda run: None)
            assert train.train(options, scene, state, model, pace)
    assert state.gaussians.device == VALUELESS and state.optimizer.steps == 3
    return noted.found


@pytest.mark.parametrize(
    "flags", ["", "--optimizer_type sparse_adam --coarse_until_iter 100", "--depth_loss g2", "--depth_loss mip_l1"]
)
def test_a_step_waits_for_nothing(flags: str, dataset: Path, tmp_path: Path, elsewhere: None) -> None:
    assert waits(dataset, tmp_path, flags) == []


FAULTS = {
    "_local_scalar_dense": lambda scales: scales * scales.sum().item(),
    "nonzero": lambda scales: scales[(scales[:, 0] > 0).nonzero().squeeze(1)],
    "index": lambda scales: scales[scales[:, 0] > 0],
    "a blocking copy": lambda scales: scales * torch.ones(3).to(scales.device),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wait_is_found(
    name: str, dataset: Path, tmp_path: Path, elsewhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regularizers, "scale", lambda scales, extent: FAULTS[name](scales).mean())
    assert waits(dataset, tmp_path).count(name) >= 3


def test_a_tensor_of_another_device_is_an_error(
    dataset: Path, tmp_path: Path, elsewhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regularizers, "scale", lambda scales, extent: (scales * torch.ones(3)).mean())
    with pytest.raises(RuntimeError, match="same device"):
        waits(dataset, tmp_path)

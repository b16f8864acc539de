"""Checkpoints that are not those of the run are refused by name, whatever is wrong inside; none ends in a traceback."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train
from arguments import parse_train_options
from scene import load_scene
from scene.types import Scene
from tests.end_to_end.test_train import run
from tests.helpers.ring import make_dataset
from training.checkpoint import load_checkpoint, save_checkpoint
from training.checkpoint_checks import fingerprint
from training.startup import first_state
from training.state import ENTRIES, TrainingState
from utils.errors import UserError

pytestmark = pytest.mark.usefixtures("without_pages")

CPU = torch.device("cpu")
STEPS = 5


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with checkpoints after 3 and 5 steps."""
    model = tmp_path_factory.mktemp("model") / "out"
    flags = "--average_last 1 --checkpoint_iterations 3 5 "
    flags += "--densify_from_iter 1 --densify_until_iter 5 --densification_interval 2 --densify_grad_threshold 1e-5"
    run(dataset, model, flags, STEPS + 1)
    return model


@pytest.fixture(scope="module")
def fresh(dataset: Path) -> Callable[[], TrainingState]:
    """Makes the state before the first step."""
    options, scene = parse_train_options(["-s", str(dataset)]), load_scene(dataset)
    return lambda: first_state(options, scene, CPU)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything in a checkpoint."""
    if path:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for name, each in pairs:
        yield from places(each, (*path, name))


def replaced(value: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    """`value`, with `change` at the end of the way."""
    if not path:
        return change(value)
    if isinstance(value, dict):
        return {name: replaced(each, path[1:], change) if name == path[0] else each for name, each in value.items()}
    changed = [replaced(each, path[1:], change) if index == path[0] else each for index, each in enumerate(value)]
    return type(value)(changed)


def mutate(value: Any, rng: random.Random) -> Any:
    """Something else in the place of `value`."""
    if isinstance(value, torch.Tensor) and rng.random() < 0.7:
        spoilt = value.clone()
        kind = rng.randrange(6)
        if kind == 0 and value.is_floating_point() and value.numel():
            spoilt.flatten()[rng.randrange(value.numel())] = rng.choice([torch.nan, torch.inf, -torch.inf])
        elif kind == 0:
            spoilt = spoilt[:-1]
        return [spoilt, spoilt[:-3], spoilt.double(), spoilt[None], spoilt.flatten(), spoilt.to_sparse()][kind]
    junk: list[Any] = [
        None,
        -1,
        2**70,
        0.5,
        float("nan"),
        "x",
        [],
        {},
        [None],
        {"a": 1},
        torch.zeros(3),
        torch.tensor(1),
        True,
    ]
    return copy.copy(rng.choice(junk))


def test_mutated_checkpoints_are_refused(trained: Path, fresh: Callable[[], TrainingState], tmp_path: Path) -> None:
    whole, rng = load_checkpoint(trained / "chkpnt5.pth", ENTRIES), random.Random(12)
    ways, state, refused = list(places(whole)), fresh(), 0
    for number in range(300):
        way = rng.choice(ways)
        spoilt = replaced(whole, way, lambda value: mutate(value, rng))
        try:
            if number % 10 == 0:  # well sealed, too
                save_checkpoint(tmp_path / "a.pth", spoilt)
                spoilt = load_checkpoint(tmp_path / "a.pth", ENTRIES)
            state.restore(spoilt)
        except UserError:
            refused += 1
        else:  # what was put there may be as good
            assert state.fault() is None and state.iteration == STEPS
    assert refused > 270
    state.restore(whole)
    assert state.iteration == STEPS and len(state.gaussians) != len(fresh().gaussians)


@pytest.mark.parametrize("place", ["gaussians", "optimizer.average.values"])
def test_scales_that_overflow_are_refused(place: str, trained: Path, fresh: Callable[[], TrainingState]) -> None:
    """They are finite as logarithms."""
    whole = load_checkpoint(trained / "chkpnt5.pth", ENTRIES)
    of_place = whole
    for name in place.split("."):
        of_place = of_place[name]
    of_place["scales"][3, 1] = 80.0
    with pytest.raises(UserError, match=f"{place}.scales of the checkpoint"):
        fresh().restore(whole)


@pytest.mark.parametrize("count", [-1, 2**70])
def test_a_number_of_averaged_steps_that_none_has_is_refused(
    count: int, trained: Path, fresh: Callable[[], TrainingState]
) -> None:
    whole = load_checkpoint(trained / "chkpnt5.pth", ENTRIES)
    whole["optimizer"]["average"]["count"] = count
    with pytest.raises(UserError, match="optimizer.average.count of the checkpoint"):
        fresh().restore(whole)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_is_looked_at(entry: str, trained: Path, fresh: Callable[[], TrainingState]) -> None:
    whole = load_checkpoint(trained / "chkpnt5.pth", ENTRIES)
    others: list[Any] = [None, 7.5, "x", {}, [1]]
    for junk in others:
        with pytest.raises(UserError):
            fresh().restore({**whole, entry: junk})


def test_a_refused_checkpoint_changes_nothing(trained: Path, fresh: Callable[[], TrainingState]) -> None:
    whole, state = load_checkpoint(trained / "chkpnt5.pth", ENTRIES), fresh()
    before = state.gaussians.means.detach().clone()
    with pytest.raises(UserError, match="generator"):
        state.restore({**whole, "generator": torch.zeros(7, dtype=torch.uint8)})
    assert state.iteration == 0 and torch.equal(state.gaussians.means, before)


# ---- another scene


def altered(scene: Scene, **changes: Any) -> Scene:
    """The scene, with something else about its second photo."""
    first, second, *others = scene.train
    return replace(scene, train=(first, replace(second, camera=replace(second.camera, **changes)), *others))


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("names", {"name": "other.png"}),
        ("sizes", {"width": 47}),
        ("intrinsics", {"fx": 45.1}),
        ("intrinsics", {"cy": 16.0}),
        ("poses", {"camera_from_world": np.eye(4)}),
    ],
)
def test_each_part_of_a_scene_counts(part: str, changes: dict[str, Any], dataset: Path) -> None:
    scene = load_scene(dataset)
    one, other = fingerprint(scene), fingerprint(altered(scene, **changes))
    assert {name for name in one if one[name] != other[name]} == {part}


def test_the_last_digit_of_a_pose_does_not(dataset: Path) -> None:
    scene = load_scene(dataset)
    moved = scene.train[1].camera.camera_from_world * (1 + 1e-12)
    assert fingerprint(altered(scene, camera_from_world=moved)) == fingerprint(scene)


def test_a_run_does_not_go_on_with_another_scene(trained: Path, tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "other", unit=3.0)  # the same names, sizes and lenses
    config = (trained / "config.json").read_bytes()
    with pytest.raises(
        UserError, match=f"another scene than {other}: the poses of its training photos are not the same"
    ):
        train.main(["-m", str(trained), "--resume", "-s", str(other), "--iterations", "9"])
    assert (trained / "config.json").read_bytes() == config


def test_another_seed_is_refused(trained: Path) -> None:
    with pytest.raises(UserError, match="--seed 4: the checkpoint was made with --seed 0"):
        train.main(["-m", str(trained), "--resume", "--seed", "4", "--iterations", "9"])


def test_the_one_before_a_damaged_checkpoint_is_offered(dataset: Path, tmp_path: Path) -> None:
    model = tmp_path / "out"
    straight = run(dataset, model, "--checkpoint_iterations 3 5", STEPS).read_bytes()
    damaged = bytearray((model / "chkpnt5.pth").read_bytes())
    damaged[len(damaged) // 2] ^= 4
    (model / "chkpnt5.pth").write_bytes(damaged)
    (model / f"point_cloud/iteration_{STEPS}/point_cloud.ply").unlink()
    with pytest.raises(UserError, match=r"chkpnt5.pth is damaged.*chkpnt3.pth, is whole: python train.py") as raised:
        train.main(["-m", str(model), "--resume"])
    command = str(raised.value).split("python train.py ")[1].removesuffix(" goes on from it")
    train.main(command.split())
    assert (model / f"point_cloud/iteration_{STEPS}/point_cloud.ply").read_bytes() == straight

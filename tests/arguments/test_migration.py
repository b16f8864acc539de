"""docs/migration-from-3dgs.md says of each default that differs from the original what it was and what it is."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

from arguments import parse_train_options
from arguments.groups import stages
from training.rates import learning_rates

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "migration-from-3dgs.md"
ORIGINAL: dict[str, Any] = dict(  # the defaults of graphdeco's train.py, of its flags that have an effect here
    sh_degree=3, source_path="", model_path="", images="images", depths="none are used", resolution=-1,
    white_background=False, data_device="cuda", eval=False, antialiasing=False, iterations=30_000,
    position_lr_init=0.00016, position_lr_final=0.0000016, position_lr_max_steps=30_000, feature_lr=0.0025,
    opacity_lr=0.025, scaling_lr=0.005, rotation_lr=0.001, percent_dense=0.01, lambda_dssim=0.2,
    densification_interval=100, opacity_reset_interval=3_000, densify_from_iter=500, densify_until_iter=15_000,
    densify_grad_threshold=0.0002, depth_l1_weight_init=1.0, depth_l1_weight_final=0.01, random_background=False,
    exposure_lr_init=0.01, exposure_lr_final=0.001, exposure_lr_delay_steps=0, exposure_lr_delay_mult=0.0,
    optimizer_type="default", test_iterations=(7_000, 30_000), save_iterations=(7_000, 30_000),
    checkpoint_iterations=(), start_checkpoint="", quiet=False, detect_anomaly=False,
)  # fmt: skip
UNSET = ("source_path", "model_path")  # no value of their own in either


def defaults() -> dict[str, Any]:
    """Flag -> default, in words where it follows from something else."""
    options = {item.name: item for group in stages().values() for item in fields(group)}
    words = {name: item.metadata["follows"] for name, item in options.items()}
    return {name: words.get(name) or item.default for name, item in options.items()}


def documented() -> dict[str, tuple[str, str]]:
    """Flag -> what the table says of the original and of this trainer."""
    section = DOCUMENT.read_text().split("## Defaults that differ")[1].split("\n## ")[0]
    return {
        flag: (theirs, ours) for flag, theirs, ours in re.findall(r"^\| `--(\w+)` \| (.*?) \| (.*?) \|", section, re.M)
    }


def test_the_table_has_each_default_that_differs_and_no_other() -> None:
    ours = defaults()
    differing = {name for name, value in ORIGINAL.items() if name not in UNSET and ours[name] != value}
    assert documented().keys() == differing
    for name, (theirs, here) in documented().items():
        assert theirs == str(ORIGINAL[name]), name
        assert here == str(ours[name]), name


def test_the_command_that_trains_as_the_original_does() -> None:
    text = DOCUMENT.read_text().replace("\\\n", " ")
    command = next(line for line in text.splitlines() if line.startswith("    python train.py"))
    options = parse_train_options(shlex.split(command)[2:])
    assert "--iterations 30000" in command, "which a CPU has not by itself"
    regularizers = options.regularizers
    assert regularizers.lambda_dist == regularizers.lambda_erank == "0" and regularizers.lambda_alpha == 0
    assert options.optimization.average_last == 0
    spikes = options.spikes
    rules = (spikes.prune_min_weight, spikes.floater_views, spikes.spike_ratio, spikes.spike_ray_views)
    assert not any((*rules, spikes.spike_spread)) and options.densification.densify_grad_threshold == 0.0002
    assert options.densification.strategy == "adc" and options.optimization.sh_degree_interval == 1000
    short, long = (learning_rates(options.optimization, 1.0, 0, iterations) for iterations in (1_000, 30_000))
    assert short == long

"""The settings of a run: frozen dataclasses, one per stage, to and from the command line and JSON.

A field is declared once, by `utils.options.option`: its default, its help text with the unit, its flags and the values
it accepts. The parser, the checks, `config.json` and `cfg_args` all follow from that.
"""

from __future__ import annotations

from arguments.cli import (
    add_group,
    extension_groups,
    from_namespace,
    parse_train_options,
    train_parser,
    without_effect,
)
from arguments.density_groups import DensificationOptions, SpikeOptions
from arguments.groups import (
    BEST_DEVICE,
    DEVICE_HELP,
    ModelOptions,
    PipelineOptions,
    RunOptions,
    TrainOptions,
    extension,
    replan_numbers,
)
from arguments.loss_groups import DepthOptions, OptimizationOptions, RegularizerOptions
from arguments.serialize import from_json, to_cfg_args, to_json
from arguments.view_groups import ExposureOptions, PoseOptions

__all__ = [
    "BEST_DEVICE",
    "DEVICE_HELP",
    "DensificationOptions",
    "DepthOptions",
    "ExposureOptions",
    "ModelOptions",
    "OptimizationOptions",
    "PipelineOptions",
    "PoseOptions",
    "RegularizerOptions",
    "RunOptions",
    "SpikeOptions",
    "TrainOptions",
    "add_group",
    "extension",
    "extension_groups",
    "from_json",
    "from_namespace",
    "parse_train_options",
    "replan_numbers",
    "to_cfg_args",
    "to_json",
    "train_parser",
    "without_effect",
]

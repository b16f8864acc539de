"""The settings as config.json, to be read back, and as cfg_args, for other tools."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, fields
from typing import Any

from arguments.fields import build
from arguments.groups import TrainOptions, extension, stages
from utils.errors import UserError
from utils.losses.depth import LOSSES


def to_json(options: TrainOptions) -> str:
    """The text of config.json: one object per stage."""
    return json.dumps(asdict(options), indent=2) + "\n"


def from_json(text: str | bytes, where: str) -> TrainOptions:
    """Read the text of config.json; `where` names it in errors. What it leaves out has its default.

    UserError for anything that is not JSON, not a known setting, or not an accepted value.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # not JSON, or not even text
        raise UserError(f"{where} is not valid JSON ({error}); train again or restore the file") from None
    groups = stages()
    if not isinstance(values, dict) or not values.keys() <= {*groups, "extensions"}:
        raise UserError(f"{where} must hold an object with the stages {', '.join(groups)}")
    extensions = _extensions(values, where)
    return TrainOptions(
        **{name: build(groups[name], group, where) for name, group in values.items() if name in groups},
        extensions=extensions,
    )


def _extensions(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The options that depth losses and strategies declare. Runs of before had those of losses in the stage `depth`."""
    extensions, depth = values.get("extensions", {}), values.get("depth", {})
    if not isinstance(extensions, dict):
        raise UserError(f"{where}: extensions must be an object, not {extensions!r}")
    groups = [loss.options for loss in LOSSES.values() if loss.options is not None]
    declared = {item.name for group in groups for item in fields(group)}
    moved = {name: depth.pop(name) for name in declared if isinstance(depth, dict) and name in depth}
    for group in groups:
        extension(group, extensions | moved, where)
    return extensions | moved


def to_cfg_args(options: TrainOptions) -> str:
    """The text of cfg_args, which other tools of the field read. Nothing here ever evaluates it."""
    return str(argparse.Namespace(**asdict(options.model)))

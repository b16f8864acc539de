"""Flags of graphdeco's scripts that have no effect here: command lines that give them run all the same.

A script accepts them beside its own, hides them from its help, and says one line for each that is used. They are not
settings, so config.json does not have them.
"""

from __future__ import annotations

import argparse

Flags = dict[str, tuple[int | str, str]]  # name -> nargs (0: a switch), why it has no effect

TRAIN: Flags = {
    "ip": (1, "--viewer shows the run in a browser, at a free port"),
    "port": (1, "--viewer shows the run in a browser, at a free port"),
    "disable_viewer": (0, "--viewer shows the run in a browser, at a free port"),
    "debug": (0, "the rasterizer checks what it is given in every call"),
    "debug_from": (1, "the rasterizer checks what it is given in every call"),
    "convert_SHs_python": (0, "the rasterizer always turns spherical harmonics into colors"),
    "compute_cov3D_python": (0, "the rasterizer always computes the covariances"),
    "train_test_exp": (0, "--exposure decides, and no half of a test photo is trained on: its color is fitted instead"),
    "position_lr_delay_mult": (1, "the learning rate of the centers starts without a delay"),
}

_STORED = "the model keeps the settings it was trained with"
_SWITCHES = ("eval", "white_background", "antialiasing")
_VALUES = ("sh_degree", "images", "depths", "resolution", "data_device")
RENDER: Flags = (
    {name: TRAIN[name] for name in ("debug", "convert_SHs_python", "compute_cov3D_python", "train_test_exp")}
    | dict.fromkeys(_SWITCHES, (0, _STORED))
    | dict.fromkeys(_VALUES, (1, _STORED))
)
SHORT = {"images": "-i", "depths": "-d", "resolution": "-r", "white_background": "-w"}
PREFIX = "without_effect_"


def accept(parser: argparse.ArgumentParser, flags: Flags) -> None:
    """Let `parser` take those of `flags` that it has not got, hidden from its help."""
    for name, (nargs, _) in flags.items():
        names = [f"--{name}"] + ([SHORT[name]] if name in SHORT else [])
        if any(each in parser._option_string_actions for each in names):
            continue
        if nargs == 0:
            parser.add_argument(*names, dest=PREFIX + name, action="store_true", help=argparse.SUPPRESS)
        else:
            parser.add_argument(*names, dest=PREFIX + name, nargs=nargs, help=argparse.SUPPRESS)


def lines(values: argparse.Namespace, flags: Flags) -> list[str]:
    """What to say of those of `flags` that the command line has used, a line each."""
    used = [name for name in flags if getattr(values, PREFIX + name, None) not in (None, False)]
    return [f"--{name} has no effect here: {flags[name][1]}" for name in used]

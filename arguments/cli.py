"""The command line: a parser made from the groups, and its values as groups again."""

from __future__ import annotations

import argparse
import typing
from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, fields
from types import MappingProxyType
from typing import Any

from arguments import graphdeco
from arguments.fields import Group, build, kind_of, title
from arguments.groups import TrainOptions, extension, stages
from utils.console import Parser
from utils.losses.depth import LOSSES

Strategies = Mapping[str, "type | None"]  # name -> the group of its own options
NO_STRATEGIES: Strategies = MappingProxyType({})


def add_group(parser: argparse.ArgumentParser, group: type, stored: Any = None) -> None:
    """Give `parser` a section with the flags of `group`; `stored`, one of its instances, replaces the defaults."""
    section = parser.add_argument_group(title(group))
    hints = typing.get_type_hints(group)
    for item in fields(group):
        default = getattr(stored, item.name) if stored is not None else item.default
        kind, many, _ = kind_of(hints[item.name])
        flags = sorted((f"--{item.name}", *item.metadata["flags"]), key=lambda flag: flag.startswith("--"))
        text = _help(item).replace("%", "%%")
        if kind is bool:
            section.add_argument(*flags, action="store_true", default=default, help=text)
            continue
        section.add_argument(
            *flags,
            type=kind,
            nargs="*" if many else None,
            default=default,
            choices=item.metadata["choices"],
            metavar=None if item.metadata["choices"] else _metavar(kind),
            help=text,
        )


def from_namespace(group: type[Group], values: argparse.Namespace) -> Group:
    """The instance of `group` that the parsed flags describe. UserError for a value out of range."""
    names = [item.name for item in fields(typing.cast(Any, group))]
    return build(group, {name: getattr(values, name) for name in names}, "the command line")


def train_parser(stored: TrainOptions | None = None, strategies: Strategies = NO_STRATEGIES) -> argparse.ArgumentParser:
    """The parser of train.py; `stored` settings, those of a run that is resumed, replace the defaults.

    `strategies` are the names that --strategy accepts, each with the group of its own options, if it has one.
    """
    parser = Parser(
        prog="train.py",
        description="Train 3D Gaussians from posed photos.",
        epilog="example: python train.py -s data/garden -m output/garden --eval",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=120),
    )
    for name, group in stages().items():
        add_group(parser, group, getattr(stored, name, None))
    for group in extension_groups(strategies):
        add_group(parser, group, None if stored is None else extension(group, stored.extensions, "config.json"))
    if strategies:
        _restrict(parser, "strategy", list(strategies))
    graphdeco.accept(parser, graphdeco.TRAIN)
    return parser


def parse_train_options(
    arguments: Sequence[str] | None = None,
    stored: TrainOptions | None = None,
    strategies: Strategies = NO_STRATEGIES,
) -> TrainOptions:
    """The settings of a command line (`sys.argv` when None). UserError for a value out of range."""
    values = train_parser(stored, strategies).parse_args(arguments)
    extensions = [asdict(from_namespace(group, values)) for group in extension_groups(strategies)]
    return TrainOptions(
        **{name: from_namespace(group, values) for name, group in stages().items()},
        extensions={name: value for group in extensions for name, value in group.items()},
    )


def extension_groups(strategies: Strategies) -> list[type]:
    """The groups of options that depth losses and strategies declare, each once."""
    declared = [*(loss.options for loss in LOSSES.values()), *strategies.values()]
    return [group for group in dict.fromkeys(declared) if group is not None]


def without_effect(arguments: Sequence[str] | None = None) -> list[str]:
    """A line for each flag of graphdeco's train.py on the command line that has no effect here."""
    values, _ = train_parser().parse_known_args(arguments)
    return graphdeco.lines(values, graphdeco.TRAIN)


def _restrict(parser: argparse.ArgumentParser, name: str, choices: list[str]) -> None:
    """Let a flag accept the `choices` only."""
    action = next(each for each in parser._actions if each.dest == name)
    action.choices, action.metavar = choices, None


def _metavar(kind: type) -> str:
    return {int: "N", float: "X", str: "NAME"}[kind]


def _help(item: Field[Any]) -> str:
    """The help text with the default behind it."""
    follows = item.metadata["follows"]
    if follows:
        return f"{item.metadata['help']} (default: {follows})"
    if isinstance(item.default, bool) or item.default in ("", ()):
        return str(item.metadata["help"])
    shown = " ".join(map(str, item.default)) if isinstance(item.default, tuple) else item.default
    return f"{item.metadata['help']} (default: {shown})"

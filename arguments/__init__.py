"""The settings of a run: frozen dataclasses, one per stage, to and from the command line and JSON.

A field is declared once, by `option`: its default, its help text with the unit, its flags and the values it accepts.
The parser, the checks, `config.json` and `cfg_args` all follow from that. Names and defaults are graphdeco's where it
has the setting, so that existing command lines carry over.
"""

from __future__ import annotations

import argparse
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any, TypeVar

from arguments import graphdeco
from utils.errors import UserError
from utils.losses.depth import LOSSES, NAMES, parse_losses

Group = TypeVar("Group")


def option(
    default: Any,
    help: str,
    *flags: str,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] | None = None,
    follows: str | None = None,
    check: Callable[[str, str], object] | None = None,
) -> Any:
    """A setting with its help text (unit included), extra `flags` beside `--<name>`, and what values it accepts.

    `follows` says, for a default of None, in words what the value is then. `check(text, place)` raises a UserError,
    which begins with the place, for a text that cannot be read.
    """
    limits = dict(minimum=minimum, maximum=maximum, choices=choices, check=check)
    return field(default=default, metadata=dict(help=help, flags=flags, follows=follows, **limits))


@dataclass(frozen=True)
class ModelOptions:
    """What is learnt from, and where the result goes"""

    source_path: str = option("", "dataset folder", "-s")
    model_path: str = option("", "folder for everything the run leaves", "-m", follows="output/<name of the dataset>")
    images: str = option("images", "image folder inside the dataset", "-i")
    depths: str = option(
        "",
        "folder of depth maps inside the dataset; none: leave depth alone",
        "-d",
        follows="depth or depths, where the scene has one",
    )
    depth_scale: float | None = option(
        None,
        "scene units in one step of a depth map",
        minimum=0,
        follows="found out from the points of the scene, or by comparing views",
    )
    resolution: int = option(
        -1,
        "1, 2, 4 or 8 divides the photos' size; a larger number is the width in pixels; "
        "-1 scales down to 1600 pixels what is wider",
        "-r",
        minimum=-1,
    )
    white_background: bool = option(False, "put white, not black, behind everything", "-w")
    eval: bool = option(False, "hold out every 8th photo (sorted by name) for testing")
    test_images: tuple[str, ...] = option((), "hold out these photos, by name (instead of every 8th; implies --eval)")
    sh_degree: int = option(3, "highest degree of the spherical harmonics", minimum=0, maximum=3)
    data_device: str = option(
        "cpu", "keep the decoded photos with the host, or on the GPU that trains", choices=("cpu", "cuda")
    )

    def scene_arguments(self) -> dict[str, Any]:
        """The keyword arguments that `scene.load_scene` takes."""
        return dict(
            images=self.images,
            depths=self.depths,
            depth_scale=self.depth_scale,
            resolution=self.resolution,
            eval_split=self.eval,
            test_images=self.test_images,
            white_background=self.white_background,
        )


@dataclass(frozen=True)
class PipelineOptions:
    """How a picture is drawn"""

    antialiasing: bool = option(False, "lower the opacity of splats thinner than a pixel instead of fattening them")


DEVICE_HELP = "where to compute: cpu, cuda or cuda:<number>"
BEST_DEVICE = "cuda where there is a GPU that works, else cpu"


@dataclass(frozen=True)
class RunOptions:
    """The run itself"""

    iterations: int = option(30_000, "training steps", minimum=1)
    device: str = option("", DEVICE_HELP, follows=BEST_DEVICE)
    seed: int = option(0, "one seed, one result: the same bytes on the same machine", minimum=0)
    test_iterations: tuple[int, ...] = option((7_000, 30_000), "measure the test views here (and at the end)")
    save_iterations: tuple[int, ...] = option((7_000, 30_000), "write point_cloud.ply here (and at the end)")
    checkpoint_iterations: tuple[int, ...] = option((), "write chkpnt<N>.pth here, from which training can go on")
    start_checkpoint: str = option("", "go on from this checkpoint file")
    resume: bool = option(False, "go on from the newest checkpoint in the model folder, with the settings stored there")
    overwrite: bool = option(False, "delete the run that the model folder holds")
    quiet: bool = option(False, "print nothing but errors")
    verbose: bool = option(
        False, "print a line for each rule that prunes, with how many it took (metrics.jsonl always has them)"
    )
    print_schedule: bool = option(False, "print how the weights move over the run, and stop")
    audit_gradients: bool = option(False, "print what each term of the loss does to each parameter, every 500 steps")
    detect_anomaly: bool = option(False, "let autograd name the operation that makes a NaN (slow)")


@dataclass(frozen=True)
class OptimizationOptions:
    """Losses and learning rates"""

    lambda_dssim: float = option(
        0.2, "weight of 1 - SSIM in the photometric loss; L1 has the rest", minimum=0, maximum=1
    )
    coarse_until_iter: int = option(
        0, "step before which photos are used at half size: saves time, costs quality", minimum=0
    )
    random_background: bool = option(False, "train against a new random background color in each step")
    position_lr_init: float = option(
        1.6e-4, "learning rate of the means at the first step, in scene extents", minimum=0
    )
    position_lr_final: float = option(
        1.6e-6, "learning rate of the means at the last step, in scene extents", minimum=0
    )
    position_lr_max_steps: int | None = option(
        None, "steps over which the learning rate of the means decays", minimum=1, follows="--iterations"
    )
    feature_lr: float = option(0.0025, "learning rate of SH degree 0; higher degrees use 1/20 of it", minimum=0)
    opacity_lr: float = option(0.025, "learning rate of the opacities (as logits)", minimum=0)
    scaling_lr: float = option(0.005, "learning rate of the scales (as natural logarithms)", minimum=0)
    rotation_lr: float = option(0.001, "learning rate of the rotations (quaternions)", minimum=0)
    optimizer_type: str = option(
        "default",
        "default: Adam moves every Gaussian in every step; sparse_adam: only those that the step has seen",
        choices=("default", "sparse_adam"),
    )


SCHEDULE = "a number, or knots of a run of 30000 steps as in 0:10 3000:10 15000:1, which scale with --iterations"
DEPTH_LOSSES = (
    "how rendered depth Z is compared with the maps' Z*: a name, or a sum as in ssi+0.5*silog+0.4*grad, each part "
    "of which has its own term depth_<name> in the log; "
    + "; ".join(f"{name}: {LOSSES[name].formula}" for name in NAMES)
)


@dataclass(frozen=True)
class DepthOptions:
    """Depth supervision, where the scene has depth maps; lengths in scene extents"""

    depth_loss: str = option("inv_l1", DEPTH_LOSSES, check=parse_losses)
    depth_l1_weight_init: float = option(4.0, "weight of the depth loss at the start", minimum=0)
    depth_l1_weight_final: float = option(0.04, "weight of the depth loss at the end; log-linear between", minimum=0)
    depth_l1_mult: str = option("0:0.5 3000:0.5 15000:1", f"factor on that weight: {SCHEDULE}")
    depth_max: float | None = option(
        None, "depth beyond this is not used, in scene units", minimum=0, follows="no limit"
    )
    depth_edge_weight: float = option(
        0.0, "k in the weight exp(-k * relative depth step) that trusts the maps less at their edges", minimum=0
    )
    mip_window: int = option(5, "side of the window of the mip losses, pixels", minimum=1)
    mip_lambda_prior: float = option(0.5, "part of a pixel's footprint in the depth's spread (mip losses)", minimum=0)
    mip_alpha_clamp: float = option(0.3, "largest spread, in parts of the depth (mip losses)", minimum=0)


@dataclass(frozen=True)
class RegularizerOptions:
    """What is asked of the cloud, whatever the photos show; lengths in scene extents"""

    lambda_dist: str = option("0:10 3000:10 15000:1", f"weight of the depth distortion: {SCHEDULE}")
    dist_scale: float = option(
        0.02, "depth gap beyond which distortion grows only logarithmically, in scene extents; 0: plain mean", minimum=0
    )
    lambda_ray: str = option("0", f"weight of elongation along the view ray: {SCHEDULE}")
    ray_ratio_max: float = option(
        3.0, "elongation along the view ray, as a ratio, up to which lambda_ray costs nothing", minimum=0
    )
    lambda_alpha: float = option(0.1, "weight of the alpha loss, used where photos have an alpha channel", minimum=0)
    lambda_opacity: float = option(0.0, "weight of the mean opacity", minimum=0)
    lambda_scale: float = option(0.0, "weight of the mean scale", minimum=0)


@dataclass(frozen=True)
class SpikeOptions:
    """Pruning by statistics over all training views; 0 switches a rule off"""

    prune_min_weight: float = option(
        0.12,
        "blending weight: Gaussians below it in every pixel of every view are pruned; lower it to keep more detail",
        minimum=0,
    )
    prune_weight_share: float = option(
        0.02,
        "share of the total blending weight that prune_min_weight removes at most at once",
        minimum=0,
        maximum=1,
    )
    floater_views: int = option(
        3,
        "number of views: Gaussians in front of the measured depth in as many, and on it in none, are pruned",
        minimum=0,
    )
    spike_ratio: float = option(
        10.0,
        "ratio of longest to middle axis: Gaussians above it are needles, split where they leave the surface",
        minimum=0,
    )
    spike_extent: float = option(
        0.005, "longest axis, in scene extents, up to which no Gaussian is treated as a spike", minimum=0
    )
    spike_tolerance: float = option(
        0.005,
        "distance in scene extents beyond which a point counts as off the surface; raise for noisy depth",
        minimum=0,
    )
    spike_ray_views: int = option(
        0,
        "number of views: Gaussians elongated along the view ray in as many, and in most that see them, are pruned",
        minimum=0,
    )
    spike_spread: float = option(
        0.0, "depth spread in scene extents: Gaussians whose pixels exceed it are pruned", minimum=0
    )
    prune_max_fraction: float = option(
        0.5, "share of all Gaussians that one rule removes at most at once, worst first", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class DensificationOptions:
    """When and how the number of Gaussians changes"""

    strategy: str = option("default", "densification strategy, by its name in training/strategies")
    densify_from_iter: int | None = option(
        None, "densify and prune after this step", minimum=0, follows="500, or a tenth of --iterations if that is less"
    )
    densify_until_iter: int | None = option(
        None, "densify, prune and reset opacities before this step", minimum=0, follows="half of --iterations"
    )
    densification_interval: int = option(100, "steps from one densification to the next", minimum=1)
    opacity_reset_interval: int = option(3_000, "steps from one opacity reset to the next", minimum=1)
    densify_grad_threshold: float | None = option(
        None,
        "densify what has a mean view-space gradient over this, in half image sizes",
        minimum=0,
        follows="0.0002 for photos of a megapixel and over, more for smaller ones",
    )
    percent_dense: float = option(
        0.01, "clone Gaussians up to this scale and split larger ones, in scene extents", minimum=0
    )
    max_gaussians: int = option(0, "never have more Gaussians than this; 0: no limit", minimum=0)


@dataclass(frozen=True)
class TrainOptions:
    """All settings of train.py, by stage."""

    model: ModelOptions = ModelOptions()
    pipeline: PipelineOptions = PipelineOptions()
    run: RunOptions = RunOptions()
    optimization: OptimizationOptions = OptimizationOptions()
    depth: DepthOptions = DepthOptions()
    regularizers: RegularizerOptions = RegularizerOptions()
    densification: DensificationOptions = DensificationOptions()
    spikes: SpikeOptions = SpikeOptions()


# ---- command line ----------------------------------------------------------------------------------------------------


def add_group(parser: argparse.ArgumentParser, group: type, stored: Any = None) -> None:
    """Give `parser` a section with the flags of `group`; `stored`, one of its instances, replaces the defaults."""
    section = parser.add_argument_group(_title(group))
    hints = typing.get_type_hints(group)
    for item in fields(group):
        default = getattr(stored, item.name) if stored is not None else item.default
        kind, many, _ = _kind(hints[item.name])
        flags = (*item.metadata["flags"], f"--{item.name}")
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
    return _build(group, {name: getattr(values, name) for name in names}, "the command line")


def train_parser(stored: TrainOptions | None = None) -> argparse.ArgumentParser:
    """The parser of train.py; `stored` settings, those of a run that is resumed, replace the defaults."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Train 3D Gaussians from posed photos.",
        epilog="example: python train.py -s data/garden -m output/garden --eval",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=120),
    )
    for item in fields(TrainOptions):
        add_group(parser, typing.get_type_hints(TrainOptions)[item.name], getattr(stored, item.name, None))
    graphdeco.accept(parser, graphdeco.TRAIN)
    return parser


def parse_train_options(arguments: Sequence[str] | None = None, stored: TrainOptions | None = None) -> TrainOptions:
    """The settings of a command line (`sys.argv` when None). UserError for a value out of range."""
    values = train_parser(stored).parse_args(arguments)
    hints = typing.get_type_hints(TrainOptions)
    return TrainOptions(**{item.name: from_namespace(hints[item.name], values) for item in fields(TrainOptions)})


def without_effect(arguments: Sequence[str] | None = None) -> list[str]:
    """A line for each flag of graphdeco's train.py on the command line that has no effect here."""
    return graphdeco.lines(train_parser().parse_args(arguments), graphdeco.TRAIN)


# ---- JSON ------------------------------------------------------------------------------------------------------------


def to_json(options: TrainOptions) -> str:
    """The text of config.json: one object per stage."""
    return json.dumps(asdict(options), indent=2) + "\n"


def from_json(text: str, where: str) -> TrainOptions:
    """Read the text of config.json; `where` names it in errors. What it leaves out has its default.

    UserError for anything that is not JSON, not a known setting, or not an accepted value.
    """
    try:
        stages = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where} is not valid JSON ({error}); train again or restore the file") from None
    hints = typing.get_type_hints(TrainOptions)
    if not isinstance(stages, dict) or not stages.keys() <= hints.keys():
        raise UserError(f"{where} must hold an object with the stages {', '.join(hints)}")
    return TrainOptions(**{name: _build(hints[name], values, where) for name, values in stages.items()})


def to_cfg_args(options: TrainOptions) -> str:
    """The text of cfg_args, which other tools of the field read. Nothing here ever evaluates it."""
    return str(argparse.Namespace(**asdict(options.model)))


# ---- how a field is read ---------------------------------------------------------------------------------------------


def _build(group: type[Group], values: Any, where: str) -> Group:
    """An instance of `group` from plain values, each checked."""
    hints = typing.get_type_hints(group)
    if not isinstance(values, Mapping) or not values.keys() <= hints.keys():
        unknown = sorted(values.keys() - hints.keys()) if isinstance(values, Mapping) else values
        raise UserError(f"{where}: {_title(group)!r} does not know {unknown}; it knows {', '.join(hints)}")
    known = {item.name: item for item in fields(typing.cast(Any, group))}
    return group(**{name: _checked(known[name], hints[name], value, where) for name, value in values.items()})


def _checked(item: Field[Any], hint: Any, value: Any, where: str) -> Any:
    """`value` as the field's type. UserError when it is of another type or out of range."""
    kind, many, optional = _kind(hint)
    if value is None and optional:
        return None
    if many:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{where}: {item.name} must be a list of {kind.__name__}, not {value!r}")
        return tuple(_checked_one(item, kind, each, where) for each in value)
    return _checked_one(item, kind, value, where)


def _checked_one(item: Field[Any], kind: type, value: Any, where: str) -> Any:
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{where}: {item.name} must be of type {kind.__name__}, not {value!r}")
    limits = item.metadata
    if limits["choices"] is not None and value not in limits["choices"]:
        raise UserError(f"{where}: {item.name} must be one of {', '.join(limits['choices'])}, not {value!r}")
    if limits["check"] is not None:
        limits["check"](value, f"{where}: --{item.name}")
    if limits["minimum"] is not None and not value >= limits["minimum"]:
        raise UserError(f"{where}: {item.name} must be at least {limits['minimum']}, not {value}")
    if limits["maximum"] is not None and not value <= limits["maximum"]:
        raise UserError(f"{where}: {item.name} must be at most {limits['maximum']}, not {value}")
    return kind(value)


def _kind(hint: Any) -> tuple[type, bool, bool]:
    """(type of one value, whether there may be many, whether None is a value) of a field's type."""
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True, False
    if isinstance(hint, types.UnionType):
        return next(each for each in typing.get_args(hint) if each is not type(None)), False, True
    return hint, False, False


def _metavar(kind: type) -> str:
    return {int: "N", float: "X", str: "NAME"}[kind]


def _title(group: type) -> str:
    return (group.__doc__ or group.__name__).strip()


def _help(item: Field[Any]) -> str:
    """The help text with the default behind it."""
    follows = item.metadata["follows"]
    if item.default in (None, "") and follows:
        return f"{item.metadata['help']} (default: {follows})"
    if isinstance(item.default, bool) or item.default in ("", ()):
        return str(item.metadata["help"])
    shown = " ".join(map(str, item.default)) if isinstance(item.default, tuple) else item.default
    return f"{item.metadata['help']} (default: {shown})"

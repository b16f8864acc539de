"""The settings of a run, a group per stage. Names and defaults are graphdeco's where it has the setting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast, get_type_hints

from arguments.density_groups import DensificationOptions, SpikeOptions
from arguments.fields import MAX_COUNT, Group, build
from arguments.loss_groups import DepthOptions, OptimizationOptions, RegularizerOptions
from arguments.view_groups import ExposureOptions, PoseOptions
from utils.errors import UserError
from utils.options import option

MAX_SEED = 2**63 - 1
REPLAN = re.compile(r"[0-9]{1,10}:[0-9]{1,10}")
MIN_WIDTH, MAX_WIDTH = 16, 16_384  # pixels, of a photo that is asked for by its width


def check_resolution(value: int, place: str) -> None:
    """UserError unless `-r` is one of the values that mean something."""
    if value not in (-1, 1, 2, 4, 8) and not MIN_WIDTH <= value <= MAX_WIDTH:
        raise UserError(f"{place} must be -1, 1, 2, 4, 8, or a width of {MIN_WIDTH} to {MAX_WIDTH} pixels, not {value}")


@dataclass(frozen=True)
class ModelOptions:
    """Input and output"""

    source_path: str = option(
        "", "dataset, which is only read: a folder of any known format or of photos, a video, or a zip of these", "-s"
    )
    model_path: str = option(
        "", "folder of the model: receives everything the run writes", "-m", follows="output/<name of the dataset>"
    )
    images: str = option(
        "images",
        "folder of the photos inside a COLMAP dataset; name another one for photos that were resized beforehand",
        "-i",
    )
    depths: str = option(
        "",
        "folder of the depth maps inside the dataset; name it if it is not found, or give none to train without depth",
        "-d",
        follows="depth or depths, where the scene has one",
    )
    start_from: str = option(
        "",
        "file of Gaussians of any format that export.py reads, in the frame of the dataset, that training starts from "
        "instead of the scene's points; all degrees of spherical harmonics are in use from the first step",
        follows="a Gaussian for each point",
    )
    depth_scale: float | None = option(
        None,
        "length of one step of a depth map, in scene units; give it if the detected unit is wrong",
        minimum=0,
        follows="detected from the points of the scene, or by comparing views",
    )
    frames: int = option(
        150,
        "number of frames that are taken of a video, each the sharpest of its neighbors; a short one needs fewer",
        minimum=3,
        maximum=10_000,
    )
    resolution: int = option(
        -1,
        "size of the photos in training: 1, 2, 4 or 8 divides it, a larger number is the largest width in pixels, -1 "
        "limits it to 1600; choose a smaller size to save memory and time",
        "-r",
        check=check_resolution,
    )
    white_background: bool = option(
        False, "renders over white instead of black; use it for object photos that are to be shown on white", "-w"
    )
    keep_background: bool = option(
        False,
        "takes a plain background of one color that all photos share for a surface like others; by default it is "
        "transparent, and drawn white where it is white, else black",
    )
    eval: bool = option(False, "holds out every 8th photo, sorted by name, as test views that are never trained on")
    test_images: tuple[str, ...] = option(
        (), "names of photos that are held out as test views instead of every 8th; implies --eval"
    )
    sh_degree: int = option(
        3,
        "highest degree of the spherical harmonics, 0 to 3; a lower one makes smaller files and colors that change "
        "less with the view",
        minimum=0,
        maximum=3,
    )
    data_device: str = option(
        "cpu",
        "memory that keeps the decoded photos: cpu is that of the host, cuda is that of the GPU that trains; "
        "choose cuda if all photos fit there",
        choices=("cpu", "cuda"),
    )

    photo_cache: int | None = option(
        None,
        "number of decoded photos that are kept in memory, 0 for all; others are decoded again when they are needed; "
        "set it if the photos do not fit into memory",
        minimum=0,
        follows="all of them; of several ranks each keeps its share",
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
            keep_background=self.keep_background,
            workspace=Path(self.model_path) if self.model_path else None,
            frames=self.frames,
        )


@dataclass(frozen=True)
class PipelineOptions:
    """Rendering"""

    antialiasing: bool = option(
        False,
        "renders with the Mip-Splatting filter, which dims splats thinner than a pixel instead of widening them; "
        "use it to render at other resolutions than those of the photos",
    )
    depth_model: str = option(
        "ray",
        "depth of a Gaussian at a pixel: ray is the depth along the pixel's ray, which flat Gaussians need to be thin, "
        "center is that of the Gaussian's center for all its pixels, as in other trainers",
        choices=("ray", "center"),
    )


ITERATIONS = 30_000
ITERATIONS_ON_CPU = 7_000  # minutes instead of an hour on two cores: docs/experiments/iterations.md
DEVICE_HELP = "device that computes: cpu, cuda or cuda:<number>"
BEST_DEVICE = "cuda if a GPU works, else cpu"


def replan_numbers(text: str, place: str = "--replan") -> tuple[int, int]:
    """(step, iterations) of the text "step:iterations". UserError for any other, and where the step is not before."""
    step, iterations = map(int, text.split(":")) if REPLAN.fullmatch(text) else (0, 0)
    if not step < iterations <= MAX_COUNT:
        raise UserError(f"{place}: {text!r} is not step:iterations with the step before the last, as in 2000:4600")
    return step, iterations


NO_STEP = -1  # that graphdeco's scripts give where they want none


def check_step(value: int, place: str) -> None:
    """UserError for a step that no run has."""
    if value < 1 and value != NO_STEP:
        raise UserError(f"{place} must be steps from 1 on, or {NO_STEP} for none, not {value}")


@dataclass(frozen=True)
class RunOptions:
    """Run"""

    iterations: int = option(
        ITERATIONS,
        "number of training steps; a few thousand give a preview",
        minimum=1,
        follows=f"{ITERATIONS}; {ITERATIONS_ON_CPU} on a CPU",
    )
    minutes: float | None = option(
        None,
        "time that the run takes, with loading and evaluation, which sets --iterations by measured speed; "
        "SIGUSR1 ends any run early, with all its schedules at their ends",
        minimum=0.1,
        follows="as long as --iterations take",
    )
    replan: tuple[str, ...] = option(
        (),
        "step:iterations, another number of iterations from a step on; run.json of a run with --minutes has those "
        "that replay it",
        check=replan_numbers,
    )
    device: str = option("", DEVICE_HELP, follows=BEST_DEVICE)
    seed: int = option(
        0,
        "seed of all random numbers of the run; the same seed gives the same bytes on the same machine",
        minimum=0,
        maximum=MAX_SEED,
    )
    test_iterations: tuple[int, ...] = option(
        (7_000, 30_000),
        "steps after which the test views are measured, -1 for none; they are always measured at the end",
        check=check_step,
    )
    save_iterations: tuple[int, ...] = option(
        (7_000, 30_000),
        "steps after which point_cloud.ply is written, -1 for none; it is always written at the end",
        check=check_step,
    )
    checkpoint_iterations: tuple[int, ...] = option(
        (),
        "steps after which a checkpoint chkpnt<N>.pth is written, from which training can continue, -1 for none",
        check=check_step,
    )
    start_checkpoint: str = option(
        "", "checkpoint file that training starts from, with the settings of the command line"
    )
    viewer: bool = option(
        False,
        "shows the Gaussians in a browser while they are trained, at a local address that is printed; the result stays "
        "the same; needs viser",
    )
    viewer_html_mb: float = option(
        50.0,
        "size of viewer.html at most, the page that shows the result in a browser, in megabytes; where the Gaussians "
        "do not fit, those that contribute most are kept; 0 writes none",
        minimum=0,
    )
    resume: bool = option(
        False, "continues the run in the model folder from its newest checkpoint, with the settings stored there"
    )
    overwrite: bool = option(False, "deletes the run that the model folder holds, and starts again")
    quiet: bool = option(False, "prints nothing but errors")
    verbose: bool = option(
        False,
        "prints the number of Gaussians that each densification and pruning rule changed, and the statistics that it "
        "compared with its threshold; metrics.jsonl has these numbers in any case; of an error it prints the traceback",
    )
    dry_run: bool = option(
        False,
        "prints what is found in the dataset, and the minutes and the memory that the run is expected to take, as some "
        "steps measure; writes nothing and exits",
    )
    tensorboard: bool = option(
        False,
        "writes the numbers of metrics.jsonl and some test views to tensorboard/ in the model folder as well; needs "
        "the package tensorboard",
    )
    print_schedule: bool = option(
        False, "prints how the scheduled weights change over the run, and exits without training"
    )
    audit_gradients: bool = option(
        False,
        "prints the gradient of each loss term by each parameter every 500 steps; use it to see which term dominates",
    )
    detect_anomaly: bool = option(
        False, "makes autograd name the operation that produced a NaN; several times slower, for debugging"
    )


@dataclass(frozen=True)
class TrainOptions:
    """All settings of train.py, by stage."""

    model: ModelOptions = field(default_factory=ModelOptions)
    pipeline: PipelineOptions = field(default_factory=PipelineOptions)
    run: RunOptions = field(default_factory=RunOptions)
    optimization: OptimizationOptions = field(default_factory=OptimizationOptions)
    depth: DepthOptions = field(default_factory=DepthOptions)
    regularizers: RegularizerOptions = field(default_factory=RegularizerOptions)
    densification: DensificationOptions = field(default_factory=DensificationOptions)
    spikes: SpikeOptions = field(default_factory=SpikeOptions)
    exposure: ExposureOptions = field(default_factory=ExposureOptions)
    poses: PoseOptions = field(default_factory=PoseOptions)
    extensions: Mapping[str, Any] = field(default_factory=dict)  # what depth losses and strategies declare, by flag


def stages() -> dict[str, type]:
    """Name -> group of the stages that every run has."""
    return {name: hint for name, hint in get_type_hints(TrainOptions).items() if name != "extensions"}


def extension(group: type[Group], extensions: Mapping[str, Any], where: str) -> Group:
    """The options that a depth loss or a strategy declares as the dataclass `group`, from those of all.

    UserError, which begins with `where`, for a value that is not accepted.
    """
    names = [item.name for item in fields(cast(Any, group))]
    return build(group, {name: extensions[name] for name in names if name in extensions}, where)

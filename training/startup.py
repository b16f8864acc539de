"""Before the first step: the settings of the run, the state it starts from, and the files that say so."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from arguments import (
    OptimizationOptions,
    RunOptions,
    TrainOptions,
    extension,
    from_json,
    parse_train_options,
    to_cfg_args,
    to_json,
)
from arguments.groups import ITERATIONS, ITERATIONS_ON_CPU
from gaussian_renderer.device import is_cpu
from scene.camera_list import write_cameras
from scene.contrast import contrast_gain
from scene.exposure_check import measure_exposures
from scene.gaussians.initialize import initialize
from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import Optimizer
from scene.gaussians.shard import Shard
from scene.io import read_gaussians
from scene.io.points import write_points
from scene.loading.image_cache import ViewCache
from scene.refined_poses import with_refined_poses
from scene.types import PointCloud, Scene
from training.checkpoint import is_sharded, latest_checkpoint, load_checkpoint, step_of, whole_before
from training.corrections import Corrections, learned_in
from training.distributed.checkpoint import dealt, load_sharded, remove_unfinished
from training.distributed.startup import check_ranks, restarted
from training.exposure import Exposure
from training.plan import final_length
from training.pose_refinement import PoseRefinement
from training.rates import learning_rates
from training.run_logger import FINISHED
from training.start_from import start_from
from training.state import ENTRIES, TrainingState
from training.strategies import strategy_class, strategy_options
from training.strategies.base import StrategyInputs
from utils import output_dir
from utils.console import say
from utils.distributed import ALONE, ONE, Launch, Ranks
from utils.errors import UserError
from utils.files import atomic_write, write_json
from utils.metrics_log import read_object
from utils.run_lock import RunLock
from utils.schedules import parse_schedule


def read_options(arguments: Sequence[str] | None, launch: Launch = ALONE) -> TrainOptions:
    """The settings of the command line; with --resume, those of the run for all that is not on it. Processes that
    torchrun has started again go on from the last checkpoint."""
    options = parse_train_options(arguments, strategies=strategy_options())
    arguments = restarted(sys.argv[1:] if arguments is None else arguments, options.model.model_path, launch)
    options = parse_train_options(arguments, strategies=strategy_options())
    if options.run.resume:
        if not options.model.model_path:
            raise UserError("--resume needs -m, the model folder of the run to go on with")
        path = output_dir.config_path(Path(options.model.model_path))
        if not path.exists():
            raise UserError(f"--resume: there is no run in {options.model.model_path} ({path.name} is missing)")
        stored = from_json(path.read_bytes(), str(path))
        if _is_given("--iterations", arguments):  # they end a plan of before
            stored = dataclasses.replace(stored, run=dataclasses.replace(stored.run, minutes=None, replan=()))
        options = parse_train_options(arguments, stored, strategy_options())
    elif not _is_given("--iterations", arguments):
        options = dataclasses.replace(options, run=_of_usual_length(options.run))
    if _is_given("--start_from", arguments) and (options.run.resume or options.run.start_checkpoint):
        raise UserError("--start_from begins a run; --resume and --start_checkpoint go on with one")
    if options.run.resume and options.run.overwrite:
        raise UserError("--resume and --overwrite exclude each other")
    check_depth_model(options)
    if not options.model.source_path:
        raise UserError("the dataset folder is missing: give it by -s")
    model = options.model
    model = dataclasses.replace(model, source_path=str(Path(model.source_path).resolve()))
    if model.start_from:
        model = dataclasses.replace(model, start_from=str(Path(model.start_from).resolve()))
    if not model.model_path:
        if launch.size > 1:
            raise UserError("-m is missing: the ranks of a run must know where it is")
        model = dataclasses.replace(model, model_path=str(output_dir.default_folder(Path(model.source_path))))
    options = dataclasses.replace(options, model=model)
    check_ranks(
        launch.size, options.run, options.optimization, strategy_class(options.densification.strategy),
        options.densification.strategy,
    )  # fmt: skip
    return options


def _of_usual_length(run: RunOptions) -> RunOptions:
    """A run that nobody gave a length: shorter on a CPU."""
    return dataclasses.replace(run, iterations=ITERATIONS_ON_CPU if is_cpu(run.device) else ITERATIONS)


def check_depth_model(options: TrainOptions) -> None:
    """UserError where a term has a weight that is made for depths along rays only."""
    if options.pipeline.depth_model == "ray":
        return
    for flag in ("lambda_sensor", "lambda_normal"):
        text = getattr(options.regularizers, flag)
        if text is not None and any(value > 0 for _, value in parse_schedule(text, flag).knots):
            raise UserError(
                f"--{flag} {text} with --depth_model {options.pipeline.depth_model}: it needs --depth_model ray"
            )


def _is_given(flag: str, arguments: Sequence[str] | None) -> bool:
    """Whether a flag is on the command line, `sys.argv` when None."""
    words = sys.argv[1:] if arguments is None else arguments
    return any(word.partition("=")[0] == flag for word in words)


def fitted_to(scene: Scene, options: TrainOptions, ranks: Ranks = ONE) -> TrainOptions:
    """The options as the scene's photos want them, for this run and for whoever reads them: before a plain white
    background all is drawn over white, and little contrast is amplified. A call of all ranks."""
    white = options.model.white_background or scene.background == 1
    gain = options.optimization.contrast_gain
    if gain is None:
        gain = ranks.led(lambda: contrast_gain(scene.train))
    return dataclasses.replace(
        options,
        model=dataclasses.replace(options.model, white_background=white),
        optimization=dataclasses.replace(options.optimization, contrast_gain=gain),
    )


def contrast_text(optimization: OptimizationOptions) -> str:
    """A line that says that contrast is amplified; empty where it is not."""
    gain = optimization.contrast_gain or 1.0
    if gain == 1:
        return ""
    return f"The loss compares colors {gain:.2g} times as strong (--contrast_gain), as the photos' contrast wants it"


def first_state(options: TrainOptions, scene: Scene, device: torch.device, ranks: Ranks = ONE) -> TrainingState:
    """The state to start from, on `device`: a Gaussian for each point, a checkpoint, or the result without pages. Of
    several ranks each has its own rows of it."""
    rates = learning_rates(options.optimization, scene.extent, 0, options.run.iterations)
    gaussians = first_gaussians(options, scene, device)
    if ranks.size > 1:
        gaussians = share_of(gaussians, ranks)
    kept_there = options.model.data_device == "cuda"
    if kept_there and device.type != "cuda":
        raise UserError("--data_device cuda keeps the photos on the GPU that trains; on the CPU it must be cpu")
    with_alpha = options.optimization.random_background or options.regularizers.lambda_alpha > 0
    photos = ViewCache(scene.train, device, with_alpha, kept_there, kept_photos(options, scene, ranks))
    optimizer = Optimizer(gaussians, rates, options.optimization.optimizer_type == "sparse_adam")
    fixed = {"sh_degree": options.model.sh_degree, "seed": options.run.seed}
    done = ranks.led(lambda: done_point_cloud(options))
    path = None if done else ranks.led(lambda: first_checkpoint(options))
    checkpoint = None if path is None else _load(path, device, ranks)
    corrections = first_corrections(options, scene, photos, checkpoint, ranks)
    state = TrainingState.start(strategy_inputs(options, scene, gaussians, optimizer, photos), fixed, corrections)
    if done is not None:
        whole = Gaussians.from_arrays(read_gaussians(done), device)
        state.take_result(whole if ranks.size == 1 else share_of(whole, ranks), final_length(options.run))
    if path is not None and checkpoint is not None:
        _restore(state, path, checkpoint)
        state.balance()
        if state.iteration >= final_length(options.run):
            raise UserError(f"{path} has {state.iteration} iterations already; ask for more than that by --iterations")
    return state


def first_gaussians(options: TrainOptions, scene: Scene, device: torch.device) -> Gaussians:
    """Those of --start_from, or one for each point. A run that goes on has its own, and any will do."""
    limit, degree = options.densification.max_gaussians or 0, options.model.sh_degree
    if options.model.start_from and not options.run.resume:
        gaussians, line = start_from(Path(options.model.start_from), scene, degree, limit, device)
        say(line, options.run.quiet)
        return gaussians
    centers = np.stack([view.camera.center for view in scene.train])
    return initialize(start_points(scene, limit), degree, scene.extent, device, centers)


def strategy_inputs(
    options: TrainOptions, scene: Scene, gaussians: Gaussians, optimizer: Optimizer, photos: ViewCache
) -> StrategyInputs:
    """What the run's strategy is made from, with the generator of all the run's random numbers."""
    declared = strategy_options().get(options.densification.strategy)
    return StrategyInputs(
        iterations=options.run.iterations,
        densification=options.densification,
        spikes=options.spikes,
        regularizers=options.regularizers,
        options=None if declared is None else extension(declared, options.extensions, "the settings"),
        scene=scene,
        gaussians=gaussians,
        optimizer=optimizer,
        photos=photos,
        generator=torch.Generator().manual_seed(options.run.seed),
    )


def first_corrections(
    options: TrainOptions,
    scene: Scene,
    photos: ViewCache,
    checkpoint: Mapping[str, Any] | None,
    ranks: Ranks = ONE,
) -> Corrections:
    """What is learned of each photo. By itself a run learns exposures where photos differ in theirs; one that goes on
    does as it did before."""
    said, wanted = "", options.exposure.exposure == "on"
    if options.exposure.exposure == "auto" and checkpoint is not None:
        wanted = "exposure" in learned_in(checkpoint)
    elif options.exposure.exposure == "auto":
        found = ranks.led(lambda: measure_exposures(scene))
        wanted, said = found.differs, found.text
    cameras = [view.camera for view in scene.train]
    exposure = Exposure([camera.name for camera in cameras], options.exposure, photos.device) if wanted else None
    if not options.poses.refine_poses:
        return Corrections(exposure, reason=said)
    start = cameras
    if done_point_cloud(options) is not None:  # nothing is trained any more: the poses are those that were written
        start = [view.camera for view in with_refined_poses(Path(options.model.model_path), scene.train)]
    poses = PoseRefinement(cameras, options.poses, scene.extent, photos.device, start=start)
    return Corrections(exposure, poses, said)


def _restore(state: TrainingState, path: Path, checkpoint: Mapping[str, Any]) -> None:
    """UserError for a checkpoint that is no use."""
    try:
        state.restore(checkpoint)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def kept_photos(options: TrainOptions, scene: Scene, ranks: Ranks) -> int:
    """How many decoded photos are kept, 0 for all: as given, or on several ranks what each renders of an order, with
    those of the next step."""
    if options.model.photo_cache is not None:
        return options.model.photo_cache
    batch = options.optimization.batch_size or ranks.size
    return 0 if ranks.size == 1 else -(-(len(scene.train) + batch) // ranks.size)


def share_of(whole: Gaussians, ranks: Ranks) -> Gaussians:
    """The rows of this rank."""
    shard = Shard.dealt(ranks, len(whole), whole.device)
    return Gaussians({name: whole.parameters[name].detach()[shard.ids].clone() for name in PARAMETERS}, shard)


def _load(path: Path, device: torch.device, ranks: Ranks = ONE) -> dict[str, Any]:
    """UserError, with what else there is to go on from, for a checkpoint that is no use."""
    try:
        if is_sharded(path):
            return load_sharded(path, ENTRIES, device, ranks)
        whole = load_checkpoint(path, ENTRIES, device)
        return whole if ranks.size == 1 else dealt(whole, ranks)
    except UserError as error:
        before = whole_before(path)
        if before is None:
            raise
        line = shlex.join(["python", "train.py", "-m", str(path.parent), "--resume", "--start_checkpoint", str(before)])
        raise UserError(f"{error}; the one before, {before}, is whole: {line} goes on from it") from None


def start_points(scene: Scene, limit: int) -> PointCloud:
    """At most `limit` of the points that the scene starts from, the measured ones first; all for 0."""
    known = len(scene.measured)
    if limit == 0 or known == 0:
        return at_most(scene.points, limit)
    measured = at_most(scene.measured, limit)
    guessed = PointCloud(scene.points.positions[known:], scene.points.colors[known:])
    room = limit - len(measured)
    return measured.joined(at_most(guessed, room)) if room > 0 else measured


def at_most(points: PointCloud, count: int) -> PointCloud:
    """`count` of the points, evenly spread over their order; all where there are no more, or for 0."""
    if count == 0 or len(points) <= count:
        return points
    kept = np.linspace(0, len(points) - 1, count).round().astype(int)
    return PointCloud(points.positions[kept], points.colors[kept])


def first_checkpoint(options: TrainOptions) -> Path | None:
    """The checkpoint to go on from, if any. UserError when the run that is resumed has left none."""
    if options.run.start_checkpoint:
        return Path(options.run.start_checkpoint)
    if not options.run.resume:
        return None
    path = latest_checkpoint(Path(options.model.model_path))
    if path is None:
        raise UserError(f"--resume: there is no checkpoint in {options.model.model_path}; start again by --overwrite")
    return path


def check_folder(options: TrainOptions) -> None:
    """UserError where the run could not write into its model folder: to be known before the dataset is read."""
    folder = Path(options.model.model_path)
    if _goes_on_in(options, folder):
        output_dir.check_writable(folder)
        output_dir.check_own(folder)
    else:
        output_dir.check_free(folder, Path(options.model.source_path), options.run.overwrite)


def done_point_cloud(options: TrainOptions) -> Path | None:
    """The result of a run to be resumed that ended after its last step, but before its last page.

    UserError for one that has its pages, too.
    """
    folder, steps = Path(options.model.model_path), final_length(options.run)
    path, newest = output_dir.point_cloud_path(folder, steps), latest_checkpoint(folder)
    if not options.run.resume or options.run.start_checkpoint or not path.is_file():
        return None
    if newest is not None and step_of(newest) > steps:
        return None
    if read_object(folder / "run.json").get("status") == FINISHED:
        raise UserError(
            f"--resume: the run in {folder} is finished, with {steps} iterations; ask for more than that by "
            "--iterations, or start again by --overwrite"
        )
    return path


def prepare_folder(options: TrainOptions, scene: Scene, lock: RunLock | None) -> Path:
    """The model folder, ready for the run and locked, with the files that say what it starts from."""
    check_folder(options)
    folder = Path(options.model.model_path)
    folder.mkdir(parents=True, exist_ok=True)
    assert lock is not None, "rank 0 prepares the folder, and locks it"
    lock.take()
    if not _goes_on_in(options, folder):
        output_dir.claim(folder, scene.source, options.run.overwrite)
    write_options(options, folder)
    output_dir.remove_leftovers(folder)
    remove_unfinished(folder)
    write_points(folder / "input.ply", scene.points)
    write_cameras(folder, [view.camera for view in (*scene.test, *scene.train)])
    if any(scene.origin):
        places = "positions in the PLY files and cameras.json"
        write_json(folder / "origin.json", {"origin": list(scene.origin), "to be added to": places})
    return folder


def write_options(options: TrainOptions, folder: Path) -> None:
    """The settings of the run in its folder, as --resume reads them."""
    once = dataclasses.replace(options.run, resume=False, overwrite=False, start_checkpoint="")
    options = dataclasses.replace(options, run=once)
    for path, text in (
        (output_dir.config_path(folder), to_json(options)),
        (folder / "cfg_args", to_cfg_args(options)),
    ):
        with atomic_write(path) as file:
            file.write(text.encode())


def _goes_on_in(options: TrainOptions, folder: Path) -> bool:
    """Whether the run is that of the model folder itself, gone on with."""
    checkpoint = options.run.start_checkpoint
    return options.run.resume or (bool(checkpoint) and Path(checkpoint).resolve().parent == folder.resolve())

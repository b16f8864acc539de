"""Train Gaussians from posed photos: python train.py -s <dataset> -m <model folder> --eval"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arguments import RunOptions, TrainOptions, without_effect
from gaussian_renderer import (
    RenderSettings,
    background_color,
    random_color,
    settings_at,
    settings_of,
)
from gaussian_renderer.device import device_text, use_device
from gaussian_renderer.live.server import require_viser
from gaussian_renderer.threads import threads_for_rasterizer
from scene import load_scene
from scene.inputs.workspace import borrowed
from scene.loading.downscale import downscale_2x, halved_camera
from scene.sfm import PosesUnknown
from scene.types import Scene
from training.batch import Shot, forward
from training.distributed.following import FollowingOutputs, SilentLogger
from training.distributed.startup import scaling_text
from training.distributed.watch import mark_begun, said_once, together
from training.draw import draw_of
from training.forecast import NOTHING_WRITTEN, PROBE_SECONDS, forecast
from training.interrupt import Interrupt, Wish
from training.live import live_viewer
from training.loss import Loss, schedule_text
from training.monitor import Change, Monitor
from training.outputs import RunOutputs
from training.pace import Pace, plan_run
from training.plan import unreached
from training.probe import SEEN_AT, Probe
from training.rates import learning_rates, sh_degree_interval
from training.run_logger import RunLogger
from training.startup import (
    check_folder,
    contrast_text,
    first_state,
    fitted_to,
    prepare_folder,
    read_options,
    write_options,
)
from training.state import TrainingState
from training.strategies.base import Strategy
from training.tensorboard import check_tensorboard
from utils.console import run_script, say
from utils.distributed import Ranks, launch_of
from utils.run_lock import RunLock

INTERRUPTED = 130  # the exit status of what Ctrl-C ended


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits with 130 when it was interrupted."""
    started = time.monotonic()
    launch = launch_of()
    with together(launch) as join_on, threads_for_rasterizer():
        with said_once(launch):
            options = read_options(arguments, launch)
        if launch.rank > 0:
            options = replace(options, run=replace(options.run, quiet=True))
        for line in without_effect(arguments):
            say(line, options.run.quiet)
        if options.run.print_schedule:
            say(schedule_text(loss_of(options, 1.0), options.run.iterations), options.run.quiet)
            return
        if options.run.viewer:
            require_viser()
        device = use_device(options.run.device, launch.local_rank if launch.size > 1 else None)
        ranks = join_on(device)
        if options.run.dry_run:
            dry_run(ranks, options, device, started)
        elif not run_on(ranks, options, device, started):
            sys.exit(INTERRUPTED)


def run_on(ranks: Ranks, options: TrainOptions, device: torch.device, started: float) -> bool:
    """A run from its dataset to its pages, on one rank or several; False when it was interrupted."""
    ranks.led(lambda: check_folder(options))
    if options.run.tensorboard:
        check_tensorboard()
    quiet, source = options.run.quiet, Path(options.model.source_path)
    with RunLock(Path(options.model.model_path)) if ranks.leads else nullcontext() as lock:
        scene = ranks.led(lambda: load_scene(source, **options.model.scene_arguments(), quiet=quiet))
        options = fitted_to(scene, options, ranks)
        state = first_state(options, scene, device, ranks)
        run = plan_run(options.run, scene, state, started, probe_of(options, scene, state))
        options = replace(options, run=run)
        folder = ranks.led(lambda: prepare_folder(options, scene, lock))
        mark_begun()

        def keep(run: RunOptions) -> None:
            if ranks.leads:
                write_options(replace(options, run=run), folder)

        with Pace(run, scene, state, started, keep) as pace:
            return train(options, scene, state, folder, pace)


def dry_run(ranks: Ranks, options: TrainOptions, device: torch.device, started: float) -> None:
    """Say what the run would start from, how long it would take and how much memory, and leave nothing behind."""
    ranks.led(lambda: check_folder(options))
    with borrowed(options.model.scene_arguments()["workspace"]) as workspace:
        found = ranks.led(lambda: look_into(options, workspace))
        if isinstance(found, Scene):
            expect(ranks, options, found, device, started)
        elif ranks.leads:
            say(f"{found}\n{NOTHING_WRITTEN}")


def look_into(options: TrainOptions, workspace: Path) -> Scene | str:
    """The scene, or what is known of photos whose poses are still to be found."""
    arguments = options.model.scene_arguments() | {"workspace": workspace, "quiet": options.run.quiet}
    try:
        return load_scene(Path(options.model.source_path), **arguments, find_poses=False)
    except PosesUnknown as unknown:
        return str(unknown)


def expect(ranks: Ranks, options: TrainOptions, scene: Scene, device: torch.device, started: float) -> None:
    """Say what the run is expected to take, by some of its steps. All ranks measure, rank 0 says."""
    options = fitted_to(scene, options, ranks)
    state, loaded = first_state(options, scene, device, ranks), time.monotonic() - started
    probe = probe_of(options, scene, state)
    run = plan_run(options.run, scene, state, started, probe)
    speed = probe.speed(state, PROBE_SECONDS)
    if not ranks.leads:
        return
    say("\n".join([scene.summary, scene.ledger.line, *(f"warning: {text}" for text in scene.warnings)]))
    say(f"Computing on {device_text(device)}")
    for line in forecast(run, scene, state, speed, loaded):
        say(line)


def loss_of(options: TrainOptions, extent: float, strategy: Strategy | None = None) -> Loss:
    """The loss that the settings describe, in a scene of this extent. UserError for a schedule that cannot be read."""
    groups = options.optimization, options.depth, options.regularizers, options.extensions
    return Loss.of(
        *groups,
        iterations=options.run.iterations,
        extent=extent,
        usual=None if strategy is None else strategy.regularizers,
        photos_kept=options.model.photo_cache or 0,
        depth_along_rays=options.pipeline.depth_model == "ray",
    )


def drawing_of(options: TrainOptions, scene: Scene, absgrad: bool = False) -> Callable[[int], RenderSettings]:
    """How the run draws at each step. Colors that were trained change with the view from the first step on.
    `absgrad`: where the strategy needs it, for the photos of the steps."""
    near, degree, pipeline = scene.near, options.model.sh_degree, options.pipeline
    if options.model.start_from:
        return lambda _: settings_of(near, degree, pipeline, absgrad=absgrad)
    every = sh_degree_interval(options.optimization, options.run.iterations)
    return partial(settings_at, near=near, sh_degree=degree, every=every, pipeline=pipeline, absgrad=absgrad)


def probe_of(options: TrainOptions, scene: Scene, state: TrainingState) -> Probe:
    """What the speed of training steps is measured by."""
    return Probe(
        loss_of(options, scene.extent, state.strategy),
        drawing_of(options, scene, state.strategy.absgrad)(SEEN_AT),
        background_color(options.model.white_background, state.gaussians.device),
        photos_in_step(options, state.gaussians.ranks),
    )


def photos_in_step(options: TrainOptions, ranks: Ranks) -> int:
    """As given, or one for each rank."""
    return options.optimization.batch_size or ranks.size


def facts_of(scene: Scene, state: TrainingState, pace: Pace) -> dict[str, Any]:
    """What run.json says of a run before its first step."""
    return {
        "rasterizer": device_text(state.gaussians.device),
        "extent": scene.extent,
        "origin": scene.origin,
        "densification": state.strategy.facts(),
        "files": scene.ledger.facts(),
        "plan": pace.facts(),
        "ranks": state.gaussians.ranks.size,
        "corrections": state.corrections.facts(),
    }


def next_shots(
    options: TrainOptions,
    state: TrainingState,
    photos: int,
    plain: Tensor,
    settings: Callable[[int], RenderSettings],
    objective: Loss,
) -> list[Shot]:
    """The photos of the next step, the same on all ranks, and how each is looked at."""
    shots, device = [], state.gaussians.device
    for iteration, (camera, viewmat, photo) in enumerate(state.next_batch(photos), start=state.iteration + 1):
        if iteration < options.optimization.coarse_until_iter:
            camera, photo = halved_camera(camera), None if photo is None else downscale_2x(photo)
        random = options.optimization.random_background
        background = random_color(state.generator, device) if random else plain
        weights = objective.weights(iteration)
        how = objective.drawn(settings(iteration), weights)
        shots.append(Shot(iteration, camera, viewmat, photo, background, how, weights))
    return shots


def train(options: TrainOptions, scene: Scene, state: TrainingState, folder: Path, pace: Pace) -> bool:
    """Take `state` to the last iteration and write what is asked for on the way; False when it was interrupted."""
    run, gaussians, optimizer, strategy = pace.run, state.gaussians, state.optimizer, state.strategy
    corrections, ranks = state.corrections, gaussians.ranks
    objective = loss_of(replace(options, run=run), scene.extent, strategy)
    settings_at_step, settings_of_photos = drawing_of(options, scene), drawing_of(options, scene, strategy.absgrad)
    plain = background_color(options.model.white_background, gaussians.device)
    facts = facts_of(scene, state, pace)
    batch_size = photos_in_step(options, ranks)
    logger, outputs = (RunLogger, RunOutputs) if ranks.leads else (SilentLogger, FollowingOutputs)
    with (
        logger(
            folder,
            run.iterations,
            first=state.iteration,
            quiet=run.quiet,
            facts=facts,
            tensorboard=run.tensorboard,
            to_go=pace.seconds_to_go,
        ) as report,
        Interrupt() as interrupt,
        torch.autograd.set_detect_anomaly(run.detect_anomaly),
        outputs(run, scene, state, report, folder, background=plain, settings=settings_at_step) as results,
        live_viewer(run.viewer, scene, gaussians, plain, report, finish=pace.ask) as viewer,
    ):
        lines = scene.summary, scene.ledger.line, f"Computing on {facts['rasterizer']}", pace.opening()
        more = scaling_text(batch_size, ranks.size), corrections.opening(), contrast_text(options.optimization)
        warnings = (*scene.warnings, *unreached(run, bool(scene.test or scene.far)))
        report.opening("\n".join(filter(None, (*lines, *more))), warnings)
        monitor = Monitor(run, objective, gaussians, corrections, report, optimizer.rates)
        while state.iteration < run.iterations:
            photos = min(batch_size, run.iterations - state.iteration)
            shots = next_shots(options, state, photos, plain, settings_of_photos, objective)
            made = forward(gaussians, corrections, objective, shots)
            steps = made.steps
            for step in steps:
                monitor.before_backward(step, made.anchor)
            for step in steps:
                strategy.before_backward(step.seen)
            made.backward()
            finite = monitor.after_backward(steps)

            for step in steps:
                strategy.observe(step.iteration, step.seen, step.camera)
            iteration = steps[-1].iteration
            optimizer.rates |= learning_rates(options.optimization, scene.extent, iteration, run.iterations)
            optimizer.step(made.visible, finite, photos)
            corrections.step(iteration, run.iterations, finite, photos, ranks)
            state.step_done()
            changes = []
            for step in steps:
                draw = draw_of(gaussians, corrections, step.background, settings_at_step(step.iteration))
                changed = strategy.after_step(step.iteration, draw)
                changes.append(Change(step.iteration, changed, dict(strategy.compared)))
            state.balance()

            pace.asked = ranks.any(pace.asked)
            longer = pace.after_step(report)
            if longer is not None:
                run, objective = longer, loss_of(replace(options, run=longer), scene.extent, strategy)
                monitor.objective = objective
                results.lengthened(run)
            state.average(options.optimization.average_last, run.iterations)
            stop = ranks.any(interrupt.requested) and iteration < run.iterations
            wait = stop or any(results.due(step.iteration) for step in steps)
            monitor.after_step(changes, wait=wait)
            results.after_step(steps)
            if viewer is not None and iteration < run.iterations:
                viewer.after_step(gaussians, settings_at_step(iteration), iteration, lambda: interrupt.requested)
            if stop and not goes_on(interrupt, results, pace):
                return False
        return results.finish(lambda: interrupt.requested)


def goes_on(interrupt: Interrupt, results: RunOutputs, pace: Pace) -> bool:
    """Keep the state of an interrupted run, and see whether it is to go on."""
    results.interrupted()
    if not interrupt.requested:  # but on another rank
        return False
    wish = interrupt.wish()
    if wish is Wish.STOP:
        return False
    results.goes_on()
    pace.asked = wish is Wish.FINISH
    return True


if __name__ == "__main__":
    run_script(main)

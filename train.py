"""Train Gaussians from posed photos: python train.py -s <dataset> -m <model folder> --eval"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arguments import TrainOptions, without_effect
from gaussian_renderer import RenderSettings, background_color, random_color, render, settings_at, settings_of
from gaussian_renderer.device import device_text, use_device
from gaussian_renderer.live.server import require_viser
from gaussian_renderer.threads import threads_for_rasterizer
from scene import load_scene
from scene.gaussians.model import Gaussians
from scene.gaussians.optimizer import position_rate
from scene.loading.downscale import downscale_2x
from scene.types import Scene
from training.forecast import PROBE_SECONDS, forecast
from training.interrupt import Interrupt, Wish
from training.live import live_viewer
from training.loss import Loss, schedule_text
from training.monitor import Monitor, Step
from training.outputs import RunOutputs
from training.pace import Pace, plan_run
from training.probe import SEEN_AT, Probe
from training.run_logger import RunLogger
from training.startup import check_folder, first_state, prepare_folder, read_options, write_options
from training.state import TrainingState
from training.strategies.base import Draw, Strategy
from training.tensorboard import check_tensorboard
from utils.console import run_script, say
from utils.losses.photometric import backward_weighted_sum
from utils.run_lock import RunLock

INTERRUPTED = 130  # the exit status of what Ctrl-C ended


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits with 130 when it was interrupted."""
    started = time.monotonic()
    options = read_options(arguments)
    for line in without_effect(arguments):
        say(line, options.run.quiet)
    if options.run.print_schedule:
        say(schedule_text(loss_of(options, 1.0), options.run.iterations))
        return
    if options.run.viewer:
        require_viser()
    device = use_device(options.run.device)
    check_folder(options)
    if options.run.tensorboard:
        check_tensorboard()
    if options.run.dry_run:
        dry_run(options, device, started)
        return
    with RunLock(Path(options.model.model_path)) as lock, threads_for_rasterizer():
        scene = load_scene(Path(options.model.source_path), **options.model.scene_arguments(), quiet=options.run.quiet)
        state = first_state(options, scene, device)
        run = plan_run(options.run, scene, state, started, probe_of(options, scene, state))
        options = replace(options, run=run)
        folder = prepare_folder(options, scene, lock)
        with Pace(run, scene, state, started, lambda run: write_options(replace(options, run=run), folder)) as pace:
            done = train(options, scene, state, folder, pace)
        if not done:
            sys.exit(INTERRUPTED)


def dry_run(options: TrainOptions, device: torch.device, started: float) -> None:
    """Say what the run would start from, how long it would take and how much memory."""
    scene = load_scene(Path(options.model.source_path), **options.model.scene_arguments())
    state, loaded = first_state(options, scene, device), time.monotonic() - started
    probe = probe_of(options, scene, state)
    run = plan_run(options.run, scene, state, started, probe)
    say("\n".join([scene.summary, scene.ledger.line, *(f"warning: {text}" for text in scene.warnings)]))
    say(f"Computing on {device_text(device)}")
    for line in forecast(run, scene, state, probe.speed(state, PROBE_SECONDS), loaded):
        say(line)


def loss_of(options: TrainOptions, extent: float, strategy: Strategy | None = None) -> Loss:
    """The loss that the settings describe, in a scene of this extent. UserError for a schedule that cannot be read."""
    groups = options.optimization, options.depth, options.regularizers, options.extensions
    usual = None if strategy is None else strategy.regularizers
    return Loss.of(*groups, iterations=options.run.iterations, extent=extent, usual=usual)


def drawing_of(options: TrainOptions, scene: Scene) -> Callable[[int], RenderSettings]:
    """How the run draws at each step. Colors that were trained change with the view from the first step on."""
    near, degree, pipeline = scene.near, options.model.sh_degree, options.pipeline
    if options.model.start_from:
        return lambda _: settings_of(near, degree, pipeline)
    return partial(settings_at, near=near, sh_degree=degree, pipeline=pipeline)


def probe_of(options: TrainOptions, scene: Scene, state: TrainingState) -> Probe:
    """What the speed of training steps is measured by."""
    return Probe(
        loss_of(options, scene.extent, state.strategy),
        replace(drawing_of(options, scene)(SEEN_AT), absgrad=state.strategy.absgrad),
        background_color(options.model.white_background, state.gaussians.device),
    )


def facts_of(scene: Scene, state: TrainingState, pace: Pace) -> dict[str, Any]:
    """What run.json says of a run before its first step."""
    return {
        "rasterizer": device_text(state.gaussians.device),
        "extent": scene.extent,
        "origin": scene.origin,
        "densification": state.strategy.facts(),
        "files": scene.ledger.facts(),
        "plan": pace.facts(),
        "corrections": state.corrections.facts(),
    }


def draw_of(gaussians: Gaussians, background: Tensor, settings: RenderSettings) -> Draw:
    """What a strategy may render between two steps, with the rasterizer's statistics and without."""
    surveyed, seen = (
        partial(render, gaussians, background=background, settings=replace(settings, statistics=on))
        for on in (True, False)
    )
    return Draw(surveyed, seen, background)


def train(options: TrainOptions, scene: Scene, state: TrainingState, folder: Path, pace: Pace) -> bool:
    """Take `state` to the last iteration and write what is asked for on the way; False when it was interrupted."""
    run, gaussians, optimizer, strategy = pace.run, state.gaussians, state.optimizer, state.strategy
    corrections = state.corrections
    objective = loss_of(replace(options, run=run), scene.extent, strategy)
    settings_at_step = drawing_of(options, scene)
    plain = background_color(options.model.white_background, gaussians.device)
    facts = facts_of(scene, state, pace)
    with (
        RunLogger(
            folder,
            run.iterations,
            first=state.iteration,
            quiet=run.quiet,
            facts=facts,
            tensorboard=run.tensorboard,
        ) as report,
        Interrupt() as interrupt,
        torch.autograd.set_detect_anomaly(run.detect_anomaly),
        RunOutputs(run, scene, state, report, folder, background=plain, settings=settings_at_step) as results,
        live_viewer(run.viewer, scene, gaussians, plain, report, finish=pace.ask) as viewer,
    ):
        lines = scene.summary, scene.ledger.line, f"Computing on {facts['rasterizer']}", pace.opening()
        report.opening("\n".join(filter(None, (*lines, corrections.opening()))), scene.warnings)
        monitor = Monitor(run, objective, gaussians, corrections, report, optimizer.rates)
        while state.iteration < run.iterations:
            iteration, photo = state.iteration + 1, state.next_photo()
            if iteration < options.optimization.coarse_until_iter:
                photo = downscale_2x(photo)
            random = options.optimization.random_background
            background = random_color(state.generator, gaussians.device) if random else plain
            settings = replace(settings_at_step(iteration), absgrad=strategy.absgrad)

            weights = objective.weights(iteration)
            settings = objective.drawn(settings, weights)
            sensor = objective.sensor(photo, weights)
            output = corrections.render(gaussians, photo, background, settings, sensor)
            terms = objective.terms(output, photo, background, gaussians, weights)
            step = Step(iteration, photo, background, settings, output, terms, weights)
            monitor.before_backward(step)
            strategy.before_backward(output)
            backward_weighted_sum(terms, weights)
            finite = monitor.after_backward(step)

            strategy.observe(iteration, output, photo.camera)
            optimizer.rates["means"] = position_rate(options.optimization, scene.extent, iteration, run.iterations)
            optimizer.step(output.radii > 0, finite)
            corrections.step(iteration, run.iterations, finite)
            state.step_done()
            changed = strategy.after_step(iteration, draw_of(gaussians, background, settings_at_step(iteration)))

            longer = pace.after_step(report)
            if longer is not None:
                run, objective = longer, loss_of(replace(options, run=longer), scene.extent, strategy)
                monitor.objective = objective
                results.lengthened(run)
            stop = interrupt.requested and iteration < run.iterations
            monitor.after_step(step, changed, strategy.compared, wait=stop or results.due(iteration))
            results.after_step(step)
            if viewer is not None and iteration < run.iterations:
                viewer.after_step(gaussians, settings_at_step(iteration), iteration, lambda: interrupt.requested)
            if stop and not goes_on(interrupt, results, pace):
                return False
        return results.finish(lambda: interrupt.requested)


def goes_on(interrupt: Interrupt, results: RunOutputs, pace: Pace) -> bool:
    """Keep the state of an interrupted run, and see whether it is to go on."""
    results.interrupted()
    wish = interrupt.wish()
    if wish is Wish.STOP:
        return False
    results.goes_on()
    pace.asked = wish is Wish.FINISH
    return True


if __name__ == "__main__":
    run_script(main)

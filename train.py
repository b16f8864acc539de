"""Train Gaussians from posed photos: python train.py -s <dataset> -m <model folder> --eval"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arguments import TrainOptions, from_json, parse_train_options, to_cfg_args, to_json
from gaussian_renderer import RasterOutput, RenderSettings, Statistics, near_plane, render
from gaussian_renderer.evaluate import measure, rasterizer_facts, render_views
from gaussian_renderer.objective import FLAGS, Objective
from scene import load_scene
from scene.coarse import halved
from scene.densify import default_grad_threshold, densify, reset_opacities
from scene.gaussians import Gaussians
from scene.initialize import initialize
from scene.ply import write_gaussians, write_points
from scene.prune import PruneRules, prune
from scene.spikes import SpikeStatistics
from scene.training_state import ENTRIES, TrainingState
from scene.types import Camera, Scene, View
from scene.views import Photo, Photos
from utils import metrics, model_folder, regularizers
from utils.checkpoint import checkpoint_path, latest_checkpoint, load_checkpoint, save_checkpoint
from utils.errors import UserError
from utils.files import atomic_write, write_json
from utils.gradient_health import (
    BalanceWatch,
    EffectWatch,
    audit,
    audit_entry,
    audit_table,
    check_finite,
    distortion_line,
)
from utils.interrupt import Interrupt
from utils.losses import weigh
from utils.report import Report, run_script, say
from utils.schedules import due, log_linear, schedule_table, sh_degree_at, telling_iterations
from utils.summary import write_summary

INTERRUPTED = 130  # the exit status of what Ctrl-C ended
MAX_WORLD_SIZE = 0.1  # of the extent: larger Gaussians are pruned, once opacities have been reset
MAX_SCREEN_SIZE = 0.15  # of the image's larger side: the same
SH_REST_RATE = 1 / 20  # of the colours' learning rate
SPIKES_EVERY = 8  # steps from one view that is looked at for spikes to the next: it takes a walk over the image more
SPIKE_INTERVAL = 200  # steps from one pruning of spikes to the next: enough views for a judgement
SPIKES_UNTIL = 0.9  # of the run: the rest heals what their pruning has torn
AUDIT_EVERY = 500  # steps
BALANCE_EVERY = 100
LINE_EVERY = 100


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits with 130 when it was interrupted."""
    options = read_options(arguments)
    folder = Path(options.model.model_path)
    if options.run.print_schedule:
        say(schedule_text(options))
        return
    scene = load_scene(Path(options.model.source_path), **options.model.scene_arguments())
    state = first_state(options, scene)
    if not goes_on_in(options, folder):
        model_folder.claim(folder, scene.source, options.run.overwrite)
    write_inputs(options, scene, folder)
    if not train(options, scene, state, folder):
        sys.exit(INTERRUPTED)


def train(options: TrainOptions, scene: Scene, state: TrainingState, folder: Path) -> bool:
    """Take `state` to the last iteration and write what is asked for on the way; False when it was interrupted."""
    run, density = options.run, options.densification
    densify_from, densify_until, grad_threshold = densification_limits(options, scene)
    spikes_until = round(SPIKES_UNTIL * run.iterations) if prunes_spikes(options) else 0
    objective = Objective.of(options, scene.extent)
    effects, balance = EffectWatch(FLAGS), BalanceWatch()
    test = Photos(scene.test, run.device)
    gaussians, optimizer, statistics = state.gaussians, state.optimizer, state.statistics

    limits = {"start": densify_from, "stop": densify_until, "grad_threshold": grad_threshold}
    facts = rasterizer_facts() | {"extent": scene.extent, "densification": limits}
    with (
        Report(folder, run.iterations, first=state.iteration, quiet=run.quiet, facts=facts) as report,
        Interrupt() as interrupt,
        torch.autograd.set_detect_anomaly(run.detect_anomaly),
    ):
        report.event(scene.summary)
        for text in scene.warnings:
            report.warning(text)
        for iteration in range(state.iteration + 1, run.iterations + 1):
            photo = state.photos.next()
            if iteration < options.optimization.coarse_until_iter:
                photo = halved(photo)
            background = background_color(options, state.generator)
            look_for_spikes = iteration < spikes_until and iteration % SPIKES_EVERY == 0
            settings = render_settings(options, scene, iteration, statistics=look_for_spikes)
            optimizer.rates["means"] = position_rate(options, scene, iteration)

            output = render(gaussians, photo.camera, background, settings)
            weights = objective.weights(iteration)
            terms = objective.terms(output, photo, background, gaussians, weights)
            if run.audit_gradients and iteration % AUDIT_EVERY in (0, 1):
                rows = audit(terms, weights, gaussians.parameters)
                report.record(iteration, {"audit": audit_entry(rows)}, audit_table(rows))
            for text in effects.look(iteration, terms, weights, gaussians.parameters, photo.camera.name):
                report.warning(text)
            output.means2d.retain_grad()
            loss = weigh(terms, weights)
            loss.backward()
            values = check_finite(
                terms, gaussians.parameters, iteration, photo.camera.name, images=rendered_images(output)
            )
            weighted = {name: weights[name] * value for name, value in values.items()}
            if iteration % BALANCE_EVERY == 0:
                for text in balance.look(iteration, weighted):
                    report.warning(text)

            if iteration < densify_until and output.means2d.grad is not None:
                statistics.observe(output.means2d.grad, output.radii, photo.camera.width, photo.camera.height)
            if output.statistics is not None:
                observe_spikes(options, gaussians, statistics, output.statistics, photo)
            optimizer.step(output.radii > 0)

            if due(iteration, densify_from, densify_until, density.densification_interval):
                densify(
                    gaussians,
                    optimizer,
                    statistics,
                    grad_threshold=grad_threshold,
                    clone_below=density.percent_dense * scene.extent,
                    max_gaussians=density.max_gaussians,
                    generator=state.generator,
                )
                pruned = prune(gaussians, optimizer, statistics, prune_rules(options, scene, iteration))
                report.record(iteration, {"pruned": pruned._asdict()}, str(pruned) if run.verbose else "")
                statistics.reset()
            if due(iteration, densify_from, spikes_until, SPIKE_INTERVAL):
                pruned = prune(gaussians, optimizer, statistics, spike_rules(options, scene))
                report.record(iteration, {"pruned": pruned._asdict()}, str(pruned) if run.verbose else "")
                statistics.reset_spikes()
            if len(gaussians) == 0:
                raise UserError(f"iteration {iteration}: no Gaussian is left; all were too transparent or too large")
            if due(iteration, 0, densify_until, density.opacity_reset_interval):
                reset_opacities(gaussians, optimizer)

            state.iteration = iteration
            last = iteration == run.iterations
            values["loss"] = sum(weighted.values())
            values.setdefault("distortion", mean_distortion(output, photo, scene.extent))
            report.step(iteration, values, len(gaussians))
            if iteration % LINE_EVERY == 0:
                entry, text = distortion_entry(objective, output, photo, iteration, values["distortion"])
                report.record(iteration, entry, text if run.verbose else "")
            if report.preview_due(iteration):
                report.preview(iteration, output.color, photo.color, photo.camera.name)
            if iteration in run.test_iterations and len(test) and not last:
                scores = measure(gaussians, test, background_color(options), settings)
                report.evaluation(iteration, "test", scores, len(test))
            if iteration in run.save_iterations or last:
                path = model_folder.point_cloud_path(folder, iteration)
                write_gaussians(path, gaussians.to_arrays())
                report.saved(path)
            if iteration in run.checkpoint_iterations or (interrupt.requested and not last):
                save_checkpoint(checkpoint_path(folder, iteration), state.to_checkpoint())
                report.saved(checkpoint_path(folder, iteration))
            if interrupt.requested and not last:
                report.outcome("interrupted")
                report.event(f"stopped; go on with: python train.py -m {shlex.quote(str(folder))} --resume")
                return False
        finish(options, scene, gaussians, report, folder)
    return True


def finish(options: TrainOptions, scene: Scene, gaussians: Gaussians, report: Report, folder: Path) -> None:
    """Render and measure the held-out views, and draw the pages that sum the run up."""
    iteration = options.run.iterations
    part, views = shown_views(scene)
    rendered = folder / part / f"ours_{iteration}"
    settings, background = render_settings(options, scene, iteration), background_color(options)
    for _ in render_views(gaussians, Photos(views, options.run.device), rendered, background, settings):
        pass
    scores = metrics.evaluate_model(folder)[rendered.name]
    shown = {name: scores[name] for name in metrics.NAMES} | {"depth_MAE": scores.get("depth", {}).get("MAE")}
    report.evaluation(iteration, part, shown, len(views))
    report.summary(write_summary(folder))


def schedule_text(options: TrainOptions) -> str:
    """What --print_schedule says."""
    schedules = list(Objective.of(options, 1.0).schedules.values())
    return schedule_table(schedules, telling_iterations(schedules, options.run.iterations))


# ---- before the first step -------------------------------------------------------------------------------------------


def read_options(arguments: Sequence[str] | None) -> TrainOptions:
    """The settings of the command line; with --resume, those of the run for all that is not on it."""
    options = parse_train_options(arguments)
    if options.run.resume:
        if not options.model.model_path:
            raise UserError("--resume needs -m, the model folder of the run to go on with")
        path = model_folder.config_path(Path(options.model.model_path))
        if not path.exists():
            raise UserError(f"--resume: there is no run in {options.model.model_path} ({path.name} is missing)")
        options = parse_train_options(arguments, from_json(path.read_text(), str(path)))
    if options.run.resume and options.run.overwrite:
        raise UserError("--resume and --overwrite exclude each other")
    if not options.model.source_path:
        raise UserError("the dataset folder is missing: give it by -s")
    model = options.model
    model = dataclasses.replace(model, source_path=str(Path(model.source_path).resolve()))
    if not model.model_path:
        model = dataclasses.replace(model, model_path=str(model_folder.default_folder(Path(model.source_path))))
    return dataclasses.replace(options, model=model)


def goes_on_in(options: TrainOptions, folder: Path) -> bool:
    """Whether the run is that of the model folder itself, gone on with."""
    checkpoint = options.run.start_checkpoint
    return options.run.resume or (bool(checkpoint) and Path(checkpoint).resolve().parent == folder.resolve())


def first_state(options: TrainOptions, scene: Scene) -> TrainingState:
    """The state to start from: a Gaussian for each point, or a checkpoint."""
    rates = options.optimization
    by_name = {
        "means": position_rate(options, scene, 0),
        "scales": rates.scaling_lr,
        "quats": rates.rotation_lr,
        "opacities": rates.opacity_lr,
        "shs_dc": rates.feature_lr,
        "shs_rest": rates.feature_lr * SH_REST_RATE,
    }
    gaussians = initialize(scene.points, options.model.sh_degree, scene.extent, options.run.device)
    visible_only = rates.optimizer_type == "sparse_adam"
    photos = Photos(scene.train, options.run.device, with_alpha=rates.random_background)
    state = TrainingState.start(gaussians, photos, by_name, visible_only, options.run.seed)
    path = Path(options.run.start_checkpoint) if options.run.start_checkpoint else None
    if options.run.resume and path is None:
        path = latest_checkpoint(Path(options.model.model_path))
        if path is None:
            raise UserError(
                f"--resume: there is no checkpoint in {options.model.model_path}; start again by --overwrite"
            )
    if path is not None:
        state.restore(load_checkpoint(path, ENTRIES, options.run.device))
        state.optimizer.rates |= by_name
        if state.iteration >= options.run.iterations:
            raise UserError(f"{path} has {state.iteration} iterations already; ask for more than that by --iterations")
    return state


def write_inputs(options: TrainOptions, scene: Scene, folder: Path) -> None:
    """The files that say what the run starts from."""
    once = dataclasses.replace(options.run, resume=False, overwrite=False, start_checkpoint="")
    options = dataclasses.replace(options, run=once)
    for path, text in (
        (model_folder.config_path(folder), to_json(options)),
        (folder / "cfg_args", to_cfg_args(options)),
    ):
        with atomic_write(path) as file:
            file.write(text.encode())
    write_points(folder / "input.ply", scene.points)
    cameras = [view.camera for view in (*scene.test, *scene.train)]
    write_json(folder / "cameras.json", [camera_entry(index, camera) for index, camera in enumerate(cameras)])


def camera_entry(index: int, camera: Camera) -> dict[str, Any]:
    """A camera as viewers read it: position and axes (columns of `rotation`) in the world, intrinsics in pixels."""
    return {
        "id": index,
        "img_name": camera.name,
        "width": camera.width,
        "height": camera.height,
        "position": camera.center.tolist(),
        "rotation": camera.camera_from_world[:3, :3].T.tolist(),
        "fx": camera.fx,
        "fy": camera.fy,
        "cx": camera.cx,
        "cy": camera.cy,
    }


# ---- in each step ----------------------------------------------------------------------------------------------------


def render_settings(options: TrainOptions, scene: Scene, iteration: int, statistics: bool = False) -> RenderSettings:
    """How pictures are drawn at `iteration`."""
    return RenderSettings(
        near=near_plane(scene.extent),
        sh_degree=sh_degree_at(iteration, options.model.sh_degree),
        antialiasing=options.pipeline.antialiasing,
        statistics=statistics,
    )


def position_rate(options: TrainOptions, scene: Scene, iteration: int) -> float:
    """The learning rate of the centres, world units per step."""
    rates = options.optimization
    steps = rates.position_lr_max_steps or options.run.iterations
    return scene.extent * log_linear(iteration, rates.position_lr_init, rates.position_lr_final, steps)


def background_color(options: TrainOptions, generator: torch.Generator | None = None) -> Tensor:
    """(3,) random if that is asked for and a generator given, else white or black."""
    if generator is not None and options.optimization.random_background:
        return torch.rand(3, generator=generator).to(options.run.device)
    return torch.full((3,), float(options.model.white_background), device=options.run.device)


def densification_limits(options: TrainOptions, scene: Scene) -> tuple[int, int, float]:
    """(first step, last step, gradient threshold) of densification: as given, or as fits the run and the photos."""
    given, iterations = options.densification, options.run.iterations
    start = min(500, iterations // 10) if given.densify_from_iter is None else given.densify_from_iter
    stop = iterations // 2 if given.densify_until_iter is None else given.densify_until_iter
    pixels = sum(view.camera.width * view.camera.height for view in scene.train) / len(scene.train)
    fitting = default_grad_threshold(pixels)
    return start, stop, fitting if given.densify_grad_threshold is None else given.densify_grad_threshold


def prune_rules(options: TrainOptions, scene: Scene, iteration: int) -> PruneRules:
    """What is pruned with each densification: large Gaussians only after the first opacity reset; until then many are
    still shrinking."""
    if iteration <= options.densification.opacity_reset_interval:
        return PruneRules()
    return PruneRules(max_world_size=MAX_WORLD_SIZE * scene.extent, max_screen_size=MAX_SCREEN_SIZE)


def prunes_spikes(options: TrainOptions) -> bool:
    """Whether any of the rules for spikes and floaters is on."""
    rules = options.spikes
    return any(
        (rules.spike_ratio, rules.spike_ray_views, rules.spike_spread, rules.floater_views, rules.prune_min_weight)
    )


def spike_rules(options: TrainOptions, scene: Scene) -> PruneRules:
    """What is pruned when spikes are."""
    spikes = options.spikes
    return PruneRules(
        spike_size=spikes.spike_extent * scene.extent,
        min_ray_views=spikes.spike_ray_views or None,
        max_elongation=spikes.spike_ratio or None,
        max_spread=spikes.spike_spread * scene.extent or None,
        min_views_before=spikes.floater_views or None,
        min_weight=spikes.prune_min_weight or None,
        max_fraction=spikes.prune_max_fraction,
    )


def observe_spikes(
    options: TrainOptions, gaussians: Gaussians, statistics: SpikeStatistics, gathered: Statistics, photo: Photo
) -> None:
    """Add what a view has shown of spikes."""
    statistics.observe_spikes(
        gaussians,
        photo.camera,
        gathered.weight_sum,
        gathered.weight_max,
        gathered.distortion_share,
        ray_ratio_max=options.regularizers.ray_ratio_max,
        depth=photo.depth if photo.depth_measured else None,
        depth_valid=photo.depth_valid,
    )


def rendered_images(output: RasterOutput) -> dict[str, Tensor]:
    """What was rendered, by name."""
    names = ("color", "inv_depth", "depth", "alpha", "distortion")
    return {name: getattr(output, name) for name in names}


def mean_distortion(output: RasterOutput, photo: Photo, extent: float) -> float:
    """What the term of the loss would be, where it has no weight."""
    with torch.no_grad():
        return regularizers.distortion(output.distortion, output.alpha, extent, photo.mask).item()


def distortion_entry(
    objective: Objective, output: RasterOutput, photo: Photo, iteration: int, mean: float
) -> tuple[dict[str, Any], str]:
    """How the distortion stands: for the log, and as a line."""
    largest = regularizers.largest_distortion(output.distortion, objective.extent, photo.mask)
    at = {name: objective.schedules[name].at(iteration) for name in ("lambda_dist", "depth_l1_mult")}
    return {"depth_distortion": {"mean": mean, "max": largest, **at}}, distortion_line(iteration, mean, largest, **at)


def shown_views(scene: Scene) -> tuple[str, tuple[View, ...]]:
    """What is rendered at the end: the test views, or every 8th training view where there are none."""
    return ("test", scene.test) if scene.test else ("train", scene.train[::8])


if __name__ == "__main__":
    run_script(main)

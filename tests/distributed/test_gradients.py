"""Pictures and gradients of Gaussians that are spread over ranks are those of one process with the same photos."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from arguments import DepthOptions, ExposureOptions, OptimizationOptions, PoseOptions, RegularizerOptions
from gaussian_renderer import RenderSettings, render
from gaussian_renderer.sharded import Request, follow, leading, render_batch, widths_of
from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.shard import Shard
from scene.loading.image_cache import LoadedView
from tests.helpers.clouds import random_gaussians
from tests.helpers.ranks import run_ranks
from tests.helpers.scenes import cameras
from training.batch import Forward, Shot, forward
from training.corrections import Corrections
from training.exposure import Exposure
from training.gradient_audit import AuditRow, Together, audit
from training.gradient_checks import ZeroGradientCheck
from training.loss import Loss
from training.pose_refinement import PoseRefinement
from training.startup import share_of
from utils.distributed import ONE, Ranks
from utils.errors import UserError
from utils.losses.photometric import weighted_sum

COUNT, CAMERAS = 90, 3
FLAGS = dict(lambda_erank="0.3", lambda_ray="0.3", lambda_opacity=0.2, lambda_scale=0.2, ray_ratio_max=0.5)
SETTINGS = RenderSettings(near=0.05, sh_degree=2, absgrad=True)
IMAGES = ("color", "inv_depth", "depth", "alpha", "distortion")


def cloud(dtype: torch.dtype) -> Gaussians:
    """With copies, so that depths are the same."""
    gaussians = random_gaussians(COUNT // 2, sh_degree=2)
    gaussians.scales.detach().add_(1.0)
    return Gaussians({name: torch.cat([gaussians.parameters[name].detach().to(dtype)] * 2) for name in PARAMETERS})


def whole_gradients(ranks: Ranks, gaussians: Gaussians, beside: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """By name, in the order of one process."""
    ids = torch.arange(len(gaussians)) if gaussians.shard is None else gaussians.shard.ids
    order = ranks.gather(ids).argsort()
    found = {name: gaussians.parameters[name].grad for name in PARAMETERS} | (beside or {})
    return {name: ranks.gather(each)[order] for name, each in found.items() if each is not None}


def rendered(ranks: Ranks, dtype: torch.dtype) -> tuple[dict[Any, Tensor], dict[str, Tensor], int]:
    """The pictures that this rank draws, all gradients of a sum over all pixels with weights by chance, and bytes."""
    gaussians = cloud(dtype)
    if ranks.size > 1:
        gaussians = share_of(gaussians, ranks)
    background = torch.tensor([0.1, 0.2, 0.3], dtype=dtype)
    batch = render_batch(gaussians, [Request(camera, background, SETTINGS) for camera in cameras(CAMERAS, 60, 45)])
    loss, pictures = batch.anchor, dict[Any, Tensor]()
    for index, view in enumerate(batch.views):
        view.seen.means2d.retain_grad()
        generator = torch.Generator().manual_seed(index)
        for name in IMAGES if view.output is not None else ():
            image = getattr(view.output, name)
            pictures[index, name] = image.detach()
            loss = loss + (image * torch.randn(image.shape, generator=generator, dtype=dtype)).sum()
    loss.backward()
    seen = {f"means2d {index}": view.seen.means2d.grad for index, view in enumerate(batch.views)}
    absolute = {f"absgrad {index}": vars(view.seen.means2d)["absgrad"] for index, view in enumerate(batch.views)}
    return pictures, whole_gradients(ranks, gaussians, seen | absolute), ranks.sent


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_are_those_of_one_process(size: int, dtype: torch.dtype) -> None:
    pictures, expected, _ = rendered(ONE, dtype)
    color, depth = pictures[0, "color"], pictures[0, "depth"]
    assert color.std() > 0.05 and (depth > 0).float().mean() > 0.3
    assert all(gradient.abs().max() > 1e-3 for gradient in expected.values())
    tolerance = 1e-9 if dtype == torch.float64 else 2e-6
    results = run_ranks(size, rendered, dtype)
    drawn = {place: picture for found, _, _ in results for place, picture in found.items()}
    assert drawn.keys() == pictures.keys()
    for place, picture in pictures.items():
        assert torch.equal(drawn[place], picture), place  # the order of the splats is that of one process
    for _, gradients, _ in results:
        for name, gradient in expected.items():
            assert (gradients[name] - gradient).abs().max() <= tolerance * gradient.abs().max(), name


def test_bytes_are_those_of_the_formula() -> None:
    """docs/distributed.md: of each visible splat of another rank's camera 4·(columns + 2) + 8 bytes, and back
    4·columns."""
    size, columns = 2, sum(widths_of(3, SETTINGS))
    gaussians = cloud(torch.float32)
    requests = [Request(camera, torch.zeros(3), SETTINGS) for camera in cameras(CAMERAS, 60, 45)]
    visible = [view.seen.radii > 0 for view in render_batch(gaussians, requests).views]
    results = run_ranks(size, rendered, torch.float32)
    for rank, (_, _, sent) in enumerate(results):
        own, others = slice(rank, None, size), slice(1 - rank, None, size)
        there = sum(int(seen[own].sum()) for camera, seen in enumerate(visible) if camera % size != rank)
        back = sum(int(seen[others].sum()) for camera, seen in enumerate(visible) if camera % size == rank)
        assert there > 10 and back > 10
        assert sent == there * (4 * (columns + 2) + 8) + back * 4 * columns


def led(ranks: Ranks) -> tuple[Tensor, Tensor] | None:
    """A picture that rank 0 draws at a pose, and its gradient by that, after one of which no gradient is asked for."""
    gaussians, camera = cloud(torch.float32), cameras(1, 60, 45)[0]
    for name in PARAMETERS:
        gaussians.parameters[name].requires_grad_(False)
    if ranks.size > 1:
        gaussians = share_of(gaussians, ranks)
    if not ranks.leads:
        follow(gaussians)
        return None
    pose = torch.from_numpy(camera.camera_from_world).float().requires_grad_()
    with leading(gaussians):
        render(gaussians, camera, torch.zeros(3), SETTINGS, viewmat=pose)
        picture = render(gaussians, camera, torch.zeros(3), SETTINGS, viewmat=pose).color
        weights = torch.randn(picture.shape, generator=torch.Generator().manual_seed(1))
        (gradient,) = torch.autograd.grad((picture * weights).sum(), pose)
        render(gaussians, camera, torch.zeros(3), SETTINGS)
    return picture.detach(), gradient


def test_the_gradient_by_a_pose_at_which_rank_0_draws_is_that_of_one_process() -> None:
    alone, (found, *others) = led(ONE), run_ranks(3, led)
    assert alone is not None and found is not None and others == [None, None]
    assert torch.equal(found[0], alone[0]) and alone[0].std() > 0.05
    assert (found[1] - alone[1]).abs().max() <= 2e-6 * alone[1].abs().max() and alone[1].abs().max() > 1


# ---- the loss of a training step


def a_step(ranks: Ranks, flags: dict[str, Any]) -> tuple[Gaussians, Corrections, Forward]:
    """Of three photos, each with an exposure of its own, at poses that are off by a little."""
    gaussians = cloud(torch.float32)
    if ranks.size > 1:
        gaussians = share_of(gaussians, ranks)
    corrections = learned_of_photos()
    objective = Loss.of(
        OptimizationOptions(), DepthOptions(), RegularizerOptions(**flags), {}, iterations=100, extent=2.0
    )
    generator, shots = torch.Generator().manual_seed(1), []
    for index, camera in enumerate(cameras(CAMERAS, 60, 45)):
        viewmat = corrections.viewmat(camera)
        photo = LoadedView(camera, torch.rand(3, 45, 60, generator=generator), None, viewmat=viewmat)
        own = photo if index % ranks.size == ranks.rank else None
        settings = RenderSettings(near=0.05, sh_degree=2)
        shots.append(Shot(index + 1, camera, viewmat, own, torch.zeros(3), settings, objective.weights(index + 1)))
    return gaussians, corrections, forward(gaussians, corrections, objective, shots)


def learned_of_photos() -> Corrections:
    views = cameras(CAMERAS, 60, 45)
    exposure = Exposure([camera.name for camera in views], ExposureOptions(), torch.device("cpu"))
    poses = PoseRefinement(views, PoseOptions(), 2.0, torch.device("cpu"))
    generator = torch.Generator().manual_seed(4)
    for value in poses.parameters.values.values():
        value.data.copy_(1e-2 * torch.randn(value.shape, generator=generator))
    return Corrections(exposure, poses)


def loss_gradients(ranks: Ranks, flags: dict[str, Any]) -> tuple[dict[str, Tensor], float]:
    gaussians, corrections, made = a_step(ranks, flags)
    made.backward()
    assert {"erank", "ray", "opacity", "scale"} <= made.steps[0].terms.keys()
    losses = [weighted_sum(step.terms, step.weights) for step in made.steps if step.terms]
    for each in (corrections.exposure, corrections.poses):
        assert each is not None
        each.parameters.add_up(ranks)
    of_photos = {name: each.grad for name, each in corrections.parameters.items() if each.grad is not None}
    found = whole_gradients(ranks, gaussians) | of_photos
    return found, float(ranks.sum_(torch.stack(losses).sum().detach()))


@pytest.mark.parametrize("size", [2, 3])
def test_terms_of_the_gaussians_are_means_over_all_ranks_and_photos_gradients_sums(size: int) -> None:
    expected, loss = loss_gradients(ONE, FLAGS)
    assert {"exposures", "translations", "rotations"} < expected.keys()
    for gradients, found in run_ranks(size, loss_gradients, FLAGS):
        assert found == pytest.approx(loss, rel=1e-6) and loss > 0.5
        for name, gradient in expected.items():
            assert gradient.abs().max() > 0
            assert (gradients[name] - gradient).abs().max() <= 2e-6 * gradient.abs().max(), name


def audited(ranks: Ranks, flags: dict[str, Any]) -> tuple[list[list[AuditRow]], Tensor]:
    """The audit of each photo; and a gradient of the backward pass after it."""
    gaussians, corrections, made = a_step(ranks, flags)
    together, parameters = Together(ranks, made.anchor), gaussians.parameters | corrections.parameters
    rows = [audit(step.terms, step.weights, parameters, together) for step in made.steps]
    made.backward()
    return rows, whole_gradients(ranks, gaussians)["means"]


def test_the_audit_is_that_of_one_process() -> None:
    expected, gradient = audited(ONE, FLAGS)
    (clean, _) = loss_gradients(ONE, FLAGS)
    for found, after in run_ranks(2, audited, FLAGS):
        assert (after - clean["means"]).abs().max() <= 2e-6 * gradient.abs().max()
        for rows, wanted in zip(found, expected, strict=True):
            assert [row.term for row in rows] == [row.term for row in wanted]
            for row, other in zip(rows, wanted, strict=True):
                assert row.value == pytest.approx(other.value, rel=1e-5) and row.weight == other.weight
                assert row.gradients == pytest.approx(other.gradients, rel=1e-4)
    assert all(row.gradients["pose"] > 0 for rows in expected for row in rows if row.term in ("l1", "ray"))


def looked_at(ranks: Ranks, lost: bool) -> str:
    """What is said where the gradient of l1 is `lost` on the way to the Gaussians: on all ranks the same."""
    check = ZeroGradientCheck()
    gaussians, _, made = a_step(ranks, FLAGS)
    together = Together(ranks, made.anchor)
    for index, step in enumerate(made.steps * 2):
        terms = {name: each.detach() if lost else each for name, each in step.terms.items() if name in ("l1", "erank")}
        iteration = (index + 1) * check.EVERY
        try:
            check.look(iteration, terms, step.weights, gaussians.parameters, step.camera.name, together)
        except UserError as error:
            return str(error)
    return ""


def test_all_ranks_see_a_term_without_effect_at_once() -> None:
    assert looked_at(ONE, False) == "" and "has no effect: the term l1 is" in looked_at(ONE, True)
    assert run_ranks(2, looked_at, False) == ["", ""]
    assert run_ranks(2, looked_at, True) == [looked_at(ONE, True)] * 2


def empty_handed(ranks: Ranks) -> float:
    """A step of which one rank owns no Gaussian and draws no photo."""
    gaussians = cloud(torch.float32)
    ids = torch.arange(len(gaussians))[: None if ranks.rank == 0 else 0]
    shard = Shard(ranks, ids, len(gaussians))
    gaussians = Gaussians({name: gaussians.parameters[name].detach()[shard.ids] for name in PARAMETERS}, shard)
    batch = render_batch(gaussians, [Request(cameras(1)[0], torch.zeros(3), SETTINGS)])
    loss = batch.anchor + sum(view.output.color.sum() for view in batch.views if view.output is not None)
    loss.backward()
    assert gaussians.means.grad is not None
    return float(gaussians.means.grad.abs().sum())


def nothing_to_see(ranks: Ranks) -> tuple[float, float]:
    """A step whose photos see no Gaussian: the largest gradients by means and opacities."""
    gaussians = share_of(cloud(torch.float32), ranks)
    gaussians.means.detach()[:, 1] += 1e3  # far above what the cameras see
    batch = render_batch(gaussians, [Request(each, torch.zeros(3), SETTINGS) for each in cameras(2, 60, 45)])
    assert not any(view.seen.radii.any() for view in batch.views)
    own = [view.output for view in batch.views if view.output is not None]
    assert len(own) == 1 and not own[0].alpha.any()
    (batch.anchor + own[0].color.sum()).backward()
    found = [gaussians.parameters[name].grad for name in ("means", "opacities")]
    return tuple(float(each.abs().max()) for each in found if each is not None)  # type: ignore[return-value]


def test_photos_that_see_nothing_move_nothing() -> None:
    assert run_ranks(2, nothing_to_see) == [(0.0, 0.0)] * 2


def test_a_rank_may_have_nothing() -> None:
    first, second = run_ranks(2, empty_handed)
    assert first > 0 and second == 0

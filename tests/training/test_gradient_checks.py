"""Each alarm rings: a dropped gradient, a NaN, a term that rules; and the audit says what autograd says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gaussian_renderer import RasterOutput, RenderSettings, render
from scene.gaussians.model import Gaussians
from scene.types import Camera
from tests.helpers.clouds import random_gaussians
from tests.helpers.faults import BadGradient, DropGradient
from tests.helpers.scenes import looking_at_origin
from training.gradient_audit import GROUPS, audit, audit_entry, audit_table
from training.gradient_checks import (
    DominanceCheck,
    Pass,
    ZeroGradientCheck,
    all_finite,
    check_finite,
    distortion_line,
    finite_numbers,
)
from utils.errors import UserError
from utils.losses.photometric import photometric, weighted_sum
from utils.losses.regularizers import distortion, opacity, ray_direction

EXTENT = 3.0
CAMERA = Camera("000.png", 40, 30, 35.0, 36.0, 19.5, 15.5, looking_at_origin(0.3))
WEIGHTS = {"l1": 0.8, "dssim": 0.2, "distortion": 10.0, "ray": 0.1, "opacity": 0.01}
FLAGS = {"distortion": "lambda_dist"}
OF_GAUSSIANS = {group: names for group, names in GROUPS.items() if group not in ("exposure", "pose")}


def cloud() -> Gaussians:
    gaussians = random_gaussians(40, seed=2)
    gaussians.means.detach()[:] *= 0.5
    gaussians.scales.detach()[:] += 0.7
    return gaussians


def draw(gaussians: Gaussians, wrapper: type[torch.autograd.Function] | None = None) -> RasterOutput:
    output = render(gaussians, CAMERA, torch.zeros(3), RenderSettings(near=0.1, sh_degree=1))
    return output if wrapper is None else output._replace(distortion=wrapper.apply(output.distortion))


def terms_of(gaussians: Gaussians, output: RasterOutput) -> dict[str, Tensor]:
    center = torch.tensor(CAMERA.center, dtype=torch.float32)
    shape = (gaussians.means, gaussians.activated_scales, gaussians.quats)
    return {
        **photometric(output.color, torch.full_like(output.color, 0.5)),
        "distortion": distortion(output.distortion, output.alpha, EXTENT),
        "ray": ray_direction(*shape, center, output.radii > 0, 1.2),
        "opacity": opacity(gaussians.activated_opacities),
    }


def look_on(
    watch: ZeroGradientCheck,
    iterations: int,
    terms: Callable[[int], dict[str, Tensor]],
    gaussians: Gaussians,
    weights: dict[str, float] = WEIGHTS,
) -> list[str]:
    """The warnings of some iterations; the graph is the same at each look, so a look must leave it whole."""
    warnings = []
    for iteration in range(1, iterations + 1):
        warnings += watch.look(iteration, terms(iteration), weights, gaussians.parameters, CAMERA.name)
    return warnings


# ---- terms without effect


def test_a_dropped_distortion_gradient_stops_the_run_within_100_iterations() -> None:
    gaussians = cloud()
    output = draw(gaussians, DropGradient)
    terms = terms_of(gaussians, output)
    (by_image,) = torch.autograd.grad(terms["distortion"], output.distortion, retain_graph=True)
    assert terms["distortion"] > 1e-5 and by_image.abs().max() > 0  # the loss itself looks healthy
    watch = ZeroGradientCheck(FLAGS)
    assert look_on(watch, 99, lambda _: terms, gaussians) == []
    with pytest.raises(UserError, match="^lambda_dist = 10 has no effect: the term distortion is") as error:
        watch.look(100, terms, WEIGHTS, gaussians.parameters, CAMERA.name)
    assert (
        "iteration 100" in str(error.value) and "000.png" in str(error.value) and "100 iterations" in str(error.value)
    )


def test_an_exact_gradient_rings_nothing() -> None:
    gaussians = cloud()
    terms = terms_of(gaussians, draw(gaussians))
    assert look_on(ZeroGradientCheck(), 400, lambda _: terms, gaussians) == []


def test_a_detached_term_rings_too() -> None:
    gaussians = cloud()
    terms = terms_of(gaussians, draw(gaussians))
    terms["opacity"] = terms["opacity"].detach()
    with pytest.raises(UserError, match="the weight of opacity = 0.01 has no effect"):
        look_on(ZeroGradientCheck(FLAGS), 100, lambda _: terms, gaussians)


def test_without_a_weight_there_is_nothing_to_watch() -> None:
    gaussians = cloud()
    terms = terms_of(gaussians, draw(gaussians, DropGradient))
    watch = ZeroGradientCheck(FLAGS)
    assert look_on(watch, 300, lambda _: terms, gaussians, WEIGHTS | {"distortion": 0.0}) == []
    with pytest.raises(UserError, match="lambda_dist"):  # and from then on there is
        look_on(watch, 100, lambda _: terms, gaussians)


def test_an_effect_that_is_lost_on_the_way_is_found() -> None:
    gaussians = cloud()
    good, bad = (terms_of(gaussians, draw(gaussians, wrapper)) for wrapper in (None, DropGradient))
    watch = ZeroGradientCheck(FLAGS)
    with pytest.raises(UserError, match="iteration 480"):
        look_on(watch, 1000, lambda iteration: good if iteration < 400 else bad, gaussians)


def test_some_views_without_effect_are_no_fault() -> None:
    """Four looks in five without, again and again."""
    gaussians = cloud()
    good, bad = (terms_of(gaussians, draw(gaussians, wrapper)) for wrapper in (None, DropGradient))
    watch = ZeroGradientCheck(FLAGS)
    assert look_on(watch, 600, lambda iteration: good if iteration % 100 == 0 else bad, gaussians) == []


def test_a_term_at_zero_counts_neither_way() -> None:
    """A depth loss in a view without valid depth: 0, with gradient 0."""
    gaussians = cloud()
    zero = {"depth": (gaussians.means * 0).sum()}
    lost = {"depth": (gaussians.means * 0).sum() + 1}
    weights = {"depth": 0.5}
    watch = ZeroGradientCheck({"depth": "depth_l1_weight"})
    warnings = look_on(watch, 3000, lambda _: zero, gaussians, weights)
    assert len(warnings) == 1 and warnings[0].startswith("depth_l1_weight = 0.5, but the term depth was 0")
    with pytest.raises(UserError, match="iteration 180"):  # every second look finds 0, the others a value
        look_on(ZeroGradientCheck(), 400, lambda iteration: lost if iteration % 40 == 20 else zero, gaussians, weights)


def test_a_term_that_worked_may_rest_at_zero() -> None:
    gaussians = cloud()
    works, rests = {"ray": gaussians.scales.sum()}, {"ray": (gaussians.scales * 0).sum()}
    watch = ZeroGradientCheck()
    terms = lambda iteration: works if iteration < 50 else rests  # noqa: E731
    assert look_on(watch, 30_000, terms, gaussians, {"ray": 1.0}) == []


def test_a_look_changes_nothing() -> None:
    found = []
    for looks in (False, True):
        gaussians = cloud()
        output = draw(gaussians)
        terms = terms_of(gaussians, output)
        if looks:
            assert ZeroGradientCheck().look(20, terms, WEIGHTS, gaussians.parameters, CAMERA.name) == []
            audit(terms, WEIGHTS, gaussians.parameters)
            assert all(each.grad is None for each in gaussians.parameters.values())
        output.means2d.retain_grad()
        weighted_sum(terms, WEIGHTS).backward()
        found.append([output.means2d.grad, *(each.grad for each in gaussians.parameters.values())])
    assert all(each is not None and each.any() for each in found[0])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_looks_are_rare() -> None:
    gaussians, passes = cloud(), []
    term = gaussians.means.square().sum()
    term.register_hook(lambda gradient: passes.append(1))
    look_on(ZeroGradientCheck(), 1000, lambda _: {"a": term}, gaussians, {"a": 1.0})
    assert len(passes) == 1 + 5


# ---- the audit


def test_the_audit_is_what_autograd_says() -> None:
    gaussians = cloud()
    output = draw(gaussians)
    terms = terms_of(gaussians, output)
    rows = {row.term: row for row in audit(terms, WEIGHTS, gaussians.parameters)}
    assert list(rows) == list(terms)
    for name, row in rows.items():
        (terms[name] * WEIGHTS[name]).backward(retain_graph=True)
        for group, names in OF_GAUSSIANS.items():
            gradients = [gaussians.parameters[each].grad for each in names]
            parts = [each.flatten() for each in gradients if each is not None]
            expected = torch.cat(parts).norm().item() if parts else 0.0
            assert row.gradients[group] == pytest.approx(expected, rel=1e-4, abs=1e-12)
        assert (row.value, row.weight) == (terms[name].item(), WEIGHTS[name])
        for parameter in gaussians.parameters.values():
            parameter.grad = None
    assert sum(row.share for row in rows.values()) == pytest.approx(1)
    loss = weighted_sum(terms, WEIGHTS).item()
    assert rows["l1"].share == pytest.approx(0.8 * terms["l1"].item() / loss, rel=1e-4)
    for group in OF_GAUSSIANS:
        assert sum(row.gradient_shares[group] for row in rows.values()) == pytest.approx(1)
    assert rows["distortion"].gradients["xyz"] > 0 and rows["distortion"].gradients["features"] == 0
    assert rows["opacity"].gradients["opacity"] > 0 and rows["opacity"].gradients["xyz"] == 0


def test_the_audit_shows_a_dropped_gradient() -> None:
    gaussians = cloud()
    rows = audit(terms_of(gaussians, draw(gaussians, DropGradient)), WEIGHTS, gaussians.parameters)
    row = next(row for row in rows if row.term == "distortion")
    assert row.value > 0 and set(row.gradients.values()) == {0.0} and set(row.gradient_shares.values()) == {0.0}


def test_the_audit_as_text_and_as_json() -> None:
    gaussians = cloud()
    rows = audit(terms_of(gaussians, draw(gaussians)), WEIGHTS, gaussians.parameters)
    lines = audit_table(rows).splitlines()
    assert len(lines) == 1 + len(rows) and all(group in lines[0] for group in OF_GAUSSIANS)
    assert lines[3].startswith("distortion") and f"{rows[2].gradients['xyz']:.2e}" in lines[3]
    entry = json.loads(json.dumps(audit_entry(rows)))
    assert entry["distortion"]["gradients"]["xyz"] == rows[2].gradients["xyz"] and entry["l1"]["weight"] == 0.8


def test_an_audit_of_nothing() -> None:
    gaussians = cloud()
    (row,) = audit({"depth": torch.tensor(0.0)}, {"depth": 1.0}, gaussians.parameters)
    assert row.share == 0 and set(row.gradients.values()) == {0.0}
    assert math.isfinite(row.gradient_shares["xyz"])


# ---- what is not finite


def check(
    gaussians: Gaussians, terms: dict[str, Tensor], iteration: int, camera: str, *, again: Pass | None = None
) -> dict[str, float]:
    """`check_finite` of a step; what made it gives the same again, unless `again` says otherwise."""
    numbers = {name: number.item() for name, number in finite_numbers(terms, gaussians.parameters).items()}
    check_finite(numbers, iteration, camera, gaussians.parameters, lambda: again or Pass({}, terms))
    return numbers


def test_a_finite_step_passes() -> None:
    gaussians = cloud()
    terms = terms_of(gaussians, draw(gaussians))
    weighted_sum(terms, WEIGHTS).backward()
    numbers = check(gaussians, terms, 7, CAMERA.name)
    assert {name: numbers[name] for name in terms} == {name: term.item() for name, term in terms.items()}


def test_large_gradients_are_finite_as_long_as_adam_can_square_them() -> None:
    gaussians = cloud()
    gaussians.means.grad = torch.full_like(gaussians.means, 1e18)
    check(gaussians, {"l1": torch.tensor(0.5)}, 7, CAMERA.name)
    gaussians.means.grad[-1, 1] = 1e20
    assert not (gaussians.means.grad**2).isfinite().all()
    with pytest.raises(UserError, match="a gradient that is not finite, or whose square is not.*the gradient by means"):
        check(gaussians, {"l1": torch.tensor(0.5)}, 7, CAMERA.name)


@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_number_that_is_not_finite_is_enough(value: float, place: int) -> None:
    numbers = torch.tensor([3.0, -3e38, 0.0, 3e38])
    assert all_finite(numbers)
    numbers[place] = value
    assert not all_finite(numbers)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("count", [1, 7, 50_000])
def test_a_gradient_that_is_not_finite_is_seen_wherever_it_is(value: float, count: int) -> None:
    parameter = torch.zeros(count, requires_grad=True)
    for place in {0, count // 2, count - 1}:
        parameter.grad = torch.full((count,), -1e16)
        (number,) = finite_numbers({}, {"means": parameter}).values()
        assert number.isfinite()
        parameter.grad[place] = value
        (number,) = finite_numbers({}, {"means": parameter, "without": torch.zeros(0, requires_grad=True)}).values()
        assert not number.isfinite()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_term_that_is_not_finite_is_named(value: float) -> None:
    with pytest.raises(UserError) as error:
        check(cloud(), {"l1": torch.tensor(0.1), "depth": torch.tensor(value)}, 120, "003.png")
    for words in ("iteration 120", f"the term depth is {value}", "003.png", "finite is the term depth (1 of 1 values)"):
        assert words in str(error.value)


def test_the_first_offending_tensor_is_named() -> None:
    gaussians = cloud()
    depth = torch.ones(1, 30, 40)
    depth[0, 3, :2] = torch.nan
    terms = {"l1": torch.tensor(0.1), "depth": depth.sum()}
    again = Pass({"color": torch.ones(3, 30, 40), "depth": depth}, terms)
    with pytest.raises(UserError, match=r"first tensor that is not finite is the rendered depth \(2 of 1,200 values\)"):
        check(gaussians, terms, 1, "a.png", again=again)
    gaussians.scales.detach()[4, 1] = torch.inf
    with pytest.raises(UserError, match=r"not finite is the parameter scales \(1 of 120 values\)"):
        check(gaussians, terms, 1, "a.png", again=again)


def test_a_gradient_that_is_not_finite_is_named_with_its_term() -> None:
    gaussians = cloud()
    weighted_sum(terms_of(gaussians, draw(gaussians, BadGradient)), WEIGHTS).backward()
    terms, sound = (terms_of(gaussians, draw(gaussians, fault)) for fault in (BadGradient, None))
    with pytest.raises(UserError) as error:
        check(gaussians, terms, 9, CAMERA.name)
    assert "iteration 9: the term distortion has a gradient that is not finite" in str(error.value)
    assert "photo 000.png" in str(error.value) and "is the gradient by means (" in str(error.value)
    with pytest.raises(UserError, match="iteration 9: the loss has a gradient .* is the gradient by means;"):
        check(gaussians, terms, 9, CAMERA.name, again=Pass({}, sound))


# ---- balance, and the line


def test_a_term_that_rules_is_warned_of_once() -> None:
    watch = DominanceCheck()
    balanced = {"l1": 0.04, "dssim": 0.06, "depth": 1.9, "distortion": 0.1}
    assert watch.look(100, balanced) == []
    (warning,) = watch.look(200, balanced | {"depth": 401.0})
    assert warning.startswith("iteration 200: the weighted term depth is 401, over 20 times the photometric one (0.1)")
    assert watch.look(300, balanced | {"depth": 500.0}) == []
    (other,) = watch.look(400, balanced | {"depth": 500.0, "distortion": -3.0})
    assert "distortion is -3" in other
    assert DominanceCheck().look(1, {"l1": 300.0, "dssim": 0.0}) == []


def test_the_line_about_distortion() -> None:
    line = "[Iter 100] Depth Distortion Stats: mean=0.001689, max=0.237538, lambda_dist=10.00, depth_l1_mult=0.50"
    assert distortion_line(100, 0.0016891, 0.2375379, 10, 0.5) == line

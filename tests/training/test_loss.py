"""The terms of the loss, from images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from arguments import parse_train_options
from diff_gaussian_rasterization import RasterOutput
from gaussian_renderer import RenderSettings
from scene.gaussians.initialize import initialize
from scene.gaussians.model import Gaussians
from scene.loading.image_cache import LoadedView
from scene.types import Camera, PointCloud
from train import loss_of
from utils.losses import regularizers
from utils.losses.photometric import weighted_sum

CAMERA = Camera("wall", 8, 6, 10.0, 10.0, 4.0, 3.0, np.eye(4))
Z = 2.5


def seen_through(alpha: float) -> tuple[RasterOutput, LoadedView]:
    """A wall at `Z` of which only a part `alpha` is there, and its photo with the depth measured."""
    plane = torch.full((1, 6, 8), alpha)
    empty = torch.zeros(0)
    output = RasterOutput(
        plane.expand(3, 6, 8), plane / Z, plane * Z, plane, torch.zeros_like(plane), empty, empty, empty, None
    )
    photo = LoadedView(CAMERA, torch.zeros(3, 6, 8), None, depth=torch.full((1, 6, 8), Z), depth_valid=plane > 0)
    return output, photo


def cloud_of(count: int) -> Gaussians:
    """Black Gaussians side by side."""
    positions = np.arange(3.0 * count, dtype=np.float32).reshape(count, 3)
    return initialize(PointCloud(positions, np.zeros((count, 3), np.float32)), 0, 1.0)


def test_fog_before_a_known_background_costs_something() -> None:
    """Photo and picture are black, so the colors say nothing: only alpha tells fog from nothing."""
    objective = loss_of(parse_train_options(["--lambda_dist", "0", "-d", "none"]), 1.7)
    fog, photo = seen_through(0.3)
    weights, cloud = objective.weights(1), cloud_of(1)
    costs = []
    for known in (None, torch.full((1, 6, 8), 0.3), torch.zeros(1, 6, 8)):
        shown = photo._replace(color=torch.zeros(3, 6, 8), depth=None, alpha=known)
        terms = objective.terms(fog._replace(color=torch.zeros(3, 6, 8)), shown, torch.zeros(3), cloud, weights)
        costs.append(weighted_sum(terms, weights).item())
        assert ("alpha" in terms) == (known is not None)
    assert costs == pytest.approx([0, 0, weights["alpha"] * 0.3], abs=1e-6)
    assert weights["alpha"] > 0


@pytest.mark.parametrize("name", ["inv_l1", "l1"])
@pytest.mark.parametrize("alpha", [1.0, 0.9, 0.3])
def test_a_surface_that_is_seen_through_is_where_it_is(name: str, alpha: float) -> None:
    """The old fault: inverse depth was not over alpha, so what is seen through was pulled nearer than its depth."""
    objective = loss_of(parse_train_options(["--depth_loss", name]), 1.7)
    output, photo = seen_through(alpha)
    assert objective.depth(output, photo)["depth"].item() == pytest.approx(0, abs=1e-6)
    nearer = output._replace(depth=0.9 * output.depth, inv_depth=output.inv_depth / 0.9)
    assert objective.depth(nearer, photo)["depth"].item() > 0.05


def test_a_sum_of_depth_losses_is_the_weighted_sum_of_each_alone() -> None:
    parts = {"ssi": 1.0, "silog": 0.5, "grad": 0.4, "mip_l1": 2.0}
    output, photo = seen_through(0.9)
    generator = torch.Generator().manual_seed(0)
    output = output._replace(depth=output.depth * (0.7 + 0.6 * torch.rand(1, 6, 8, generator=generator)))
    photo = photo._replace(depth=Z * (0.7 + 0.6 * torch.rand(1, 6, 8, generator=generator)))
    text = "+".join(f"{factor}*{name}" for name, factor in parts.items())
    summed = loss_of(parse_train_options(["--depth_loss", text]), 1.7)
    terms, weights, expected = summed.depth(output, photo), summed.weights(1), 0.0
    assert list(terms) == [f"depth_{name}" for name in parts]
    for name, factor in parts.items():
        alone = loss_of(parse_train_options(["--depth_loss", name]), 1.7)
        value = alone.depth(output, photo)["depth"]
        assert torch.equal(value, terms[f"depth_{name}"]) and value > 0.01
        expected += factor * alone.weights(1)["depth"] * value.item()
    assert weighted_sum(terms, weights).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_the_sensors_term_has_no_unit(unit: float) -> None:
    objective = loss_of(parse_train_options([]), 1.7 * unit)
    output, photo = seen_through(0.9)
    depth = torch.linspace(2, 2.1, 48).reshape(1, 6, 8)
    depth[:, :, 4:] *= 2  # an edge, from which some pixels are kept away
    photo = photo._replace(depth=unit * depth, depth_valid=depth > 2.02, depth_measured=True)
    weights = objective.weights(1)
    sensor = objective.sensor(photo, weights)
    assert sensor is not None and sensor.limit == pytest.approx(0.04 * 1.7 * unit)
    assert 0 < int((sensor.depth > 0).sum()) < 48 and weights["sensor"] == 30
    output = output._replace(distortion=unit**2 * torch.linspace(0.1, 0.9, 48).reshape(1, 6, 8))
    terms = objective.terms(output, photo, torch.zeros(3), cloud_of(1), weights)
    expected = torch.linspace(0.1, 0.9, 48).reshape(1, 6, 8)[sensor.depth > 0].mean().item()
    assert terms["sensor"].item() == pytest.approx(expected / 1.7**2, rel=1e-5)


@pytest.mark.parametrize(
    ("flags", "weight"),
    [
        ("", 30),
        ("--lambda_sensor 7", 7),
        ("--depth_model center", 0),
        ("--lambda_dist 10", 0),
        ("--lambda_dist 0", 0),
        ("--distortion gap", 0),
        ("--distortion gap --lambda_sensor 7", 7),
    ],
)
def test_the_sensors_term_is_usual_where_no_distortion_is_asked_for(flags: str, weight: float) -> None:
    assert loss_of(parse_train_options(flags.split()), 1.0).weights(1)["sensor"] == weight


def test_a_sensors_pixels_and_the_others_have_terms_of_their_own() -> None:
    """Where the depth is known the splats are held against it, elsewhere against each other."""
    flags = ["--lambda_sensor", "20", "--sensor_limit", "0.1", "--dist_scale", "0"]
    objective, extent = loss_of(parse_train_options(flags), 1.7), 1.7
    output, photo = seen_through(0.9)
    valid = torch.ones(1, 6, 8, dtype=torch.bool)
    valid[:, :, :3] = False
    photo = photo._replace(depth_valid=valid, depth_measured=True)
    weights = objective.weights(1)
    sensor = objective.sensor(photo, weights)
    assert sensor is not None and torch.equal(sensor.depth > 0, valid) and sensor.limit == pytest.approx(0.1 * extent)
    assert torch.equal(sensor.depth[valid], torch.full((30,), Z))
    distortion = torch.where(valid, 0.4, 0.9)
    terms = objective.terms(output._replace(distortion=distortion), photo, torch.zeros(3), cloud_of(1), weights)
    assert weights["sensor"] == 20 and terms["sensor"].item() == pytest.approx(0.4 / extent**2)
    assert terms["distortion"].item() == pytest.approx(0.9 / extent**2)
    guessed = photo._replace(depth_measured=False)
    assert objective.sensor(guessed, weights) is None, "a network's depth is no measurement"
    assert objective.sensor(photo, weights | {"sensor": 0.0}) is None


def test_the_effective_rank_has_its_weight() -> None:
    objective = loss_of(parse_train_options(["--lambda_erank", "0.01", "--lambda_dist", "0", "-d", "none"]), 1.7)
    output, photo = seen_through(0.9)
    needles = cloud_of(3)
    needles.scales.data.copy_(torch.tensor([[0.0, -6.0, -6.0], [0.0, 0.0, -6.0], [0.0, 0.0, 0.0]]))
    seen = output._replace(radii=torch.tensor([1, 1, 0]))
    weights = objective.weights(1)
    terms = objective.terms(seen, photo._replace(depth=None), torch.zeros(3), needles, weights)
    expected = regularizers.effective_rank(needles.scales, torch.tensor([True, True, False]), 1.18)
    assert weights["erank"] == 0.01 and terms["erank"].item() == pytest.approx(expected.item()) and expected > 1


@pytest.mark.parametrize(
    ("name", "expected"), [("plain", 0.4), ("log", 0.01**2 / 10 * np.log1p(0.4 / (0.01**2 / 10))), ("gap", 0.4)]
)
def test_the_distortion_is_the_one_that_is_asked_for(name: str, expected: float) -> None:
    """`gap` is the plain one of what the rasterizer makes with it, and asks for that only while it has a weight."""
    flags = ["--distortion", name, "--dist_scale", "0.01", "--dist_gap", "0.07", "-d", "none"]
    objective = loss_of(parse_train_options(flags), 1.0)
    output, photo = seen_through(0.9)
    weights = objective.weights(1)
    drawn = objective.drawn(RenderSettings(near=0.1, sh_degree=0), weights)
    assert drawn.distortion_gap == (0.07 if name == "gap" else np.inf)
    assert objective.drawn(drawn, weights | {"distortion": 0.0}).distortion_gap == np.inf
    seen = output._replace(distortion=torch.full((1, 6, 8), 0.4))
    terms = objective.terms(seen, photo._replace(depth=None), torch.zeros(3), cloud_of(1), weights)
    assert terms["distortion"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("weight", "most"), [("10", 0.004), ("1", 0.003), ("0.5", 0.0015)])
def test_what_lies_an_extent_behind_costs_little(weight: str, most: float) -> None:
    """The old fault: the term went on pulling at edges, and at what is far and not yet in its place, as hard as the
    photos do. Outdoors that cost 2 dB (docs/experiments/distortion.md)."""
    objective = loss_of(parse_train_options(["--lambda_dist", weight, "-d", "none"]), 1.7)
    output, photo = seen_through(1.0)
    seen = output._replace(distortion=torch.full((1, 6, 8), 0.25 * 1.7**2))  # two layers, an extent apart
    weights = objective.weights(1)
    terms = objective.terms(seen, photo._replace(depth=None), torch.zeros(3), cloud_of(1), weights)
    assert most / 2 < weights["distortion"] * terms["distortion"].item() < most
    near = output._replace(distortion=torch.full((1, 6, 8), 1e-5 * 1.7**2))  # a surface, 6 thousandths thick
    terms = objective.terms(near, photo._replace(depth=None), torch.zeros(3), cloud_of(1), weights)
    assert terms["distortion"].item() == pytest.approx(1e-5, rel=0.15), "there the weight is what it says"


def test_normals_and_thickness_have_their_weights() -> None:
    flags = ["--lambda_normal", "0.05", "--lambda_thickness", "10", "--lambda_dist", "0", "-d", "none"]
    objective = loss_of(parse_train_options(flags), 2.0)
    weights = objective.weights(1)
    assert weights["normal"] == 0.05 and weights["thickness"] == 10
    drawn = objective.drawn(RenderSettings(near=0.1, sh_degree=0), weights)
    assert drawn.depth_slope and drawn.ray_variance
    output, photo = seen_through(0.5)
    seen = output._replace(depth_slope=torch.full((2, 6, 8), 0.01), features=torch.full((1, 6, 8), 0.3))
    terms = objective.terms(seen, photo._replace(depth=None), torch.zeros(3), cloud_of(1), weights)
    assert terms["thickness"].item() == pytest.approx(0.3 / 2.0**2)
    assert terms["normal"].item() == pytest.approx(2 * 10.0 * Z * 0.02)  # f/ζ·h, of x and y

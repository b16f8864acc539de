"""Scores for growth against sums over pixels made by hand, and the split that keeps the picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from arguments import ExposureOptions
from diff_gaussian_rasterization import RasterOutput
from gaussian_renderer import RenderSettings, render
from scene.gaussians.model import PARAMETERS, Gaussians
from scene.loading.image_cache import LoadedView, ViewCache
from scene.types import Camera, View
from tests.helpers.clouds import random_gaussians
from tests.helpers.scenes import looking_at_origin
from training.corrections import Corrections
from training.draw import draw_of
from training.exposure import Exposure
from training.strategies.scores import ViewScores, combined, edges, score
from training.strategies.split_longest import SplitShape, split_longest
from utils.distributed import ONE

WIDTH, HEIGHT = 40, 30
SETTINGS = RenderSettings(near=0.1, sh_degree=0)
BACKGROUND = torch.zeros(3)


def camera(angle: float = 0.0) -> Camera:
    return Camera(f"{angle}", WIDTH, HEIGHT, 35.0, 36.0, 19.5, 15.5, looking_at_origin(angle))


def drawn(gaussians: Gaussians, view: Camera, colors: Tensor | None = None) -> RasterOutput:
    with torch.no_grad():
        return render(gaussians, view, BACKGROUND, SETTINGS, colors=colors)


def photo_of(gaussians: Gaussians, view: Camera, mask: Tensor | None = None) -> LoadedView:
    return LoadedView(view, drawn(gaussians, view).color, mask)


class Photos(ViewCache):
    """Photos that are not decoded from any file."""

    def __init__(self, photos: list[LoadedView]) -> None:
        super().__init__([View(photo.camera, Path("nowhere")) for photo in photos])
        self._photos = photos

    def find(self, index: int) -> LoadedView:
        return self._photos[index]

    def prefetch(self, index: int) -> None:
        """There is nothing to be brought."""


def weights(gaussians: Gaussians, view: Camera) -> Tensor:
    """(N,H,W) the weight of each in each pixel: what changes of a white one on black."""
    images = []
    for row in range(len(gaussians)):
        colors = torch.zeros(len(gaussians), 3)
        colors[row] = 1
        images.append(drawn(gaussians, view, colors).color[0])
    return torch.stack(images)


@pytest.mark.parametrize("masked", [False, True])
def test_scores_are_sums_of_weight_times_error_and_edge(masked: bool) -> None:
    gaussians = random_gaussians(12, sh_degree=0)
    gaussians.scales.detach().add_(1.0)
    mask = (torch.arange(WIDTH) < 20).float().expand(1, HEIGHT, WIDTH) if masked else None
    views = [photo_of(random_gaussians(12, sh_degree=0, seed=8), camera(angle), mask) for angle in (0.0, 1.0)]
    found = score(draw_of(gaussians, Corrections(), BACKGROUND, SETTINGS), Photos(views), range(2), ONE)
    expected: list[list[Tensor]] = []
    for view in views:
        error = (drawn(gaussians, view.camera).color - view.color).abs().mean(dim=0)
        sums = []
        inner = (torch.arange(WIDTH) < (19 if masked else WIDTH)).float()  # whose edges nothing masked out is part of
        for image in (error * (1.0 if mask is None else mask[0]), edges(view.color) * inner):
            values = (weights(gaussians, view.camera) * image).sum(dim=(1, 2))
            assert values.any()
            sums.append(values / values[values > 0].mean())
        expected.append(sums)
    torch.testing.assert_close(found.error, torch.stack([each[0] for each in expected]).amax(dim=0))
    torch.testing.assert_close(found.edge, torch.stack([each[1] for each in expected]).mean(dim=0))
    assert found.error.std() > 0.1 and found.edge.std() > 0.1


def test_errors_are_taken_in_the_exposure_of_the_photo() -> None:
    def errors(corrections: Corrections, photo: LoadedView) -> Tensor:
        return score(draw_of(gaussians, corrections, BACKGROUND, SETTINGS), Photos([photo]), [0], ONE).error

    gaussians = random_gaussians(12, sh_degree=0)
    gaussians.scales.detach().add_(1.0)
    photo = photo_of(random_gaussians(12, sh_degree=0, seed=8), camera())
    brighter = photo._replace(color=2 * photo.color)
    exposure = Exposure([photo.camera.name], ExposureOptions(), torch.device("cpu"))
    exposure.matrices.detach().mul_(2)
    as_it_is = errors(Corrections(), photo)
    assert as_it_is.std() > 0.1
    torch.testing.assert_close(errors(Corrections(exposure), brighter), as_it_is)
    assert (errors(Corrections(), brighter) - as_it_is).abs().max() > 0.03


def test_edges_of_a_step() -> None:
    image = torch.zeros(3, 5, 6)
    image[:, :, 3:] = 1.0
    assert edges(image)[2].tolist() == pytest.approx([0, 0, 4, 4, 0, 0])
    assert not edges(torch.full((3, 5, 6), 0.7)).abs().max() > 1e-5


def test_the_edge_counts_by_its_median() -> None:
    scores = ViewScores(torch.tensor([1.0, 1.0, 2.0, 0.0]), torch.tensor([0.0, 1.0, 3.0, 2.0]))
    assert combined(scores, 0.5).tolist() == pytest.approx([1.0, 1.25, 3.5, 0.0])  # the median of what there is: 2
    assert combined(ViewScores(torch.ones(2), torch.zeros(2)), 0.5).tolist() == [1, 1]


# ---- the split


def footprint(gaussians: Gaussians) -> Tensor:
    view = Camera("near", 200, 200, 400.0, 400.0, 100.0, 100.0, looking_at_origin(0.0))
    return drawn(gaussians, view).alpha.double()


@pytest.mark.parametrize(("opacity", "change"), [(0.1, 0.10), (0.6, 0.12), (0.99, 0.15)])
def test_a_split_hardly_changes_the_footprint(opacity: float, change: float) -> None:
    parent = random_gaussians(1, sh_degree=0)
    parent.means.detach()[:] = 0
    parent.quats.detach()[:] = torch.tensor([1.0, 0, 0, 0])
    parent.scales.detach()[:] = torch.tensor([[0.2, 0.1, 0.1]]).log()
    parent.opacities.detach()[:] = torch.logit(torch.tensor(opacity))
    children = Gaussians(split_longest(parent, torch.tensor([True]), SplitShape()))
    before, after = footprint(parent), footprint(children)
    assert before.max() > 0.9 * opacity and len(children) == 2
    assert ((after - before).norm() / before.norm()).item() == pytest.approx(change, abs=0.03)


def test_children_lie_on_the_longest_axis() -> None:
    gaussians, shape = random_gaussians(9), SplitShape(offset=0.5, longest=0.7, others=0.9, opacity=0.6)
    parents = torch.arange(9) % 2 == 0
    pair = split_longest(gaussians, parents, shape)
    first, second = (Gaussians({name: pair[name][part] for name in PARAMETERS}) for part in (slice(5), slice(5, None)))
    longest, axis = gaussians.activated_scales[parents].max(dim=1)
    torch.testing.assert_close((first.means + second.means) / 2, gaussians.means[parents])
    torch.testing.assert_close((second.means - first.means).norm(dim=1), longest)
    factors = (first.activated_scales / gaussians.activated_scales[parents]).detach()
    expected = torch.full((5, 3), 0.9).scatter(1, axis[:, None], 0.7)
    torch.testing.assert_close(factors, expected)
    torch.testing.assert_close(first.activated_opacities, 0.6 * gaussians.activated_opacities[parents])
    for name in ("quats", "shs_dc", "shs_rest"):
        assert torch.equal(
            pair[name], gaussians.parameters[name].detach()[parents].repeat(2, *[1] * (pair[name].dim() - 1))
        )

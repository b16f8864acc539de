"""Depth losses against slow formulas, their gradients, and that invalid pixels have no part in anything."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from utils.depth_losses import NAMES, depth_loss, edge_weight, mip_variance, usable
from utils.depth_losses.g2 import g2_terms
from utils.depth_losses.pixels import select_pixels
from utils.errors import UserError

K = (20.0, 24.0, 7.3, 5.9)  # fx, fy, cx, cy
SIZE = (12, 15)
OFFSET_BY_DESIGN = {"mip_laplace"}  # a perfect rendering does not have loss 0: ln b is left


@pytest.fixture(autouse=True)
def threads():
    """One for these small images; the function that sets another number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch.set_num_threads
    torch.set_num_threads(before)


class Sample:
    """A slanted surface with a step in it, a rendering that is off by 5 to 30 %, and 30 % invalid pixels."""

    def __init__(self, size: tuple[int, int] = SIZE, seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        generator = torch.Generator().manual_seed(seed)

        def noise() -> Tensor:
            return torch.rand(size, dtype=torch.float64, generator=generator)

        rows, columns = torch.meshgrid(*(torch.linspace(0, 1, n, dtype=torch.float64) for n in size), indexing="ij")
        target = 1.5 + 0.4 * rows + 0.2 * columns + 1.5 * (columns > 0.6) + 0.02 * noise()
        sign = torch.where(noise() < 0.5, -1.0, 1.0)
        depth = target * (1 + sign * (0.05 + 0.25 * noise()))
        self.target = target.to(dtype)
        self.depth = depth.to(dtype).requires_grad_()
        self.inv_depth = (1 / depth).to(dtype).requires_grad_()
        self.valid = noise() > 0.3
        self.weight = (0.2 + noise()).to(dtype)

    def rendered(self, name: str) -> Tensor:
        """The map that the loss looks at."""
        return self.inv_depth if name == "inv_l1" else self.depth

    def loss(self, name: str, **changes: object) -> Tensor:
        inputs = dict(depth=self.depth, inv_depth=self.inv_depth, target=self.target, valid=self.valid, intrinsics=K)
        return depth_loss(name, **(inputs | changes))


def value_and_gradient(sample: Sample, name: str, rendered: Tensor | None = None, **changes: object):
    rendered = (sample.rendered(name) if rendered is None else rendered).detach().requires_grad_()
    value = sample.loss(name, **({"inv_depth" if name == "inv_l1" else "depth": rendered} | changes))
    return value.detach(), torch.autograd.grad(value, rendered)[0]


def same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# ---- the formulas, slowly --------------------------------------------------------------------------------------------


def mean(values: np.ndarray, weight: np.ndarray) -> float:
    return float((values * weight).sum() / weight.sum())


def slow_standardized(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    centered = values - mean(values, weight)
    return centered / (mean(abs(centered), weight) + 1e-6)


def slow_pooled(values: np.ndarray, weight: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Block means over valid pixels; weight 0 for blocks with half or less of them."""
    height, width = values.shape[0] // scale, values.shape[1] // scale
    means, weights = np.zeros((height, width)), np.zeros((height, width))
    for i, j in itertools.product(range(height), range(width)):
        block = np.s_[i * scale : (i + 1) * scale, j * scale : (j + 1) * scale]
        if (weight[block] > 0).mean() > 0.5:
            means[i, j] = mean(values[block], weight[block])
            weights[i, j] = weight[block].sum() / (weight[block] > 0).sum()
    return means, weights


def slow_sobel(values: np.ndarray, weight: np.ndarray, i: int, j: int, axis: int) -> float:
    """Sobel's gradient at (i, j), of differences between valid pixels with a valid one in between."""
    total = 0.0
    for side, factor in ((-1, 1), (0, 2), (1, 1)):
        line = [(i + side, j + step) if axis == 1 else (i + step, j + side) for step in (-1, 0, 1)]
        if all(0 <= r < values.shape[0] and 0 <= c < values.shape[1] and weight[r, c] > 0 for r, c in line):
            total += factor * (values[line[2]] - values[line[0]])
    return total


def slow_g2(z: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    maps = [slow_standardized(each, weight) for each in (z, target)]
    loss = mean(abs(z - target), weight) + mean(abs(maps[0] - maps[1]), weight)
    for scale in (1, 2, 4, 8):
        (a, weights), (b, _) = (slow_pooled(each, weight, scale) for each in maps)
        gradients = np.zeros_like(a)
        for i, j in np.argwhere(weights > 0):
            for axis in (0, 1):
                gradients[i, j] += abs(slow_sobel(a, weights, i, j, axis) - slow_sobel(b, weights, i, j, axis))
        loss += 0.5 * mean(gradients, weights) / 4 if weights.any() else 0.0
    return loss


def slow_variance(target: np.ndarray, valid: np.ndarray, window=5, lambda_prior=0.5, alpha_clamp=0.3) -> np.ndarray:
    fx, fy, cx, cy = K
    result = np.zeros_like(target)
    norm = np.fromfunction(
        lambda i, j: np.sqrt(1 + ((j + 0.5 - cx) / fx) ** 2 + ((i + 0.5 - cy) / fy) ** 2), target.shape
    )
    t, reach, width = target * norm, window // 2, 1 / math.sqrt(fx * fy)
    for i, j in np.argwhere(valid):
        around = np.s_[max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1]
        near = np.sort(t[around][valid[around]])
        out = len(near) // 8
        mu = t[i, j]
        delta = min((near[len(near) - 1 - out] - near[out]) / 2 + lambda_prior * mu * width, alpha_clamp * mu)
        d, r = 3 * mu**2 + delta**2, 2 / math.sqrt(12) * width
        along = delta**2 / 3 - 4 / 15 * delta**4 * (12 * mu**2 - delta**2) / d**2
        across = r**2 * (mu**2 / 4 + 5 * delta**2 / 12 - 4 / 15 * delta**4 / d)
        cosine = 1 / norm[i, j]
        result[i, j] = along * cosine**2 + across * (1 - cosine**2)
    return result


def slow_loss(name: str, z: np.ndarray, inv: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    v = weight > 0
    if name == "g2":
        return slow_g2(z, target, weight)
    sigma = np.sqrt(slow_variance(target, v))[v]
    i, j = np.nonzero(v)
    x, y = (j + 0.5 - K[2]) / K[0], (i + 0.5 - K[3]) / K[1]
    z, inv, target, weight = z[v], inv[v], target[v], weight[v]
    error = abs(z - target)
    if name == "silog":
        e = np.log(z) - np.log(target)
        return math.sqrt(mean(e**2, weight) - 0.85 * mean(e, weight) ** 2)
    if name == "ssi":
        root = np.sqrt(weight)
        columns = np.stack([z, np.ones_like(z)], 1) * root[:, None]
        (scale, shift), *_ = np.linalg.lstsq(columns, target * root, rcond=None)
        return mean(abs(scale * z + shift - target), weight)
    if name == "mip_l1":
        trust = 1 / sigma / mean(1 / sigma, weight)
        return mean(error * trust + abs(x * z - x * target) + abs(y * z - y * target), weight)
    b = sigma / math.sqrt(2)
    values = {
        "inv_l1": abs(inv - 1 / target),
        "l1": error,
        "log_l1": abs(np.log(1 + z) - np.log(1 + target)),
        "inv_weighted_l1": error / np.maximum(target, 0.1 * mean(target, weight)),
        "mip_laplace": error / b + np.log(b),
    }
    return mean(values[name], weight)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_losses_are_their_formulas(name: str, weighted: bool) -> None:
    for seed in (0, 1):
        sample = Sample((18, 21), seed)
        sample.target[:3, :2] *= 0.03  # near enough for inv_weighted_l1's floor
        weight = sample.valid * (sample.weight if weighted else 1.0)
        arrays = [each.detach().numpy() for each in (sample.depth, sample.inv_depth, sample.target, weight.double())]
        expected = slow_loss(name, *arrays)
        # mip_l1's ε stands beside deviations of some 1e-2 of the depth
        tolerance = 1e-5 if name == "mip_l1" else 1e-11
        assert abs(expected) > 1e-2
        assert sample.loss(name, weight=sample.weight if weighted else None).item() == pytest.approx(
            expected, rel=tolerance
        )


# ---- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str, weighted: bool) -> None:
    sample = Sample((9, 10))
    weight = sample.weight if weighted else None
    value, gradient = value_and_gradient(sample, name, weight=weight)
    assert abs(value) > 1e-2 and gradient[sample.valid].abs().median() > 1e-4
    key = "inv_depth" if name == "inv_l1" else "depth"
    assert gradcheck(
        lambda x: sample.loss(name, weight=weight, **{key: x}), sample.rendered(name), eps=1e-6, atol=1e-8, rtol=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_following_the_gradient_lowers_the_loss(name: str) -> None:
    sample = Sample()
    value, gradient = value_and_gradient(sample, name)
    closer = sample.rendered(name).detach() - 1e-4 * gradient / gradient.norm()
    assert value_and_gradient(sample, name, closer)[0] < value


@pytest.mark.parametrize("name", NAMES)
def test_single_precision(name: str) -> None:
    exact, gradient = value_and_gradient(Sample(), name)
    value, rounded = value_and_gradient(Sample(dtype=torch.float32), name)
    assert value.dtype == rounded.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=1e-4)
    assert (rounded - gradient).norm() < 1e-3 * gradient.norm()


@pytest.mark.parametrize("name", NAMES)
def test_shapes_agree(name: str) -> None:
    sample = Sample()
    flat = value_and_gradient(sample, name, weight=sample.weight)
    deep = {key: getattr(sample, key)[None] for key in ("target", "valid", "weight")}
    value, gradient = value_and_gradient(sample, name, sample.rendered(name)[None], **deep)
    assert value.shape == () and gradient.shape == (1, *SIZE)
    assert same(flat, (value, gradient[0]))


@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_threads_gives_the_same_bits(name: str, threads) -> None:
    sample = Sample((181, 203), dtype=torch.float32)  # over 32768 pixels: less is never shared among threads
    results = []
    for count in (1, 2):
        threads(count)
        results.append(value_and_gradient(sample, name, weight=edge_weight(sample.target, sample.valid, 2.0)))
    assert results[0][1].abs().max() > 0
    assert same(*results)


# ---- invalid pixels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("junk", [math.nan, math.inf, 0.0, -1000.0, 65535.0])
@pytest.mark.parametrize("name", NAMES)
def test_invalid_targets_have_no_part(name: str, junk: float) -> None:
    """Found by their values, without a mask as well."""
    sample = Sample()
    clean = value_and_gradient(sample, name)
    spoilt = torch.where(sample.valid, sample.target, junk)
    for valid in (None, sample.valid, sample.valid.double()):
        found = value_and_gradient(sample, name, target=spoilt, valid=valid, depth_max=60.0)
        assert same(found, clean)
    assert clean[1][~sample.valid].abs().max() == 0 and clean[1][sample.valid].abs().max() > 0


@pytest.mark.parametrize("junk", [math.nan, math.inf, -math.inf, 0.0, -1000.0, 1e30])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_rendered_in_invalid_pixels_has_no_part(name: str, junk: float) -> None:
    sample = Sample()
    spoilt = torch.where(sample.valid, sample.rendered(name).detach(), junk)
    assert same(value_and_gradient(sample, name, spoilt), value_and_gradient(sample, name))


@pytest.mark.parametrize("junk", [math.nan, 0.0, -1000.0, 65535.0])
@pytest.mark.parametrize("name", NAMES)
def test_without_valid_pixels_a_loss_is_zero_with_zero_gradient(name: str, junk: float) -> None:
    sample = Sample()
    for rendered in (sample.rendered(name).detach(), torch.full(SIZE, junk, dtype=torch.float64)):
        target = torch.full(SIZE, junk, dtype=torch.float64)
        value, gradient = value_and_gradient(sample, name, rendered, target=target, depth_max=60.0)
        assert value == 0 and gradient.abs().max() == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_nan_in_a_valid_pixel_is_not_hidden(name: str) -> None:
    sample = Sample()
    spoilt = sample.rendered(name).detach().clone()
    spoilt[tuple(np.argwhere(sample.valid.numpy())[5])] = math.nan
    assert value_and_gradient(sample, name, spoilt)[0].isnan()


@pytest.mark.parametrize("name", NAMES)
def test_few_valid_pixels(name: str) -> None:
    sample = Sample()
    for count in (1, 2, 3):
        valid = torch.zeros(SIZE, dtype=torch.bool)
        valid[4, 3 : 3 + count] = True
        value, gradient = value_and_gradient(sample, name, valid=valid)
        assert value.isfinite() and gradient.isfinite().all() and gradient[~valid].abs().max() == 0
        if name != "ssi":  # which fits two pixels without error
            assert abs(value) > 1e-3 and gradient[valid].abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_small_images(name: str) -> None:
    for size in ((1, 1), (1, 9), (3, 2)):
        value, gradient = value_and_gradient(Sample(size), name, valid=None)
        assert value.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_rendering(name: str) -> None:
    sample = Sample()
    perfect = sample.target.reciprocal() if name == "inv_l1" else sample.target
    value, gradient = value_and_gradient(sample, name, perfect)
    assert gradient.isfinite().all()
    assert name in OFFSET_BY_DESIGN or value == pytest.approx(0, abs=1e-12)
    assert value < value_and_gradient(sample, name)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_flat_maps(name: str, dtype: torch.dtype) -> None:
    """A rendering, or a target, of one depth everywhere: 0.1 has a mean that is not quite 0.1."""
    sample = Sample(dtype=dtype)
    flat = torch.full(SIZE, 0.1, dtype=dtype)
    for rendered, target in ((flat, sample.target), (sample.rendered(name).detach(), flat), (flat, flat)):
        value, gradient = value_and_gradient(sample, name, rendered, target=target)
        assert value.isfinite() and gradient.isfinite().all()


def test_ssi_of_a_flat_rendering_is_the_deviation_of_the_target() -> None:
    for dtype in (torch.float32, torch.float64):
        sample = Sample(dtype=dtype)
        value, gradient = value_and_gradient(sample, "ssi", torch.full(SIZE, 0.1, dtype=dtype))
        target = sample.target[sample.valid]
        assert value.item() == pytest.approx((target - target.mean()).abs().mean().item(), rel=1e-5)
        assert value > 0.1 and gradient.abs().max() == 0


# ---- what the losses promise -----------------------------------------------------------------------------------------


def test_silog_of_a_common_factor() -> None:
    sample = Sample()
    for factor in (0.5, 1.0, 3.0):
        value = sample.loss("silog", depth=factor * sample.target)
        assert value.item() == pytest.approx(math.sqrt(0.15) * abs(math.log(factor)), abs=1e-12)
    # units: the same factor on both maps changes nothing
    scaled = sample.loss("silog", depth=1000 * sample.depth, target=1000 * sample.target)
    assert scaled.item() == pytest.approx(sample.loss("silog").item(), rel=1e-12)


def test_ssi_sees_no_scale_and_shift_of_the_rendering() -> None:
    sample = Sample()
    value, gradient = value_and_gradient(sample, "ssi")
    moved = sample.loss("ssi", depth=7.5 * sample.depth - 3.0)
    assert value > 0.05 and moved.item() == pytest.approx(value.item(), rel=1e-12)
    assert sample.loss("ssi", depth=0.2 * sample.target + 4.0).item() == pytest.approx(0, abs=1e-12)
    for direction in (torch.ones(SIZE, dtype=torch.float64), sample.depth.detach()):
        assert abs((gradient * direction).sum()) < 1e-12 < 1e-2 < gradient.norm()


def test_relative_terms_of_g2_see_no_scale_and_shift() -> None:
    sample = Sample((24, 32))

    def terms(depth: Tensor) -> list[float]:
        return [each.item() for each in g2_terms(select_pixels(depth, sample.target, sample.valid, None, math.inf))]

    before, moved = terms(sample.depth), terms(7.5 * sample.depth + 3.0)
    assert min(before) > 0.05 and moved[0] > before[0] + 1
    assert moved[1:] == pytest.approx(before[1:], rel=1e-5)  # not exact: 1e-6 stands beside the mean deviation
    assert terms(2 * sample.target + 1)[1:] == pytest.approx([0, 0], abs=1e-5)


def test_g2_counts_no_gradient_across_an_invalid_pixel() -> None:
    """Two plateaus, rendered at other heights, with a column of holes between them."""
    target = torch.ones(16, 17, dtype=torch.float64)
    target[:, 9:] = 2.0
    depth = 3 - target
    valid = torch.ones(16, 17, dtype=torch.bool)
    with_edge = g2_terms(select_pixels(depth, target, valid, None, math.inf))
    valid[:, 8] = False
    without = g2_terms(select_pixels(depth, target, valid, None, math.inf))
    assert without[1] > 1 and with_edge[1] > 1
    fine_scale = (16 * 2 * 2 * 8 - 2 * 2 * 2 * 2) / valid.sum().item() / 4  # all that the edge has at full size
    assert with_edge[2] - without[2] > 0.5 * fine_scale


@pytest.mark.parametrize("name", NAMES)
def test_weights(name: str) -> None:
    sample = Sample()
    plain = value_and_gradient(sample, name)
    constant = value_and_gradient(sample, name, weight=torch.full(SIZE, 0.25, dtype=torch.float64))
    assert torch.allclose(constant[0], plain[0], rtol=1e-12)
    assert torch.allclose(constant[1], plain[1], rtol=1e-9, atol=1e-15)
    chosen = sample.valid & (sample.weight > 0.5)
    assert same(
        value_and_gradient(sample, name, weight=(sample.weight > 0.5).double()),
        value_and_gradient(sample, name, valid=chosen),
    )
    soft = value_and_gradient(sample, name, valid=torch.where(sample.valid, sample.weight, math.nan))
    assert same(soft, value_and_gradient(sample, name, weight=sample.weight))
    assert abs(soft[0] - plain[0]) > 1e-6
    junk = torch.where(sample.valid, sample.weight, math.nan)
    assert same(value_and_gradient(sample, name, weight=junk), soft)


# ---- the variance of the target's geometry and the weight of edges ---------------------------------------------------


@pytest.mark.parametrize("options", [{}, dict(window=3, lambda_prior=0.1), dict(window=7, alpha_clamp=0.02)])
def test_mip_variance_is_the_formula(options: dict[str, float]) -> None:
    sample = Sample((14, 19), 3)
    expected = slow_variance(sample.target.numpy(), sample.valid.numpy(), **options)
    found = mip_variance(sample.target, sample.valid, K, **options)
    assert expected.max() > 2 * np.median(expected[sample.valid.numpy()]) > 0
    assert torch.allclose(found, torch.from_numpy(expected), rtol=1e-12, atol=0)
    assert not found.requires_grad


def test_mip_variance_is_never_negative_and_knows_no_invalid_pixel() -> None:
    sample = Sample((40, 50))
    found = mip_variance(sample.target, sample.valid, K, 5, 0.5, 0.3)
    assert found.shape == (40, 50) and (found[sample.valid] > 0).all() and (found[~sample.valid] == 0).all()
    for junk in (math.nan, 0.0, -1000.0):
        spoilt = torch.where(sample.valid, sample.target, junk)
        assert torch.equal(mip_variance(spoilt[None], None, K, 5, 0.5, 0.3), found)
    wild = torch.exp(3 * torch.randn(40, 50, generator=torch.Generator().manual_seed(0)))
    for clamp in (0.01, 0.3, 1.0, 5.0):
        assert (mip_variance(wild, None, K, 5, 0.0, clamp) >= 0).all()
    assert (mip_variance(torch.full((6, 7), math.nan), None, K, 5, 0.5, 0.3) == 0).all()


def test_mip_variance_is_larger_at_edges_and_far_away() -> None:
    intrinsics = (300.0, 300.0, 30.0, 20.0)

    def variance(target: Tensor, valid: Tensor | None = None) -> Tensor:
        return mip_variance(target, valid, intrinsics, 5, 0.5, 0.3)

    flat = torch.full((40, 60), 2.0, dtype=torch.float64)
    edge = flat.clone()
    edge[:, 30:] = 2.3
    smooth, stepped = variance(flat), variance(edge)
    assert (stepped[:, 28:32] > 100 * smooth[:, 28:32]).all()
    assert torch.allclose(stepped[:, :28], smooth[:, :28], rtol=1e-9)
    assert torch.allclose(variance(3 * flat), 9 * smooth, rtol=1e-12)
    assert (variance(flat + 0.5) > smooth).all()
    slope = flat + 0.02 * torch.arange(60.0, dtype=torch.float64)
    assert (variance(slope) > 2 * smooth).all()
    spots = flat.clone()
    spots[10, 10] = spots[11, 31] = 4.0  # bad readings: alone, they widen no range but their own
    away = torch.ones_like(flat, dtype=torch.bool)
    away[10, 10] = away[11, 31] = False
    assert torch.allclose(variance(spots)[away], smooth[away], rtol=0.1)


def test_mip_variance_can_be_made_beforehand() -> None:
    sample = Sample()
    for name in ("mip_l1", "mip_laplace"):
        made = mip_variance(sample.target, sample.valid, K, 3, 0.4, 0.2)
        at_once = value_and_gradient(sample, name, window=3, lambda_prior=0.4, alpha_clamp=0.2)
        assert same(value_and_gradient(sample, name, variance=made), at_once)
        junk = torch.where(sample.valid, made, math.nan)[None]
        assert same(value_and_gradient(sample, name, variance=junk), at_once)
        assert abs(sample.loss(name) - at_once[0]) > 1e-6


def test_mip_l1_trusts_edges_less_and_keeps_its_unit() -> None:
    sample = Sample((40, 50))
    _, gradient = value_and_gradient(sample, "mip_l1", intrinsics=(1e4, 1e4, 25.0, 20.0))
    edge = (torch.arange(50) / 49 - 0.6).abs() < 0.03
    smooth = (torch.arange(50) / 49 - 0.6).abs() > 0.1
    size = torch.where(sample.valid, gradient.abs(), math.nan)
    assert edge.sum() >= 2
    assert size[:, edge].nanmedian() < 0.2 * size[:, smooth].nanmedian()
    larger = sample.loss("mip_l1", depth=1000 * sample.depth, target=1000 * sample.target)
    assert larger.item() == pytest.approx(1000 * sample.loss("mip_l1").item(), rel=1e-9)
    laplace = sample.loss("mip_laplace", depth=1000 * sample.depth, target=1000 * sample.target)
    assert (laplace - sample.loss("mip_laplace")).item() == pytest.approx(math.log(1000), rel=1e-9)


def test_edge_weight() -> None:
    target = torch.full((9, 12), 2.0, dtype=torch.float64)
    target[:, 6:] = 3.0
    target[2, 1] = math.nan
    weight = edge_weight(target[None], None, 4.0)
    assert weight.shape == (9, 12) and weight[2, 1] == 0
    assert torch.allclose(weight[:, 5], torch.tensor(math.exp(-4 * 1 / 2), dtype=torch.float64))
    assert torch.allclose(weight[:, 6], torch.tensor(math.exp(-4 * 1 / 3), dtype=torch.float64))
    flat = torch.ones(9, 12, dtype=torch.bool)
    flat[:, 5:7] = flat[2, 1] = False
    assert (weight[flat] == 1).all()  # beside an invalid pixel, too
    assert torch.allclose(edge_weight(1000 * target, None, 4.0), weight, rtol=1e-12)
    assert torch.equal(edge_weight(target, None, 0.0), usable(target, None).double())


@pytest.mark.parametrize("name", NAMES)
def test_edge_weight_with_every_loss(name: str) -> None:
    """Less of the gradient falls on the step of the target."""
    sample = Sample((24, 40))
    plain = value_and_gradient(sample, name)[1].abs()
    weighted = value_and_gradient(sample, name, weight=edge_weight(sample.target, sample.valid, 5.0))[1].abs()
    step = (torch.arange(40) / 39 - 0.6).abs() < 0.026
    assert step.sum() == 2 and plain[:, step].sum() > 0
    assert weighted[:, step].sum() / weighted.sum() < 0.7 * plain[:, step].sum() / plain.sum()


def test_usable() -> None:
    target = torch.tensor([[1.0, 0.0, -1000.0, math.nan, math.inf, 65535.0, 5.0]])
    assert usable(target, None).tolist() == [[True, False, False, False, False, True, True]]
    mask = torch.tensor([[1.0, 1, 1, 1, 1, 1, 0]])
    assert usable(target[None], mask[None], 10.0).tolist() == [[True] + 6 * [False]]


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_unknown_names_and_options() -> None:
    sample = Sample()
    with pytest.raises(UserError, match="'l2' is not a depth loss; those are inv_l1, l1, .* mip_laplace"):
        sample.loss("l2")
    with pytest.raises(UserError, match="l1 has no option 'window'; it has depth_max, weight"):
        sample.loss("l1", window=3)
    with pytest.raises(UserError, match="mip_l1 has no option 'windows'; it has .* window"):
        sample.loss("mip_l1", windows=3)


def test_wrong_inputs() -> None:
    sample = Sample()
    with pytest.raises(UserError, match="intrinsics"):
        sample.loss("mip_l1", intrinsics=None)
    with pytest.raises(UserError, match="4 pixels; an odd"):
        sample.loss("mip_l1", window=4)
    for key in ("depth", "valid", "weight"):
        with pytest.raises(UserError, match=r"\(12, 14\)"):
            sample.loss("l1", **{key: torch.ones(12, 14)})
    with pytest.raises(UserError, match=r"target .* \(3, 12, 15\)"):
        sample.loss("l1", target=torch.ones(3, *SIZE))

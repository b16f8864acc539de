"""`rasterize`: Gaussians and a camera in, five images and more out, all differentiable."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from . import ops
from .checks import check_device, check_integer, check_number, check_tensor
from .covariances import principal_axes, project_covariances
from .outputs import RasterOutput, Splats, Statistics, Thresholds

DISTORTION_SPACES = ("linear", "inverse")
DEPTH_MODELS = ("center", "ray")
DEPTH_REACH = 6.66  # twice the standard deviations within which a splat of the least alpha, 1/255, is seen
MAX_SH_DEGREE = 3
USUAL = Thresholds()


def rasterize(
    means: Tensor,
    scales: Tensor | None,
    quats: Tensor | None,
    opacities: Tensor,
    shs: Tensor | None = None,
    colors: Tensor | None = None,
    *,
    sh_rest: Tensor | None = None,
    covariances: Tensor | None = None,
    viewmat: Tensor,
    fx: float,
    fy: float,
    cx: float,
    cy: float,
    width: int,
    height: int,
    background: Tensor,
    sh_degree: int = 0,
    near: float = 0.2,
    scale_modifier: float = 1.0,
    antialiasing: bool = False,
    distortion_space: str = "linear",
    distortion_gap: float = math.inf,
    depth_model: str = "center",
    sensor_depth: Tensor | None = None,
    sensor_limit: float = math.inf,
    statistics: bool = False,
    median_depth: bool = False,
    features: Tensor | None = None,
    depth_slope: bool = False,
    absgrad: bool = False,
    thresholds: Thresholds = USUAL,
    means2d_offset: Tensor | None = None,
    absgrad_receiver: Tensor | None = None,
) -> RasterOutput:
    """Render Gaussians by EWA splatting (Zwicker et al. 2002) and alpha blending (Kerbl et al. 2023), exactly.

    All tensors are float32, or all float64, on the CPU or on one CUDA device. Images and gradients are the same bits in
    every run: on a CPU for any number of threads, and on CUDA since its kernels add in a fixed order. MATH.md in the
    repository derives every formula.

    Args:
        means: (N, 3) centers, world units.
        scales: (N, 3) standard deviations along the local axes, world units, > 0.
        quats: (N, 4) rotations w x y z, of any length but 0.
        opacities: (N, 1) in (0, 1).
        shs: (N, K, 3) spherical harmonics coefficients, K ≥ (sh_degree + 1)²; or
        colors: (N, C) features as they are, of any C ≥ 1: colors, normals, labels. Exactly one of the two.
        sh_rest: (N, K − 1, 3) the coefficients above degree 0 where `shs`, (N, 1, 3), has that of degree 0 alone: two
            tensors in place of one, which would have to be made of them.
        covariances: (N, 3, 3) symmetric, world units², instead of scales and quats, which must then be None. Slower.
        viewmat: (4, 4) world to camera, OpenCV axes (x right, y down, z forward).
        fx, fy, cx, cy: pinhole intrinsics, pixels; pixel (i, j) is sampled at (j + 0.5, i + 0.5).
        width, height: of the image, pixels.
        background: (C,) color behind everything; C is 3 with `shs`.
        sh_degree: 0..3, the degree up to which `shs` is used.
        near: world units; Gaussians at z ≤ near are culled.
        scale_modifier: factor on all scales.
        antialiasing: lower the opacity of splats that the 0.3-pixel blur widens (Yu et al. 2024).
        distortion_space: "linear" measures the distortion over z, "inverse" over 1/z.
        distortion_gap: relative step of the measure, such as 0.02, that parts the surfaces of a pixel; their
            distortions are added up, and the steps between them cost nothing. From near to far a splat that differs
            from the mean of the surface before it by more than this part of that surface's first measure begins
            another; the fourth takes all that follows. Which surface a splat belongs to is a choice that has no
            gradient. Infinite: a pixel has one.
        depth_model: the depth of a Gaussian at a pixel. "center" is its center's for all pixels. "ray" is where it is
            densest along the pixel's ray, to first order: a disc has the depths of its plane, and 1/z moves by at most
            3.33 standard deviations over z², and to no less than half. It holds for inv_depth, depth, distortion and
            median_depth; order, alpha and color stay. MATH.md derives it. Needs thresholds.alpha_min > 0.
        sensor_depth: (1, H, W) depths that a sensor measured, world units, 0 where it did not; without gradient. Where
            it did, the distortion is Σw·min((m − M)², sensor_limit²) about the sensor's measure M instead of the
            pixel's mean. Needs depth_model "ray".
        sensor_limit: the largest distance that counts, in the distortion's measure.
        statistics: also gather `Statistics`.
        median_depth: also make `median_depth`.
        features: (N, F) more numbers of each Gaussian, of any F ≥ 1; also make `features`, their blend before 0. It
            costs a second blend.
        depth_slope: also make `depth_slope`. Needs depth_model "ray". It shares the second blend.
        absgrad: let a backward pass leave `means2d.absgrad`, (N, 2): Σ over pixels of |∂L/∂mean2d| (Ye et al. 2024,
            AbsGS). Of at most 16 channels, since the pixel's absolute value is that of all channels together.
        thresholds: the limits of a pixel's rules.
        means2d_offset: (N, 2) pixels, added to the projected means; zeros make a leaf that receives their gradient.
        absgrad_receiver: (N, 2) of any values, not read; asks for `absgrad` and receives it as its gradient.

    Raises:
        TypeError, ValueError: an argument of the wrong type, dtype, shape, device or range; the message names it.
        torch.OutOfMemoryError: a CUDA device has too little memory.
    """
    splats = project_splats(
        means, scales, quats, opacities, shs, colors, sh_rest=sh_rest, covariances=covariances, viewmat=viewmat,
        fx=fx, fy=fy, cx=cx, cy=cy, width=width, height=height, sh_degree=sh_degree, near=near,
        scale_modifier=scale_modifier, antialiasing=antialiasing, depth_model=depth_model, features=features,
        thresholds=thresholds, means2d_offset=means2d_offset,
    )  # fmt: skip
    return blend_splats(
        splats, width=width, height=height, background=background, distortion_space=distortion_space,
        distortion_gap=distortion_gap, sensor_depth=sensor_depth, sensor_limit=sensor_limit, statistics=statistics,
        median_depth=median_depth, depth_slope=depth_slope, absgrad=absgrad, thresholds=thresholds,
        absgrad_receiver=absgrad_receiver,
    )  # fmt: skip


@ops.memory_errors
def project_splats(
    means: Tensor,
    scales: Tensor | None,
    quats: Tensor | None,
    opacities: Tensor,
    shs: Tensor | None = None,
    colors: Tensor | None = None,
    *,
    sh_rest: Tensor | None = None,
    covariances: Tensor | None = None,
    viewmat: Tensor,
    fx: float,
    fy: float,
    cx: float,
    cy: float,
    width: int,
    height: int,
    sh_degree: int = 0,
    near: float = 0.2,
    scale_modifier: float = 1.0,
    antialiasing: bool = False,
    depth_model: str = "center",
    features: Tensor | None = None,
    thresholds: Thresholds = USUAL,
    means2d_offset: Tensor | None = None,
) -> Splats:
    """The first half of `rasterize`, with its arguments: each Gaussian as the camera sees it.

    Differentiable. Rows are independent of each other: those of some Gaussians are the same bits as among all others.

    Raises:
        TypeError, ValueError, torch.OutOfMemoryError: as `rasterize`.
    """
    check_tensor("means", means, ("N", 3))
    check_device("means", means)
    n = means.shape[0]
    means = means.contiguous()
    scales, quats, covariances = _check_shapes(scales, quats, covariances, means)
    opacities = check_tensor("opacities", opacities, (n, 1), means)
    sh_degree = check_integer("sh_degree", sh_degree, 0, MAX_SH_DEGREE)
    appearance, sh_rest = _check_appearance(shs, sh_rest, colors, sh_degree, means)
    viewmat = check_tensor("viewmat", viewmat, (4, 4), means)
    width, height = check_integer("width", width, 1), check_integer("height", height, 1)
    fx = check_number("fx", fx, 0, open_low=True)
    fy = check_number("fy", fy, 0, open_low=True)
    cx, cy = check_number("cx", cx), check_number("cy", cy)
    near = check_number("near", near, 0)
    scale_modifier = check_number("scale_modifier", scale_modifier, 0, open_low=True)
    limits = _check_thresholds(thresholds)
    reach = _check_depth_model(depth_model, limits)
    if features is not None:
        features = _check_channels("features", features, n, means)
    means2d, inv_cov_factor, opacities2d, splat_colors, depths, slopes, cutoff_sigmas, radii, num_nonfinite = (
        ops.project(
            means, scales, quats, opacities, appearance, viewmat, width, height, fx, fy, cx, cy, near, scale_modifier,
            limits.alpha_min, sh_degree if colors is None else -1, bool(antialiasing), reach, sh_rest,
        )
    )  # fmt: skip
    if covariances is not None:
        means2d, inv_cov_factor, opacities2d, depths, slopes = project_covariances(
            means, scale_modifier**2 * covariances, opacities, radii > 0, viewmat, (fx, fy, cx, cy), (width, height),
            antialiasing, reach,
        )  # fmt: skip
    if means2d_offset is not None:
        means2d = means2d + check_tensor("means2d_offset", means2d_offset, (n, 2), means)
    cutoff_sigmas = cutoff_sigmas.detach()  # says where to look, not what is seen there
    return Splats(
        means2d, inv_cov_factor, opacities2d, splat_colors, depths, slopes, cutoff_sigmas, radii, num_nonfinite,
        features,
    )  # fmt: skip


@ops.memory_errors
def blend_splats(
    splats: Splats,
    *,
    width: int,
    height: int,
    background: Tensor,
    distortion_space: str = "linear",
    distortion_gap: float = math.inf,
    sensor_depth: Tensor | None = None,
    sensor_limit: float = math.inf,
    statistics: bool = False,
    median_depth: bool = False,
    depth_slope: bool = False,
    absgrad: bool = False,
    thresholds: Thresholds = USUAL,
    absgrad_receiver: Tensor | None = None,
) -> RasterOutput:
    """The second half of `rasterize`, with its arguments: the images that splats make. Ties of depth go by row.

    Splats with radius 0 have no part, so they may be left out.

    Raises:
        TypeError, ValueError, torch.OutOfMemoryError: as `rasterize`.
    """
    means2d, inv_cov_factor, opacities2d, splat_colors, depths, slopes, cutoff_sigmas, *_ = splats
    radii, num_nonfinite, features = splats.radii, splats.num_nonfinite, splats.features
    background = check_tensor("background", background, (splat_colors.shape[1],), means2d)
    width, height = check_integer("width", width, 1), check_integer("height", height, 1)
    receiver = _check_receiver(absgrad, absgrad_receiver, means2d, splat_colors.shape[1])
    limits = _check_thresholds(thresholds)
    if distortion_space not in DISTORTION_SPACES:
        raise ValueError(f"distortion_space is {distortion_space!r}; it must be one of {', '.join(DISTORTION_SPACES)}")
    if sensor_depth is not None:
        if len(slopes) != len(means2d):
            raise ValueError("sensor_depth is given with depth_model 'center'; it needs depth_model 'ray'")
        sensor_depth = check_tensor("sensor_depth", sensor_depth, (1, height, width), means2d).detach()
    if sensor_limit != math.inf:
        sensor_limit = check_number("sensor_limit", sensor_limit, 0, open_low=True)
    if distortion_gap != math.inf:
        distortion_gap = check_number("distortion_gap", distortion_gap, 0, open_low=True)
    if depth_slope and len(slopes) != len(means2d):
        raise ValueError("depth_slope is asked for with depth_model 'center'; it needs depth_model 'ray'")
    with torch.no_grad():
        lists = ops.isect_tiles(means2d, inv_cov_factor, depths, cutoff_sigmas, radii, width, height)
    pixels = (cutoff_sigmas, *lists, width, height, *limits, distortion_space == "inverse")
    rules = (*pixels, distortion_gap, sensor_depth, sensor_limit)

    def blended(colors: Tensor, background: Tensor) -> tuple[Tensor, ...]:
        return ops.blend(means2d, inv_cov_factor, opacities2d, colors, depths, slopes, background, *rules, receiver)

    def blended_more(colors: Tensor, background: Tensor) -> tuple[Tensor, ...]:
        splats = (means2d, inv_cov_factor, opacities2d, colors, depths, slopes.new_empty(0, 2), background)
        return ops.blend(*splats, *pixels, math.inf, None, math.inf, None)

    color, inv_depth, depth, alpha, distortion, _, *state = _blend_in_chunks(blended, splat_colors, background)
    more = [values for values in (slopes if depth_slope else None, features) if values is not None]
    extra = None
    if more:
        numbers = torch.cat(more, dim=1)
        extra = _blend_in_chunks(blended_more, numbers, numbers.new_zeros(numbers.shape[1]))[0]
    gathered, median = None, None
    if statistics or median_depth:
        inputs = (means2d, inv_cov_factor, opacities2d, splat_colors, depths, slopes, background)
        with torch.no_grad():
            *sums, median = ops.blend_statistics(*inputs, *rules, *state)
            gathered = Statistics(*sums)
    return RasterOutput(
        color, inv_depth, depth, alpha, distortion, radii, means2d, num_nonfinite,
        gathered if statistics else None, median if median_depth else None,
        None if extra is None or features is None else extra[-features.shape[1] :],
        None if extra is None or not depth_slope else extra[:2],
    )  # fmt: skip


def _blend_in_chunks(
    blended: Callable[[Tensor, Tensor], tuple[Tensor, ...]], colors: Tensor, background: Tensor
) -> tuple[Tensor, ...]:
    """What `blended(colors, background)` returns, for any number of channels.

    The kernels are compiled for ops.CHANNEL_COUNTS. Each chunk is filled up with channels of 0 to the next of these
    numbers. The images other than color are the first chunk's.
    """
    channels = colors.shape[1]
    if channels in ops.CHANNEL_COUNTS:
        return blended(colors, background)
    outputs = []
    for first in range(0, channels, ops.MAX_CHANNELS):
        count = min(channels - first, ops.MAX_CHANNELS)
        missing = min(size for size in ops.CHANNEL_COUNTS if size >= count) - count
        chunk = [tensor[..., first : first + count] for tensor in (colors, background)]
        outputs.append(blended(*(pad(tensor, (0, missing)).contiguous() for tensor in chunk)))
    color = torch.cat([output[0] for output in outputs])[:channels]
    return color, *outputs[0][1:]


def _check_shapes(
    scales: Tensor | None, quats: Tensor | None, covariances: Tensor | None, means: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Scales and quats, those of the covariances where they are given, and the covariances."""
    n = len(means)
    if covariances is None:
        return check_tensor("scales", scales, (n, 3), means), check_tensor("quats", quats, (n, 4), means), None
    if scales is not None or quats is not None:
        raise ValueError("covariances are given, and so are scales or quats; those must then be None")
    covariances = check_tensor("covariances", covariances, (n, 3, 3), means)
    with torch.no_grad():
        return *principal_axes(covariances), covariances


def _check_appearance(
    shs: Tensor | None, sh_rest: Tensor | None, colors: Tensor | None, sh_degree: int, means: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Colors or SH coefficients, and those in another tensor."""
    if (shs is None) == (colors is None):
        found = "both missing" if shs is None else "both given"
        raise ValueError(f"shs and colors are {found}; exactly one must be given")
    n = means.shape[0]
    if colors is not None:
        if sh_rest is not None:
            raise ValueError("sh_rest is given with colors; it goes with shs")
        return _check_channels("colors", colors, n, means), None
    shs = check_tensor("shs", shs, (n, "K" if sh_rest is None else 1, 3), means)
    count, needed = shs.shape[1], (sh_degree + 1) ** 2
    if sh_rest is not None:
        sh_rest = check_tensor("sh_rest", sh_rest, (n, "K - 1", 3), means)
        count += sh_rest.shape[1]
    if count < needed:
        name, shape, k = ("shs", shs.shape, "K") if sh_rest is None else ("sh_rest", sh_rest.shape, "K - 1")
        raise ValueError(
            f"{name} has shape {tuple(shape)}; sh_degree {sh_degree} needs (N, {k}, 3) with K of at least {needed}"
        )
    return shs, sh_rest


def _check_channels(name: str, values: Tensor, n: int, means: Tensor) -> Tensor:
    values = check_tensor(name, values, (n, "C"), means)
    if values.shape[1] == 0:
        raise ValueError(f"{name} has shape {tuple(values.shape)}; it must be ({n}, C) with C of at least 1")
    return values


def _check_receiver(absgrad: bool, receiver: Tensor | None, means: Tensor, channels: int) -> Tensor | None:
    """What is to receive the absolute gradients; None where nobody asks for them."""
    if receiver is None and not absgrad:
        return None
    if channels > ops.MAX_CHANNELS:
        raise ValueError(f"absgrad is asked for with {channels} channels; it is made for at most {ops.MAX_CHANNELS}")
    shape = (len(means), 2)
    return means.new_empty(shape) if receiver is None else check_tensor("absgrad_receiver", receiver, shape, means)


def _check_depth_model(depth_model: str, limits: Thresholds) -> float:
    """The `depth_reach` of ops.project for this depth model."""
    if depth_model not in DEPTH_MODELS:
        raise ValueError(f"depth_model is {depth_model!r}; it must be one of {', '.join(DEPTH_MODELS)}")
    if depth_model == "ray" and limits.alpha_min == 0:
        raise ValueError("thresholds.alpha_min is 0; depth_model 'ray' needs more: a splat must end somewhere")
    return depth_reach(depth_model, limits.alpha_min)


def depth_reach(depth_model: str, alpha_min: float) -> float:
    """Twice the standard deviations within which splats are seen, 6.66 for the usual alpha_min; 0 for "center"."""
    return max(DEPTH_REACH, 2 * math.sqrt(-2 * math.log(alpha_min))) if depth_model == "ray" else 0.0


def _check_thresholds(thresholds: Thresholds) -> Thresholds:
    if thresholds is USUAL:
        return thresholds
    alpha_max = check_number("thresholds.alpha_max", thresholds.alpha_max, 0, 0.9999, open_low=True)
    return Thresholds(
        check_number("thresholds.alpha_min", thresholds.alpha_min, 0, alpha_max),
        alpha_max,
        check_number("thresholds.transmittance_min", thresholds.transmittance_min, 0, 0.5),
    )

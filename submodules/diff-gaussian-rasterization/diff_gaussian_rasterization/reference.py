"""The rasterizer once more, in plain torch: slow and obvious, differentiated by torch's autograd and nothing else.

It exists to check the compiled kernels against, and for second derivatives, which they do not have: those through this
are exact (tests/rasterizer/test_second_derivatives.py). Every Gaussian meets every pixel: no tiles, no bounds, no
running sums, no derivative written by hand. Shapes: N Gaussians, S of them in front of the camera ("splats", near
first), P pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .outputs import RasterOutput, Statistics, Thresholds

BLUR = 0.3  # pixels², added to the footprint's variances: every splat then covers about a pixel
SURFACES = 4  # that a pixel has at most
COMPENSATION_FLOOR = 0.000025  # of the squared antialiasing factor
FRUSTUM_MARGIN = 1.3  # the pinhole's Jacobian is taken at most this far out, in half image sizes
PAIRS_AT_ONCE = 1 << 20  # bounds the memory of one chunk of pixels


class Splats(NamedTuple):
    """Gaussians as a camera sees them."""

    means2d: Tensor  # (S, 2) pixels
    covariances: Tensor  # (S, 2, 2) pixels², blurred
    determinants: Tensor  # (S,) of the covariances
    opacities: Tensor  # (S,) with antialiasing: already compensated
    colors: Tensor  # (S, C)
    depths: Tensor  # (S,) z in the camera's frame
    slopes: Tensor  # (S, 2) of the inverse depth over the pixels; 0 with depth_model "center"


class Pixels(NamedTuple):
    """What some pixels see; `weights` is what the splats' statistics are made of."""

    color: Tensor  # (P, C)
    inv_depth: Tensor  # (P,)
    depth: Tensor  # (P,)
    alpha: Tensor  # (P,)
    distortion: Tensor  # (P,)
    median_depth: Tensor  # (P,)
    weights: Tensor  # (P, S)
    spread: Tensor  # (P, S) w·(m − M)²
    touched: Tensor  # (S,) whether any of these pixels has enough of the splat, seen or hidden


def rasterize_reference(
    means: Tensor,
    scales: Tensor,
    quats: Tensor,
    opacities: Tensor,
    shs: Tensor | None = None,
    colors: Tensor | None = None,
    *,
    sh_rest: Tensor | None = None,
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
    thresholds: Thresholds = Thresholds(),
    means2d_offset: Tensor | None = None,
    absgrad_receiver: Tensor | None = None,
) -> RasterOutput:
    """`rasterize`, with the same arguments and results, for any floating dtype and device; `absgrad` is not made.

    Arguments are not checked. Time and memory are O(N·H·W).
    """
    n = means.shape[0]
    appearance = shs if colors is None else colors
    assert appearance is not None
    if sh_rest is not None:
        appearance = torch.cat([appearance, sh_rest], dim=1)
    finite = finite_gaussians(means, scales, quats, opacities, appearance)
    order = depth_order(means, viewmat, near, finite)
    splats = project_gaussians(
        means[order], scales[order] * scale_modifier, quats[order], opacities[order], appearance[order],
        viewmat, (fx, fy, cx, cy), width, height, sh_degree if colors is None else None, antialiasing,
        None if depth_model == "center" else depth_reach(thresholds.alpha_min),
    )  # fmt: skip
    # One tensor of all N, so that the caller can ask for its gradient; the pixels are made from it.
    means2d = means.new_zeros(n, 2).index_put((order,), splats.means2d)
    if means2d_offset is not None:
        means2d = means2d + means2d_offset
    splats = splats._replace(means2d=means2d[order])

    chunk = max(1, PAIRS_AT_ONCE // max(1, len(order)))
    samples = pixel_samples(width, height, means).split(chunk)
    measured = means.new_zeros(height * width) if sensor_depth is None else sensor_depth.detach().flatten()
    rules = (distortion_space, distortion_gap, sensor_limit, thresholds)
    parts = [
        render_pixels(splats, xy, depth, background, *rules)
        for xy, depth in zip(samples, measured.split(chunk), strict=True)
    ]
    images = [torch.cat([part[i] for part in parts]).reshape(height, width, -1).permute(2, 0, 1) for i in range(6)]

    def blended(values: Tensor) -> Tensor:
        rows = torch.cat([part.weights @ values for part in parts])
        return rows.reshape(height, width, -1).permute(2, 0, 1)

    touched = torch.stack([part.touched for part in parts]).any(dim=0)
    radii = torch.zeros(n, dtype=torch.int32, device=means.device)
    radii[order] = splat_radii(splats, touched, thresholds.alpha_min)
    gathered = gather_statistics(parts, order, n) if statistics else None
    return RasterOutput(
        images[0], images[1], images[2], images[3], images[4], radii, means2d, (~finite).sum(), gathered,
        images[5] if median_depth else None,
        None if features is None else blended(features[order]),
        blended(splats.slopes) if depth_slope else None,
    )  # fmt: skip


# ---- which Gaussians, in which order


def finite_gaussians(means: Tensor, scales: Tensor, quats: Tensor, opacities: Tensor, features: Tensor) -> Tensor:
    """(N,) bool: whether all values of a Gaussian are finite. A quaternion of length 0 is not: normalized it is 0/0."""
    values = (means, scales, quats, opacities, features.flatten(1))
    finite = torch.stack([value.isfinite().all(dim=1) for value in values]).all(dim=0)
    return finite & (quats != 0).any(dim=1)


@torch.no_grad()
def depth_order(means: Tensor, viewmat: Tensor, near: float, finite: Tensor) -> Tensor:
    """(S,) indices of the Gaussians to draw, in order of z, near first, ties by index."""
    z = means @ viewmat[2, :3] + viewmat[2, 3]
    drawn = torch.nonzero(finite & (z > near)).squeeze(1)
    return drawn[torch.argsort(z[drawn], stable=True)]


# ---- from Gaussians to splats


def project_gaussians(
    means: Tensor,
    scales: Tensor,
    quats: Tensor,
    opacities: Tensor,
    features: Tensor,
    viewmat: Tensor,
    intrinsics: tuple[float, float, float, float],
    width: int,
    height: int,
    sh_degree: int | None,
    antialiasing: bool,
    reach: float | None = None,
) -> Splats:
    """S Gaussians as the camera sees them. `sh_degree` None: features are colors. `intrinsics`: fx, fy, cx, cy.

    `reach`: of `depth_slopes`; None for no slopes.
    """
    fx, fy, cx, cy = intrinsics
    rotation, translation = viewmat[:3, :3], viewmat[:3, 3]
    points = means @ rotation.T + translation
    turned = rotation @ axes(quats, scales)
    footprint = jacobian(points, fx, fy, width, height) @ turned
    unblurred, covariances, determinants = footprint_covariance(footprint)
    opacity = opacities[:, 0]
    if antialiasing:
        opacity = opacity * (unblurred / determinants).clamp(min=COMPENSATION_FLOOR).sqrt()
    colors = features if sh_degree is None else sh_color(features, means, camera_center(viewmat), sh_degree)
    z = points[:, 2]
    slopes = z.new_zeros(len(z), 2) if reach is None else depth_slopes(footprint, turned, covariances, z, reach)
    return Splats(project_points(points, fx, fy, cx, cy), covariances, determinants, opacity, colors, z, slopes)


def project_points(points: Tensor, fx: float, fy: float, cx: float, cy: float) -> Tensor:
    """The pinhole: (S, 3) in the camera's frame -> (S, 2) pixels."""
    x, y, z = points.unbind(-1)
    return torch.stack([fx * x / z + cx, fy * y / z + cy], dim=-1)


def jacobian(points: Tensor, fx: float, fy: float, width: int, height: int) -> Tensor:
    """(S, 2, 3) derivative of the pinhole at (x̃, ỹ, z), x̃ = z·clamp(x/z, ±1.3·W/(2fx)): far out it would explode."""
    x, y, z = points.unbind(-1)
    limit_x, limit_y = FRUSTUM_MARGIN * width / (2 * fx), FRUSTUM_MARGIN * height / (2 * fy)
    clamped_x = z * (x / z).clamp(-limit_x, limit_x)
    clamped_y = z * (y / z).clamp(-limit_y, limit_y)
    zero = torch.zeros_like(z)
    row_x = torch.stack([fx / z, zero, -fx * clamped_x / z**2], dim=-1)
    row_y = torch.stack([zero, fy / z, -fy * clamped_y / z**2], dim=-1)
    return torch.stack([row_x, row_y], dim=-2)


def axes(quats: Tensor, scales: Tensor) -> Tensor:
    """(S, 3, 3) with the Gaussian's axes as columns, each as long as its standard deviation: Σ = axes·axesᵀ."""
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    rotation = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    return rotation * scales[:, None, :]


def footprint_covariance(footprint: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """det(A·Aᵀ) (S,), A·Aᵀ + 0.3·I (S, 2, 2) and its determinant (S,), of A (S, 2, 3).

    By Lagrange's identity det(A·Aᵀ) = |a × b|² for A's rows a and b, which is as good for needles as for discs.
    """
    unblurred = torch.linalg.cross(footprint[:, 0], footprint[:, 1]).square().sum(dim=-1)
    covariance = footprint @ footprint.transpose(-1, -2)
    trace = covariance[:, 0, 0] + covariance[:, 1, 1]
    blurred = covariance + BLUR * torch.eye(2, dtype=footprint.dtype, device=footprint.device)
    return unblurred, blurred, unblurred + BLUR * trace + BLUR**2


def depth_reach(alpha_min: float) -> float:
    """Twice the standard deviations within which a splat is seen; 6.66 for an alpha_min of 1/255."""
    return max(6.66, 2 * math.sqrt(2 * math.log(1 / alpha_min)))


def depth_slopes(footprint: Tensor, axes: Tensor, covariances: Tensor, z: Tensor, reach: float) -> Tensor:
    """(S, 2) slopes h of the inverse depth over the pixels: 1/z_i = 1/z − h·(mean2d − pixel).

    Pixel and depth of a Gaussian are jointly normal. Their covariance c (S, 2) and that of the pixel say how the
    likeliest depth moves with the pixel: by g = Σ₂⁻¹·c. It is held where within the splat it could leave (z/2, ∞).
    """
    return covariance_slopes(footprint @ axes[:, 2, :, None], covariances, z, reach)


def covariance_slopes(c: Tensor, covariances: Tensor, z: Tensor, reach: float) -> Tensor:
    """`depth_slopes` of the covariances of pixel and depth, c (S, 2, 1), and of the pixel, (S, 2, 2)."""
    g = torch.linalg.solve(covariances, c)
    explained = (c * g).sum(dim=(1, 2))
    held = (z / (reach * explained.clamp(min=torch.finfo(z.dtype).tiny).sqrt())).clamp(max=1)
    return -(held / z**2)[:, None] * g[:, :, 0]


def camera_center(viewmat: Tensor) -> Tensor:
    """(3,) −Rᵀ·t."""
    return -viewmat[:3, :3].T @ viewmat[:3, 3]


def sh_color(shs: Tensor, means: Tensor, center: Tensor, degree: int) -> Tensor:
    """(S, 3): the SH series (S, K, 3) along the direction from the camera, + 0.5, not below 0."""
    offsets = means - center
    basis = sh_basis(offsets / offsets.norm(dim=-1, keepdim=True), degree)
    return ((basis[:, :, None] * shs[:, : basis.shape[1]]).sum(dim=1) + 0.5).clamp(min=0)


def sh_basis(directions: Tensor, degree: int) -> Tensor:
    """(S, (degree + 1)²) real spherical harmonics, Condon-Shortley phase; degree l, order m in column l²+l+m."""
    x, y, z = directions.unbind(-1)
    pi = math.pi
    columns = [torch.full_like(x, math.sqrt(1 / (4 * pi)))]
    if degree >= 1:
        c = math.sqrt(3 / (4 * pi))
        columns += [-c * y, c * z, -c * x]
    if degree >= 2:
        c = math.sqrt(15 / (4 * pi))
        columns += [
            c * x * y,
            -c * y * z,
            math.sqrt(5 / (16 * pi)) * (2 * z * z - x * x - y * y),
            -c * x * z,
            c / 2 * (x * x - y * y),
        ]
    if degree >= 3:
        c1, c2, c3 = math.sqrt(21 / (32 * pi)), math.sqrt(105 / (4 * pi)), math.sqrt(35 / (32 * pi))
        columns += [
            -c3 * y * (3 * x * x - y * y),
            c2 * x * y * z,
            -c1 * y * (4 * z * z - x * x - y * y),
            math.sqrt(7 / (16 * pi)) * z * (2 * z * z - 3 * x * x - 3 * y * y),
            -c1 * x * (4 * z * z - x * x - y * y),
            c2 / 2 * z * (x * x - y * y),
            -c3 * x * (x * x - 3 * y * y),
        ]
    return torch.stack(columns, dim=-1)


# ---- from splats to pixels


def pixel_samples(width: int, height: int, like: Tensor) -> Tensor:
    """(H·W, 2) where pixels are sampled, (j + 0.5, i + 0.5), row by row."""
    x = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5
    y = torch.arange(height, dtype=like.dtype, device=like.device) + 0.5
    return torch.stack([x.repeat(height), y.repeat_interleave(width)], dim=-1)


def splat_alphas(splats: Splats, samples: Tensor, alpha_max: float) -> Tensor:
    """(P, S) min(alpha_max, opacity·exp(−½·dᵀ·Σ₂⁻¹·d)), before anything is skipped."""
    dx, dy = (splats.means2d[None] - samples[:, None]).unbind(-1)
    xx, xy, yy = splats.covariances[:, 0, 0], splats.covariances[:, 0, 1], splats.covariances[:, 1, 1]
    squared_distance = (yy * dx**2 - 2 * xy * dx * dy + xx * dy**2) / splats.determinants
    return (splats.opacities * torch.exp(-0.5 * squared_distance)).clamp(max=alpha_max)


def blend_weights(alphas: Tensor, thresholds: Thresholds) -> tuple[Tensor, Tensor, Tensor]:
    """The weights w = α·T (P, S) of splats near first, T_end (P,), and which alphas were not skipped (P, S).

    Light only gets less from splat to splat, so "T·(1 − α) is still enough" also says that nothing before ended the
    pixel.
    """
    kept = alphas >= thresholds.alpha_min
    alphas = torch.where(kept, alphas, 0)
    light = torch.cat([alphas.new_ones(len(alphas), 1), 1 - alphas], dim=1).cumprod(dim=1)
    seen = kept & (light[:, 1:] >= thresholds.transmittance_min)
    weights = torch.where(seen, alphas * light[:, :-1], 0)
    return weights, torch.where(seen, 1 - alphas, 1).prod(dim=1), kept


def pair_depths(splats: Splats, samples: Tensor, counted: Tensor) -> Tensor:
    """(P, S) depths of the splats at the pixels; the center's where they are not `counted` (P, S)."""
    shift = ((splats.means2d[None] - samples[:, None]) * splats.slopes[None]).sum(dim=-1)
    return splats.depths / (1 - splats.depths * torch.where(counted, shift, 0))


def render_pixels(
    splats: Splats,
    samples: Tensor,
    measured: Tensor,
    background: Tensor,
    distortion_space: str,
    distortion_gap: float,
    sensor_limit: float,
    thresholds: Thresholds,
) -> Pixels:
    """The images at `samples` (P, 2), where a sensor measured the depths `measured` (P,), 0 for none."""
    alphas = splat_alphas(splats, samples, thresholds.alpha_max)
    weights, light_end, kept = blend_weights(alphas, thresholds)
    z = pair_depths(splats, samples, weights > 0)
    m = z if distortion_space == "linear" else 1 / z
    alpha = weights.sum(dim=1)
    known = measured > 0
    depth_there = torch.where(known, measured, 1)
    measure_there = depth_there if distortion_space == "linear" else 1 / depth_there
    center = torch.where(known[:, None], measure_there[:, None], surface_means(weights, m, distortion_gap))
    limit = torch.where(known, torch.full_like(alpha, sensor_limit**2), math.inf)
    spread = weights * torch.minimum((m - center) ** 2, limit[:, None])
    color = weights @ splats.colors + light_end[:, None] * background
    inv_depth, depth = (weights / z).sum(dim=1), (weights * z).sum(dim=1)
    median = median_depths(weights, z)
    return Pixels(color, inv_depth, depth, alpha, spread.sum(dim=1), median, weights, spread, kept.any(dim=0))


def surface_means(weights: Tensor, measures: Tensor, gap: float) -> Tensor:
    """(P, S) for each splat the mean measure of the surface that it belongs to."""
    labels = surface_labels(weights, measures, gap)
    means = torch.zeros_like(measures)
    tiny = torch.finfo(weights.dtype).tiny  # below, a division would be noise, and its derivative infinite
    for surface in range(1 if gap == math.inf else SURFACES):
        here = labels == surface
        total = torch.where(here, weights, 0).sum(dim=1)
        mean = torch.where(here, weights * measures, 0).sum(dim=1) / torch.where(total > tiny, total, 1)
        means = torch.where(here, mean[:, None], means)
    return means


@torch.no_grad()
def surface_labels(weights: Tensor, measures: Tensor, gap: float) -> Tensor:
    """(P, S) which surface of the pixel each splat belongs to, counted from near to far.

    A splat begins the next where it differs from the mean of the surface so far by more than `gap` times the measure of
    that surface's first splat.
    """
    if gap == math.inf:
        return torch.zeros(weights.shape, dtype=torch.long, device=weights.device)
    pixels, splats = weights.shape
    label, labels = torch.zeros(pixels, dtype=torch.long, device=weights.device), []
    total, moment, first = (weights.new_zeros(pixels) for _ in range(3))
    for i in range(splats):
        w, m = weights[:, i], measures[:, i]
        mean = moment / torch.where(total > 0, total, 1)
        begins = (w > 0) & (total > 0) & ((m - mean).abs() > gap * first) & (label < SURFACES - 1)
        label = label + begins.long()
        total, moment = torch.where(begins, 0, total), torch.where(begins, 0, moment)
        first = torch.where((total == 0) & (w > 0), m, first)
        total, moment = total + w, moment + w * m
        labels.append(label)
    return torch.stack(labels, dim=1) if labels else label.new_zeros(weights.shape)


@torch.no_grad()
def median_depths(weights: Tensor, depths: Tensor) -> Tensor:
    """(P,) the depth of the splat with which the weights reach a half; 0 where they do not."""
    reached = weights.cumsum(dim=1) >= 0.5
    first = reached & (reached.cumsum(dim=1) == 1)
    return torch.where(first, depths, 0).sum(dim=1)


# ---- what each Gaussian did


@torch.no_grad()
def gather_statistics(parts: list[Pixels], order: Tensor, n: int) -> Statistics:
    """Sums and maxima over all pixels; 0 for Gaussians that were not drawn."""
    weights = torch.cat([part.weights for part in parts])
    spread = torch.cat([part.spread for part in parts])
    everyone = [weights.new_zeros(n) for _ in range(3)]
    for values, of_splats in zip(everyone, (weights.sum(dim=0), weights.amax(dim=0), spread.sum(dim=0)), strict=True):
        values[order] = of_splats
    return Statistics(*everyone)


@torch.no_grad()
def splat_radii(splats: Splats, touched: Tensor, alpha_min: float) -> Tensor:
    """(S,) int32 pixels: how far from its mean a splat can reach alpha_min; 0 if no pixel was touched."""
    standard_deviations = torch.sqrt(2 * torch.log(splats.opacities / alpha_min)) if alpha_min > 0 else math.inf
    widest = torch.linalg.eigvalsh(splats.covariances)[:, -1].sqrt()
    radius = torch.ceil(standard_deviations * widest).nan_to_num(0).clamp(1, 1 << 30)
    return torch.where(touched, radius, 0).to(torch.int32)

"""What a training step minimises: the terms of a rendered photo, each a scalar without its weight, and the weights.

Lengths are taken in scene extents, so that no weight depends on the unit of the scene.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from arguments import DepthOptions, OptimizationOptions, RegularizerOptions, extension
from arguments.loss_groups import USUAL_SENSOR
from diff_gaussian_rasterization import RasterOutput
from gaussian_renderer import RenderSettings, SensorDepth
from scene.gaussians.model import Gaussians
from scene.loading.image_cache import LoadedView
from scene.types import Camera
from utils.losses import regularizers
from utils.losses.depth import LOSSES, depth_loss, edge_weight, loss_mask, mip_variance, parse_losses
from utils.losses.photometric import photometric
from utils.losses.sensor import distance_to_sensor, sensor_depth
from utils.losses.slopes import slope_consistency
from utils.losses.thickness import thickness
from utils.schedules import REFERENCE_ITERATIONS, Schedule, parse_schedule, schedule_table, telling_iterations

FLAGS = {  # term -> the setting that is its weight
    "distortion": "lambda_dist",
    "sensor": "lambda_sensor",
    "normal": "lambda_normal",
    "thickness": "lambda_thickness",
    "erank": "lambda_erank",
    "ray": "lambda_ray",
    "alpha": "lambda_alpha",
    "opacity": "lambda_opacity",
    "scale": "lambda_scale",
}


OF_DISTORTION = ("lambda_dist", "distortion", "dist_scale", "dist_gap")


class DepthTerm(NamedTuple):
    """A part of --depth_loss."""

    name: str  # of the depth loss
    factor: float  # in the sum
    options: Any  # an instance of what the loss declares; None where it declares none


class SensorMap(NamedTuple):
    """What a photo's depth sensor knows, (1,H,W) each."""

    depth: Tensor  # world units, 0 where splats are not held against it
    elsewhere: Tensor  # the weight of those pixels, the photo's mask in it


@dataclass(frozen=True)
class Loss:
    """The loss of a run: which terms it has, and how their weights move."""

    optimization: OptimizationOptions
    options: DepthOptions
    regularizers: RegularizerOptions
    extent: float  # of the scene, world units
    schedules: dict[str, Schedule]  # by setting: those of `of`, and depth_l1_weight
    depth_losses: dict[str, DepthTerm]  # by term
    usual: Mapping[str, float] = field(default_factory=dict)  # term -> its weight, where the options leave it open
    maps: dict[tuple[str, int], dict[str, Tensor]] = field(default_factory=dict)  # by photo: see _of_the_map
    sensors: dict[tuple[str, int], SensorMap] = field(default_factory=dict)  # by photo: see _sensor_map
    photos_kept: int = 0  # of how many photos `maps` and `sensors` are kept; 0: all

    @classmethod
    def of(
        cls,
        optimization: OptimizationOptions,
        depth: DepthOptions,
        regularizers: RegularizerOptions,
        extensions: Mapping[str, Any],
        *,
        iterations: int,
        extent: float,
        usual: Mapping[str, float] | None = None,
        photos_kept: int = 0,
        depth_along_rays: bool = True,
    ) -> Loss:
        """The loss that the settings of a run of `iterations` describe; `extensions` has the depth losses' own options.

        `usual`: term -> its weight where the options leave it open, else 0; that of the sensor: see `sensor_weight`.
        UserError for a schedule or a sum of depth losses that cannot be read.
        """
        knots = {
            "lambda_dist": regularizers.lambda_dist,
            "lambda_sensor": sensor_weight(regularizers, depth_along_rays),
            "lambda_normal": regularizers.lambda_normal,
            "lambda_thickness": regularizers.lambda_thickness,
            "lambda_erank": regularizers.lambda_erank,
            "lambda_ray": regularizers.lambda_ray,
            "depth_l1_mult": depth.depth_l1_mult,
        }
        factor = iterations / REFERENCE_ITERATIONS
        schedules = {name: parse_schedule(text, name).scaled(factor) for name, text in knots.items()}
        ends = ((0.0, depth.depth_l1_weight_init), (float(iterations), depth.depth_l1_weight_final))
        schedules["depth_l1_weight"] = Schedule("depth_l1_weight", ends, "log")
        terms = depth_terms(depth.depth_loss, extensions)
        return cls(optimization, depth, regularizers, extent, schedules, terms, usual or {}, photos_kept=photos_kept)

    @property
    def flags(self) -> dict[str, str]:
        """Term -> the setting that is its weight."""
        return FLAGS | dict.fromkeys(self.depth_losses, "depth_l1_weight_init")

    def weights(self, iteration: int) -> dict[str, float]:
        """Term -> its weight at a step."""
        at = {name: schedule.at(iteration) for name, schedule in self.schedules.items()}
        dssim = self.optimization.lambda_dssim
        depth = at["depth_l1_weight"] * at["depth_l1_mult"]
        return {
            "l1": 1 - dssim,
            "dssim": dssim,
            **{term: each.factor * depth for term, each in self.depth_losses.items()},
            "distortion": at["lambda_dist"],
            "sensor": at["lambda_sensor"],
            "normal": at["lambda_normal"],
            "thickness": at["lambda_thickness"],
            "erank": at["lambda_erank"],
            "ray": at["lambda_ray"],
            "alpha": self.regularizers.lambda_alpha,
            "opacity": self._given_or_usual("opacity", self.regularizers.lambda_opacity),
            "scale": self._given_or_usual("scale", self.regularizers.lambda_scale),
        }

    def drawn(self, settings: RenderSettings, weights: Mapping[str, float]) -> RenderSettings:
        """`settings` with all that the terms that have a weight look at."""
        by_gap = self.regularizers.distortion == "gap" and weights["distortion"] > 0
        gap = self.regularizers.dist_gap if by_gap else math.inf
        slope, variance = weights["normal"] > 0, weights["thickness"] > 0
        if (settings.distortion_gap, settings.depth_slope, settings.ray_variance) == (gap, slope, variance):
            return settings  # as they mostly are: `replace` costs a step 10 µs
        return replace(settings, distortion_gap=gap, depth_slope=slope, ray_variance=variance)

    def _given_or_usual(self, term: str, given: float | None) -> float:
        return self.usual.get(term, 0.0) if given is None else given

    def terms(
        self,
        output: RasterOutput,
        photo: LoadedView,
        background: Tensor,
        gaussians: Gaussians,
        weights: dict[str, float],
    ) -> dict[str, Tensor]:
        """The terms that have a weight, for a photo rendered before `background`, as `drawn` says, by its `sensor`."""
        of_image = self.image_terms(output, photo, background, weights)
        center = partial(photo.center, gaussians.means)
        return in_order(of_image | self.row_terms(gaussians, output.radii > 0, center, weights))

    def image_terms(
        self, output: RasterOutput, photo: LoadedView, background: Tensor, weights: dict[str, float]
    ) -> dict[str, Tensor]:
        """Those of what a photo's rendering shows."""
        terms = photometric(self._amplified(output.color), self._amplified(photo.over(background)), photo.mask)
        if photo.depth is not None and any(weights[term] > 0 for term in self.depth_losses):
            terms |= self.depth(output, photo)
        sensor = self._sensor_map(photo, weights)
        if sensor is not None:
            terms["sensor"] = distance_to_sensor(output.distortion, sensor.depth, self.extent, photo.mask)
        if weights["distortion"] > 0:
            mask = photo.mask if sensor is None else sensor.elsewhere
            terms["distortion"] = self.distortion(output, mask, weights["distortion"])
        if weights["normal"] > 0:
            assert output.depth_slope is not None
            focal = (photo.camera.fx, photo.camera.fy)
            images = output.inv_depth, output.alpha, output.depth_slope
            terms["normal"] = slope_consistency(*images, focal, photo.over(background), photo.mask)
        if weights["thickness"] > 0:
            assert output.features is not None
            terms["thickness"] = thickness(output.features, output.alpha, self.extent, photo.mask)
        if weights["alpha"] > 0 and photo.alpha is not None:
            terms["alpha"] = regularizers.alpha(output.alpha, photo.alpha)
        return terms

    def _amplified(self, image: Tensor) -> Tensor:
        """As it would be of a photo with more contrast (scene.contrast)."""
        gain = self.optimization.contrast_gain or 1.0
        return image if gain == 1 else gain * image

    def row_terms(
        self,
        gaussians: Gaussians,
        visible: Tensor,
        center: Callable[[], Tensor],
        weights: dict[str, float],
        *,
        seen_here: float = 1.0,
        owned_here: float = 1.0,
    ) -> dict[str, Tensor]:
        """Those of the Gaussians themselves, of which some are `visible`, (N,) bool, from a camera at `center`.

        Where the cloud is sharded these are parts of a mean over all ranks: `seen_here` and `owned_here` are the rank's
        shares of all that are seen and of all.
        """
        terms = {}
        if weights["erank"] > 0:
            terms["erank"] = seen_here * regularizers.effective_rank(
                gaussians.scales, visible, self.regularizers.erank_min
            )
        if weights["ray"] > 0:
            terms["ray"] = seen_here * regularizers.ray_direction(
                gaussians.means,
                gaussians.activated_scales,
                gaussians.quats,
                center(),
                visible,
                self.regularizers.ray_ratio_max,
            )
        if weights["opacity"] > 0:
            terms["opacity"] = owned_here * regularizers.opacity(gaussians.activated_opacities)
        if weights["scale"] > 0:
            terms["scale"] = owned_here * regularizers.scale(gaussians.activated_scales, self.extent)
        return terms

    def distortion(self, output: RasterOutput, mask: Tensor | None, weight: float) -> Tensor:
        """The distortion's term, which will have this weight; `mask`, (1,H,W) in [0,1]: of these pixels alone.

        What lies far apart is pulled together by weight·s²/D: with s² falling as the weight grows, never harder than
        with a weight of 1. A weight of 10 would outweigh the photos wherever depths are not known yet.
        """
        by_log = self.regularizers.distortion == "log"
        scale = self.regularizers.dist_scale / math.sqrt(max(1.0, weight)) if by_log else 0.0
        return regularizers.distortion(output.distortion, output.alpha, self.extent, mask, scale)

    def sensor(self, photo: LoadedView, weights: dict[str, float]) -> SensorDepth | None:
        """What the photo's splats are held against; None where it has no depth map or the term has no weight."""
        made = self._sensor_map(photo, weights)
        return None if made is None else SensorDepth(made.depth, self.regularizers.sensor_limit * self.extent)

    def _sensor_map(self, photo: LoadedView, weights: dict[str, float]) -> SensorMap | None:
        """Made once for each photo and size."""
        if weights["sensor"] == 0 or photo.depth is None or not photo.depth_measured:
            return None
        key = photo.camera.name, photo.camera.width
        if key not in self.sensors:
            usable_depth = loss_mask(photo.depth / self.extent, photo.depth_valid, self.depth_max)
            depth = sensor_depth(photo.depth, usable_depth > 0)
            unknown = (depth == 0).to(depth.dtype)
            self._make_room(self.sensors)
            self.sensors[key] = SensorMap(depth, unknown if photo.mask is None else unknown * photo.mask)
        return self.sensors[key]

    def depth(self, output: RasterOutput, photo: LoadedView) -> dict[str, Tensor]:
        """The depth losses by term, with depth in scene extents. Where nothing is rendered no depth is compared.

        Inverse depth is taken over alpha as depth is: else what is seen through to 1 % looks 1 % too far, and is pulled
        nearer than the map says. So the kitchen's held-out depth was off by 3.2 cm in the median, and is by 1.4.
        """
        assert photo.depth is not None and photo.depth_valid is not None
        images = output.depth, output.inv_depth, photo.depth, photo.depth_valid
        known: dict[str, Any] = dict(alpha=output.alpha, unit=self.extent, depth_max=self.depth_max)
        known |= dict(intrinsics=_intrinsics(photo.camera), **self._of_the_map(photo))
        if photo.mask is not None:
            known["weight"] = photo.mask[0] * known["weight"] if "weight" in known else photo.mask
        return {
            term: depth_loss(each.name, *images, options=each.options, **known)
            for term, each in self.depth_losses.items()
        }

    def _make_room(self, kept: dict[tuple[str, int], Any]) -> None:
        if 0 < self.photos_kept <= len(kept):
            del kept[next(iter(kept))]

    @property
    def depth_max(self) -> float:
        """Beyond which depth is not used, in scene extents."""
        limit = self.options.depth_max
        return math.inf if limit is None else limit / self.extent

    def _of_the_map(self, photo: LoadedView) -> dict[str, Tensor]:
        """What a depth loss wants to know of the map alone, made once for each photo and size."""
        assert photo.depth is not None
        key, options = (photo.camera.name, photo.camera.width), self.options
        if key not in self.maps:
            made = {}
            mip = [each.options for each in self.depth_losses.values() if LOSSES[each.name].frustums]
            if options.depth_edge_weight > 0 or mip:
                target = photo.depth / self.extent
                usable_depth = loss_mask(target, photo.depth_valid, self.depth_max)
            if options.depth_edge_weight > 0:
                made["weight"] = edge_weight(target, usable_depth, options.depth_edge_weight)
            if mip:
                made["variance"] = mip_variance(target, usable_depth, _intrinsics(photo.camera), mip[0])
            self._make_room(self.maps)
            self.maps[key] = made
        return self.maps[key]


def sensor_weight(regularizers: RegularizerOptions, depth_along_rays: bool) -> str:
    """The schedule of --lambda_sensor. Where that is left open it is the usual one for depths along rays, for which the
    term is made, unless a distortion is asked for: that would lose the pixels whose depth is known.
    """
    if regularizers.lambda_sensor is not None:
        return regularizers.lambda_sensor
    usual = RegularizerOptions()
    asked = any(getattr(regularizers, name) != getattr(usual, name) for name in OF_DISTORTION)
    return USUAL_SENSOR if depth_along_rays and not asked else "0"


def in_order(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """In the order in which they are added up."""
    last = ("alpha", "opacity", "scale")
    names = [name for name in terms if name not in last] + [name for name in last if name in terms]
    return {name: terms[name] for name in names}


def depth_terms(text: str, extensions: Mapping[str, Any]) -> dict[str, DepthTerm]:
    """By term: `depth` for a loss alone, as it was before there were sums, else depth_<name> for each."""
    losses = parse_losses(text, "--depth_loss")
    terms = [DepthTerm(name, factor, _declared(name, extensions)) for name, factor in losses.items()]
    return {"depth" if len(terms) == 1 else f"depth_{each.name}": each for each in terms}


def _declared(name: str, extensions: Mapping[str, Any]) -> Any:
    """The options of the depth loss `name`; None where it declares none."""
    group = LOSSES[name].options
    return None if group is None else extension(group, extensions, "the settings")


def schedule_text(loss: Loss, iterations: int) -> str:
    """What --print_schedule says of a run of `iterations`."""
    schedules = list(loss.schedules.values())
    return schedule_table(schedules, telling_iterations(schedules, iterations))


def _intrinsics(camera: Camera) -> tuple[float, float, float, float]:
    return camera.fx, camera.fy, camera.cx, camera.cy

"""Seeded random scenes for the rasterizer's tests, and the few lines that render and differentiate them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from diff_gaussian_rasterization import RasterOutput
from diff_gaussian_rasterization.reference import Splats, depth_order, depth_reach, project_gaussians

IMAGES = ("color", "inv_depth", "depth", "alpha", "distortion")
KINDS = ("ordinary", "behind", "border", "beyond", "opaque", "needle", "tiny", "huge")
CAMERA_TENSORS = ("viewmat", "background", "sensor_depth")

Rasterizer = Callable[..., RasterOutput]


@dataclass(frozen=True)
class RasterScene:
    """The arguments of `rasterize`: its tensors, float64 but with values that float32 holds too, and all the rest."""

    name: str
    tensors: dict[str, Tensor]
    settings: dict[str, Any]

    def __len__(self) -> int:
        return len(self.tensors["means"])

    def with_settings(self, **settings: Any) -> RasterScene:
        return replace(self, settings={**self.settings, **settings})

    def with_tensors(self, **tensors: Tensor) -> RasterScene:
        return replace(self, tensors={**self.tensors, **tensors})

    def rows(self, index: Tensor | list[int]) -> RasterScene:
        """The scene of these Gaussians alone, in this order."""
        camera = {name: tensor for name, tensor in self.tensors.items() if name in CAMERA_TENSORS}
        return replace(self, tensors={**{name: t[index] for name, t in self.gaussians().items()}, **camera})

    def gaussians(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in self.tensors.items() if name not in CAMERA_TENSORS}

    def leaves(self, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
        return {name: tensor.detach().to(dtype).clone().requires_grad_() for name, tensor in self.tensors.items()}

    def render(self, rasterizer: Rasterizer, dtype: torch.dtype = torch.float64, **settings: Any) -> RasterOutput:
        """The images, without a graph."""
        with torch.no_grad():
            tensors = {name: tensor.to(dtype) for name, tensor in self.tensors.items()}
            return rasterizer(**tensors, **{**self.settings, **settings})


def uniform(rng: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=rng, dtype=torch.float64)


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def log_uniform(rng: torch.Generator, *shape: int, low: float, high: float) -> Tensor:
    return torch.exp(uniform(rng, *shape, low=math.log(low), high=math.log(high)))


def random_viewmat(rng: torch.Generator, distance: float = 3.0) -> Tensor:
    """(4, 4) world to camera: any rotation, the center within a few `distance`s of the world's origin."""
    rotation, _ = torch.linalg.qr(normal(rng, 3, 3))
    viewmat = torch.eye(4, dtype=torch.float64)
    viewmat[:3, :3] = rotation * torch.linalg.det(rotation).sign()
    viewmat[:3, 3] = normal(rng, 3) * distance
    return viewmat


def random_camera(rng: torch.Generator, width: int, height: int) -> dict[str, float | int]:
    """Intrinsics with unequal focal lengths and a principal point well off the center."""
    focal = float(uniform(rng, 1, low=0.6, high=1.4)) * width
    shift = uniform(rng, 2, low=-0.3, high=0.3)
    return {
        "fx": focal,
        "fy": focal * float(uniform(rng, 1, low=0.8, high=1.25)),
        "cx": width * (0.5 + float(shift[0])),
        "cy": height * (0.5 + float(shift[1])),
        "width": width,
        "height": height,
    }


def random_scene(
    seed: int,
    n: int = 80,
    width: int = 40,
    height: int = 30,
    kinds: Sequence[str] = KINDS,
    sh_degree: int | None = 3,
    move: bool = True,
    channels: int = 3,
    **settings: Any,
) -> RasterScene:
    """Gaussians of several kinds, placed by what the camera sees of them; `sh_degree` None: colors of `channels`.

    Pixel sizes and slopes are chosen first, world sizes and positions follow from them.
    """
    rng = torch.Generator().manual_seed(seed)
    camera = random_camera(rng, width, height)
    kind = torch.randint(len(kinds), (n,), generator=rng)

    def which(name: str) -> Tensor:
        return kind == kinds.index(name) if name in kinds else torch.zeros(n, dtype=torch.bool)

    depth = log_uniform(rng, n, low=1.0, high=10.0)
    pixel = uniform(rng, n, 2, low=-0.1, high=1.1) * torch.tensor([width, height])
    size = log_uniform(rng, n, 1, low=0.4, high=5.0) * log_uniform(rng, n, 3, low=0.6, high=1.6)  # pixels
    opacity = torch.sigmoid(2 * normal(rng, n))

    focal = torch.tensor([camera["fx"], camera["fy"]])
    slope = (pixel - torch.tensor([camera["cx"], camera["cy"]])) / focal
    half_view = torch.tensor([width, height]) / (2 * focal)
    sign = torch.randint(0, 2, (n, 2), generator=rng) * 2.0 - 1.0
    border, beyond = which("border")[:, None], which("beyond")[:, None]
    slope = torch.where(border, sign * half_view * uniform(rng, n, 2, low=0.9, high=1.7), slope)
    slope = torch.where(beyond, sign * half_view * uniform(rng, n, 2, low=2.0, high=20.0), slope)
    size = torch.where(border | beyond, size * 3, size)
    needle, thin = which("needle")[:, None], torch.tensor([8.0, 0.02, 0.02])
    size = torch.where(needle, size * thin, size)
    size = torch.where(which("tiny")[:, None], size * 0.01, size)
    size = torch.where(which("huge")[:, None], size * log_uniform(rng, n, 1, low=5.0, high=40.0), size)
    opacity = torch.where(which("opaque"), uniform(rng, n, low=0.97, high=0.9999), opacity)
    scales = size * depth[:, None] / camera["fx"]
    depth = torch.where(which("behind"), uniform(rng, n, low=-5.0, high=0.19), depth)

    points = torch.cat([slope * depth[:, None], depth[:, None]], dim=1)
    viewmat = random_viewmat(rng) if move else torch.eye(4, dtype=torch.float64)
    tensors = {
        "means": (points - viewmat[:3, 3]) @ viewmat[:3, :3],
        "scales": scales,
        "quats": normal(rng, n, 4) * log_uniform(rng, n, 1, low=0.3, high=3.0),
        "opacities": opacity[:, None],
        "viewmat": viewmat,
        "background": uniform(rng, channels),
    }
    if sh_degree is None:
        tensors["colors"] = uniform(rng, n, channels)
    else:
        tensors["shs"] = normal(rng, n, (sh_degree + 1) ** 2, 3) * 0.4
        settings["sh_degree"] = sh_degree
    tensors = {name: tensor.float().double() for name, tensor in tensors.items()}
    return RasterScene(f"seed {seed}", tensors, {**camera, **settings})


def varied_scene(seed: int) -> RasterScene:
    """One of a family that walks through spaces, antialiasing, SH degrees, colors, sizes, depths, gaps and sensors."""
    sizes = [(40, 30), (33, 50), (17, 16), (64, 9)]
    width, height = sizes[seed % len(sizes)]
    scene = random_scene(
        seed,
        n=(100, 40, 70, 20, 130, 6, 50)[seed % 7],
        width=width,
        height=height,
        sh_degree=(3, 0, None, 2, 1)[seed % 5],
        distortion_space=("linear", "inverse")[seed % 2],
        antialiasing=seed // 2 % 2 == 1,
        depth_model="ray" if seed % 3 else "center",
        distortion_gap=0.1 if seed % 5 == 3 and seed % 7 != 5 else math.inf,  # of six Gaussians none are close
    )
    return with_sensor(scene, seed) if seed % 3 == 2 else scene


def with_sensor(scene: RasterScene, seed: int) -> RasterScene:
    """The scene with depths as a sensor might have measured them, and holes where it did not."""
    rng = torch.Generator().manual_seed(seed)
    shape = (1, scene.settings["height"], scene.settings["width"])
    depth = log_uniform(rng, *shape, low=1.0, high=10.0) * (uniform(rng, *shape) > 0.3)
    limit = 0.25 if scene.settings.get("distortion_space") == "inverse" else 2.0
    return scene.with_tensors(sensor_depth=depth.float().double()).with_settings(sensor_limit=limit)


def random_cotangents(output: RasterOutput, seed: int, images: Sequence[str] = IMAGES) -> dict[str, Tensor]:
    """Incoming gradients in float64: normal, and divided by the image's size so that none drowns the others."""
    rng = torch.Generator().manual_seed(seed)
    everything = {name: normal(rng, *getattr(output, name).shape) for name in IMAGES}
    return {name: everything[name] / getattr(output, name).double().abs().max().clamp(min=1e-6) for name in images}


def forward(
    rasterizer: Rasterizer, scene: RasterScene, dtype: torch.dtype = torch.float64
) -> tuple[RasterOutput, dict[str, Tensor]]:
    """The output, and by name what it can be differentiated by: every tensor, and means2d."""
    leaves = scene.leaves(dtype)
    output = rasterizer(**leaves, **scene.settings)
    return output, {**leaves, "means2d": output.means2d}


def backward(output: RasterOutput, cotangents: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradients of Σ cotangent·image by `inputs`; zeros for an input that these images do not see."""
    images = [getattr(output, name) for name in cotangents]
    incoming = [cotangent.to(images[0].dtype) for cotangent in cotangents.values()]
    found = torch.autograd.grad(images, list(inputs.values()), incoming, materialize_grads=True)
    return dict(zip(inputs, found, strict=True))


def gradients(
    rasterizer: Rasterizer, scene: RasterScene, cotangents: dict[str, Tensor], dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Both steps at once."""
    output, inputs = forward(rasterizer, scene, dtype)
    return backward(output, cotangents, inputs)


def reference_splats(
    tensors: dict[str, Tensor], settings: dict[str, Any], reach: float | None = None
) -> tuple[Tensor, Splats]:
    """The indices of the Gaussians that the reference draws, near first, and what it makes of them.

    `reach`: instead of that which depths along rays have.
    """
    if reach is None and settings.get("depth_model") == "ray":
        reach = depth_reach(settings["thresholds"].alpha_min if "thresholds" in settings else 1 / 255)
    everyone = torch.ones(len(tensors["means"]), dtype=torch.bool)
    order = depth_order(tensors["means"], tensors["viewmat"], settings.get("near", 0.2), everyone)
    features = tensors["shs"] if "shs" in tensors else tensors["colors"]
    gaussians = [tensors[name][order] for name in ("means", "scales", "quats", "opacities")]
    gaussians[1] = gaussians[1] * settings.get("scale_modifier", 1.0)
    intrinsics = (settings["fx"], settings["fy"], settings["cx"], settings["cy"])
    return order, project_gaussians(
        *gaussians, features[order], tensors["viewmat"], intrinsics, settings["width"], settings["height"],
        settings.get("sh_degree", 0) if "shs" in tensors else None, settings.get("antialiasing", False), reach,
    )  # fmt: skip

"""The settings of a run, a group per stage. Names and defaults are graphdeco's where it has the setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast, get_type_hints

from arguments.fields import Group, build
from utils.losses.depth import LOSSES, NAMES, parse_losses
from utils.options import option


@dataclass(frozen=True)
class ModelOptions:
    """Input and output"""

    source_path: str = option("", "folder of the dataset, which is only read", "-s")
    model_path: str = option(
        "", "folder of the model: receives everything the run writes", "-m", follows="output/<name of the dataset>"
    )
    images: str = option(
        "images",
        "folder of the photos inside a COLMAP dataset; name another one for photos that were resized beforehand",
        "-i",
    )
    depths: str = option(
        "",
        "folder of the depth maps inside the dataset; name it if it is not found, or give none to train without depth",
        "-d",
        follows="depth or depths, where the scene has one",
    )
    depth_scale: float | None = option(
        None,
        "length of one step of a depth map, in scene units; give it if the detected unit is wrong",
        minimum=0,
        follows="detected from the points of the scene, or by comparing views",
    )
    resolution: int = option(
        -1,
        "size of the photos in training: 1, 2, 4 or 8 divides it, a larger number is the width in pixels, -1 limits "
        "the width to 1600 pixels; choose a smaller size to save memory and time",
        "-r",
        minimum=-1,
    )
    white_background: bool = option(
        False, "renders over white instead of black; use it for object photos that are to be shown on white", "-w"
    )
    eval: bool = option(False, "holds out every 8th photo, sorted by name, as test views that are never trained on")
    test_images: tuple[str, ...] = option(
        (), "names of photos that are held out as test views instead of every 8th; implies --eval"
    )
    sh_degree: int = option(
        3,
        "highest degree of the spherical harmonics, 0 to 3; a lower one makes smaller files and colors that change "
        "less with the view",
        minimum=0,
        maximum=3,
    )
    data_device: str = option(
        "cpu",
        "memory that keeps the decoded photos: cpu is that of the host, cuda is that of the GPU that trains; "
        "choose cuda if all photos fit there",
        choices=("cpu", "cuda"),
    )

    def scene_arguments(self) -> dict[str, Any]:
        """The keyword arguments that `scene.load_scene` takes."""
        return dict(
            images=self.images,
            depths=self.depths,
            depth_scale=self.depth_scale,
            resolution=self.resolution,
            eval_split=self.eval,
            test_images=self.test_images,
            white_background=self.white_background,
        )


@dataclass(frozen=True)
class PipelineOptions:
    """Rendering"""

    antialiasing: bool = option(
        False,
        "renders with the Mip-Splatting filter, which dims splats thinner than a pixel instead of widening them; "
        "use it to render at other resolutions than those of the photos",
    )


DEVICE_HELP = "device that computes: cpu, cuda or cuda:<number>"
BEST_DEVICE = "cuda if a GPU works, else cpu"


@dataclass(frozen=True)
class RunOptions:
    """Run"""

    iterations: int = option(30_000, "number of training steps; a few thousand give a preview", minimum=1)
    device: str = option("", DEVICE_HELP, follows=BEST_DEVICE)
    seed: int = option(
        0, "seed of all random numbers of the run; the same seed gives the same bytes on the same machine", minimum=0
    )
    test_iterations: tuple[int, ...] = option(
        (7_000, 30_000), "steps after which the test views are measured; they are always measured at the end"
    )
    save_iterations: tuple[int, ...] = option(
        (7_000, 30_000), "steps after which point_cloud.ply is written; it is always written at the end"
    )
    checkpoint_iterations: tuple[int, ...] = option(
        (), "steps after which a checkpoint chkpnt<N>.pth is written, from which training can continue"
    )
    start_checkpoint: str = option(
        "", "checkpoint file that training starts from, with the settings of the command line"
    )
    resume: bool = option(
        False, "continues the run in the model folder from its newest checkpoint, with the settings stored there"
    )
    overwrite: bool = option(False, "deletes the run that the model folder holds, and starts again")
    quiet: bool = option(False, "prints nothing but errors")
    verbose: bool = option(
        False,
        "prints the number of Gaussians that each densification and pruning rule changed; "
        "metrics.jsonl has these numbers in any case",
    )
    print_schedule: bool = option(
        False, "prints how the scheduled weights change over the run, and exits without training"
    )
    audit_gradients: bool = option(
        False,
        "prints the gradient of each loss term by each parameter every 500 steps; use it to see which term dominates",
    )
    detect_anomaly: bool = option(
        False, "makes autograd name the operation that produced a NaN; several times slower, for debugging"
    )


@dataclass(frozen=True)
class OptimizationOptions:
    """Photometric loss and learning rates"""

    lambda_dssim: float = option(
        0.2, "weight of 1 - SSIM in the photometric loss, 0 to 1; L1 has the remaining weight", minimum=0, maximum=1
    )
    coarse_until_iter: int = option(
        0, "step before which photos are used at half size; a higher one saves time and costs quality", minimum=0
    )
    random_background: bool = option(
        False,
        "trains over a new random background color in each step; use it for photos with alpha that are to be shown "
        "on any background",
    )
    position_lr_init: float = option(
        1.6e-4, "learning rate of the means at the first step, in scene extents per step", minimum=0
    )
    position_lr_final: float = option(
        1.6e-6,
        "learning rate of the means at the last step, in scene extents per step; log-linear in between",
        minimum=0,
    )
    position_lr_max_steps: int | None = option(
        None, "number of steps over which the learning rate of the means decays", minimum=1, follows="--iterations"
    )
    feature_lr: float = option(
        0.0025, "learning rate of the color, SH degree 0; higher degrees use 1/20 of it", minimum=0
    )
    opacity_lr: float = option(0.025, "learning rate of the opacities, in logits per step", minimum=0)
    scaling_lr: float = option(0.005, "learning rate of the scales, in natural logarithms per step", minimum=0)
    rotation_lr: float = option(0.001, "learning rate of the rotations, in units of the quaternion per step", minimum=0)
    optimizer_type: str = option(
        "default",
        "optimizer: default is Adam over all Gaussians, sparse_adam updates only Gaussians visible in the step, "
        "which saves time and costs quality",
        choices=("default", "sparse_adam"),
    )


SCHEDULE = "a number, or knots step:value of a run of 30000 steps, which scale with --iterations"
DEPTH_LOSSES = (
    "depth loss that compares rendered depth Z with the depth map's Z*: a name, or a weighted sum such as "
    "ssi+0.5*silog+0.4*grad, whose parts are logged as depth_<name>; choose ssi for maps of unknown scale and shift; "
    + "; ".join(f"{name}: {LOSSES[name].formula}" for name in NAMES)
)


@dataclass(frozen=True)
class DepthOptions:
    """Depth supervision, where the scene has depth maps; lengths in scene extents"""

    depth_loss: str = option("inv_l1", DEPTH_LOSSES, check=parse_losses)
    depth_l1_weight_init: float = option(
        4.0, "weight of the depth loss at the first step; lower it for noisy depth maps", minimum=0
    )
    depth_l1_weight_final: float = option(
        0.04,
        "weight of the depth loss at the last step; log-linear in between; lower it for noisy depth maps",
        minimum=0,
    )
    depth_l1_mult: str = option("0:0.5 3000:0.5 15000:1", f"factor on the weight of the depth loss: {SCHEDULE}")
    depth_max: float | None = option(
        None,
        "depth beyond which the depth maps are ignored, in scene units; set it to the range of the sensor",
        minimum=0,
        follows="no limit",
    )
    depth_edge_weight: float = option(
        0.0,
        "factor k of the weight exp(-k * relative depth step) of a pixel in the depth loss; "
        "raise it if depth maps are wrong at their edges",
        minimum=0,
    )


@dataclass(frozen=True)
class RegularizerOptions:
    """Regularizers; lengths in scene extents"""

    lambda_dist: str = option(
        "0:10 3000:10 15000:1",
        f"weight of the depth distortion: {SCHEDULE}; lower it if fine structure is lost, 0 switches it off",
    )
    dist_scale: float = option(
        0.02,
        "depth gap beyond which the distortion grows only logarithmically, in scene extents; "
        "0 gives the plain mean, which costs quality",
        minimum=0,
    )
    lambda_ray: str = option(
        "0", f"weight of the elongation along the view ray: {SCHEDULE}; raise it if Gaussians grow long along the rays"
    )
    ray_ratio_max: float = option(
        3.0,
        "elongation along the view ray up to which lambda_ray costs nothing, as a ratio to the extent across the ray",
        minimum=0,
    )
    lambda_alpha: float = option(
        0.1,
        "weight of the alpha loss, for photos that have an alpha channel; raise it if the background keeps fog",
        minimum=0,
    )
    lambda_opacity: float = option(
        0.0, "weight of the mean opacity; raise it to let Gaussians fade that no photo needs", minimum=0
    )
    lambda_scale: float = option(
        0.0,
        "weight of the mean scale, in scene extents; raise it to let Gaussians shrink that no photo needs",
        minimum=0,
    )


@dataclass(frozen=True)
class SpikeOptions:
    """Pruning by statistics over all training views; 0 switches a rule off"""

    prune_min_weight: float = option(
        0.12,
        "blending weight that a Gaussian must reach in some pixel of some view, else it is pruned; "
        "0 switches the rule off; lower it to keep more detail",
        minimum=0,
    )
    prune_weight_share: float = option(
        0.02,
        "share of the total blending weight that prune_min_weight removes at most at once",
        minimum=0,
        maximum=1,
    )
    floater_views: int = option(
        3,
        "number of views in which a Gaussian must lie in front of the measured depth, and on it in none, to be "
        "pruned; 0 switches the rule off; raise it for depth maps that are often too far",
        minimum=0,
    )
    spike_ratio: float = option(
        10.0,
        "ratio of longest to middle axis above which a Gaussian is a needle, which is split where it leaves the "
        "surface; 0 switches the rule off; lower it to split more",
        minimum=0,
    )
    spike_extent: float = option(
        0.005,
        "longest axis up to which no Gaussian is treated as a spike, in scene extents; lower it if small spikes remain",
        minimum=0,
    )
    spike_tolerance: float = option(
        0.005,
        "distance beyond which a point counts as off the surface, in scene extents; raise it for noisy depth maps",
        minimum=0,
    )
    spike_ray_views: int = option(
        0,
        "number of views in which a Gaussian must be elongated along the view ray to be pruned; "
        "0 switches the rule off",
        minimum=0,
    )
    spike_spread: float = option(
        0.0,
        "spread of depth in its pixels above which a Gaussian is pruned, in scene extents; 0 switches the rule off",
        minimum=0,
    )
    prune_max_fraction: float = option(
        0.5, "share of all Gaussians that one rule prunes at most at once, worst first", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class DensificationOptions:
    """Densification"""

    strategy: str = option("default", "densification strategy: decides which Gaussians are added, split and pruned")
    densify_from_iter: int | None = option(
        None,
        "step after which Gaussians are densified and pruned",
        minimum=0,
        follows="500, or a tenth of --iterations if that is less",
    )
    densify_until_iter: int | None = option(
        None,
        "step before which Gaussians are densified and pruned and opacities reset; later ones cost time and memory",
        minimum=0,
        follows="half of --iterations",
    )
    densification_interval: int = option(100, "number of steps from one densification to the next", minimum=1)
    opacity_reset_interval: int = option(3_000, "number of steps from one opacity reset to the next", minimum=1)
    densify_grad_threshold: float | None = option(
        None,
        "mean view-space gradient above which a Gaussian is densified, in half image sizes; "
        "lower it for more Gaussians and more detail",
        minimum=0,
        follows="0.0002 for photos of a megapixel and over, more for smaller ones",
    )
    percent_dense: float = option(
        0.01, "scale up to which a Gaussian is cloned and above which it is split, in scene extents", minimum=0
    )
    max_gaussians: int = option(0, "largest number of Gaussians; 0 sets no limit; set it if memory runs out", minimum=0)


@dataclass(frozen=True)
class TrainOptions:
    """All settings of train.py, by stage."""

    model: ModelOptions = ModelOptions()
    pipeline: PipelineOptions = PipelineOptions()
    run: RunOptions = RunOptions()
    optimization: OptimizationOptions = OptimizationOptions()
    depth: DepthOptions = DepthOptions()
    regularizers: RegularizerOptions = RegularizerOptions()
    densification: DensificationOptions = DensificationOptions()
    spikes: SpikeOptions = SpikeOptions()
    extensions: Mapping[str, Any] = field(default_factory=dict)  # what depth losses and strategies declare, by flag


def stages() -> dict[str, type]:
    """Name -> group of the stages that every run has."""
    return {name: hint for name, hint in get_type_hints(TrainOptions).items() if name != "extensions"}


def extension(group: type[Group], extensions: Mapping[str, Any], where: str) -> Group:
    """The options that a depth loss or a strategy declares as the dataclass `group`, from those of all.

    UserError, which begins with `where`, for a value that is not accepted.
    """
    names = [item.name for item in fields(cast(Any, group))]
    return build(group, {name: extensions[name] for name in names if name in extensions}, where)

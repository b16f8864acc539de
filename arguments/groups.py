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
    """What is learnt from, and where the result goes"""

    source_path: str = option("", "dataset folder", "-s")
    model_path: str = option("", "folder for everything the run leaves", "-m", follows="output/<name of the dataset>")
    images: str = option("images", "image folder inside the dataset", "-i")
    depths: str = option(
        "",
        "folder of depth maps inside the dataset; none: leave depth alone",
        "-d",
        follows="depth or depths, where the scene has one",
    )
    depth_scale: float | None = option(
        None,
        "scene units in one step of a depth map",
        minimum=0,
        follows="found out from the points of the scene, or by comparing views",
    )
    resolution: int = option(
        -1,
        "1, 2, 4 or 8 divides the photos' size; a larger number is the width in pixels; "
        "-1 scales down to 1600 pixels what is wider",
        "-r",
        minimum=-1,
    )
    white_background: bool = option(False, "put white, not black, behind everything", "-w")
    eval: bool = option(False, "hold out every 8th photo (sorted by name) for testing")
    test_images: tuple[str, ...] = option((), "hold out these photos, by name (instead of every 8th; implies --eval)")
    sh_degree: int = option(3, "highest degree of the spherical harmonics", minimum=0, maximum=3)
    data_device: str = option(
        "cpu", "keep the decoded photos with the host, or on the GPU that trains", choices=("cpu", "cuda")
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
    """How a picture is drawn"""

    antialiasing: bool = option(False, "lower the opacity of splats thinner than a pixel instead of fattening them")


DEVICE_HELP = "where to compute: cpu, cuda or cuda:<number>"
BEST_DEVICE = "cuda where there is a GPU that works, else cpu"


@dataclass(frozen=True)
class RunOptions:
    """The run itself"""

    iterations: int = option(30_000, "training steps", minimum=1)
    device: str = option("", DEVICE_HELP, follows=BEST_DEVICE)
    seed: int = option(0, "one seed, one result: the same bytes on the same machine", minimum=0)
    test_iterations: tuple[int, ...] = option((7_000, 30_000), "measure the test views here (and at the end)")
    save_iterations: tuple[int, ...] = option((7_000, 30_000), "write point_cloud.ply here (and at the end)")
    checkpoint_iterations: tuple[int, ...] = option((), "write chkpnt<N>.pth here, from which training can go on")
    start_checkpoint: str = option("", "go on from this checkpoint file")
    resume: bool = option(False, "go on from the newest checkpoint in the model folder, with the settings stored there")
    overwrite: bool = option(False, "delete the run that the model folder holds")
    quiet: bool = option(False, "print nothing but errors")
    verbose: bool = option(
        False, "print a line for each rule that prunes, with how many it took (metrics.jsonl always has them)"
    )
    print_schedule: bool = option(False, "print how the weights move over the run, and stop")
    audit_gradients: bool = option(False, "print what each term of the loss does to each parameter, every 500 steps")
    detect_anomaly: bool = option(False, "let autograd name the operation that makes a NaN (slow)")


@dataclass(frozen=True)
class OptimizationOptions:
    """Losses and learning rates"""

    lambda_dssim: float = option(
        0.2, "weight of 1 - SSIM in the photometric loss; L1 has the rest", minimum=0, maximum=1
    )
    coarse_until_iter: int = option(
        0, "step before which photos are used at half size: saves time, costs quality", minimum=0
    )
    random_background: bool = option(False, "train against a new random background color in each step")
    position_lr_init: float = option(
        1.6e-4, "learning rate of the means at the first step, in scene extents", minimum=0
    )
    position_lr_final: float = option(
        1.6e-6, "learning rate of the means at the last step, in scene extents", minimum=0
    )
    position_lr_max_steps: int | None = option(
        None, "steps over which the learning rate of the means decays", minimum=1, follows="--iterations"
    )
    feature_lr: float = option(0.0025, "learning rate of SH degree 0; higher degrees use 1/20 of it", minimum=0)
    opacity_lr: float = option(0.025, "learning rate of the opacities (as logits)", minimum=0)
    scaling_lr: float = option(0.005, "learning rate of the scales (as natural logarithms)", minimum=0)
    rotation_lr: float = option(0.001, "learning rate of the rotations (quaternions)", minimum=0)
    optimizer_type: str = option(
        "default",
        "default: Adam moves every Gaussian in every step; sparse_adam: only those that the step has seen",
        choices=("default", "sparse_adam"),
    )


SCHEDULE = "a number, or knots of a run of 30000 steps as in 0:10 3000:10 15000:1, which scale with --iterations"
DEPTH_LOSSES = (
    "how rendered depth Z is compared with the maps' Z*: a name, or a sum as in ssi+0.5*silog+0.4*grad, each part "
    "of which has its own term depth_<name> in the log; "
    + "; ".join(f"{name}: {LOSSES[name].formula}" for name in NAMES)
)


@dataclass(frozen=True)
class DepthOptions:
    """Depth supervision, where the scene has depth maps; lengths in scene extents"""

    depth_loss: str = option("inv_l1", DEPTH_LOSSES, check=parse_losses)
    depth_l1_weight_init: float = option(4.0, "weight of the depth loss at the start", minimum=0)
    depth_l1_weight_final: float = option(0.04, "weight of the depth loss at the end; log-linear between", minimum=0)
    depth_l1_mult: str = option("0:0.5 3000:0.5 15000:1", f"factor on that weight: {SCHEDULE}")
    depth_max: float | None = option(
        None, "depth beyond this is not used, in scene units", minimum=0, follows="no limit"
    )
    depth_edge_weight: float = option(
        0.0, "k in the weight exp(-k * relative depth step) that trusts the maps less at their edges", minimum=0
    )


@dataclass(frozen=True)
class RegularizerOptions:
    """What is asked of the cloud, whatever the photos show; lengths in scene extents"""

    lambda_dist: str = option("0:10 3000:10 15000:1", f"weight of the depth distortion: {SCHEDULE}")
    dist_scale: float = option(
        0.02, "depth gap beyond which distortion grows only logarithmically, in scene extents; 0: plain mean", minimum=0
    )
    lambda_ray: str = option("0", f"weight of elongation along the view ray: {SCHEDULE}")
    ray_ratio_max: float = option(
        3.0, "elongation along the view ray, as a ratio, up to which lambda_ray costs nothing", minimum=0
    )
    lambda_alpha: float = option(0.1, "weight of the alpha loss, used where photos have an alpha channel", minimum=0)
    lambda_opacity: float = option(0.0, "weight of the mean opacity", minimum=0)
    lambda_scale: float = option(0.0, "weight of the mean scale", minimum=0)


@dataclass(frozen=True)
class SpikeOptions:
    """Pruning by statistics over all training views; 0 switches a rule off"""

    prune_min_weight: float = option(
        0.12,
        "blending weight: Gaussians below it in every pixel of every view are pruned; lower it to keep more detail",
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
        "number of views: Gaussians in front of the measured depth in as many, and on it in none, are pruned",
        minimum=0,
    )
    spike_ratio: float = option(
        10.0,
        "ratio of longest to middle axis: Gaussians above it are needles, split where they leave the surface",
        minimum=0,
    )
    spike_extent: float = option(
        0.005, "longest axis, in scene extents, up to which no Gaussian is treated as a spike", minimum=0
    )
    spike_tolerance: float = option(
        0.005,
        "distance in scene extents beyond which a point counts as off the surface; raise for noisy depth",
        minimum=0,
    )
    spike_ray_views: int = option(
        0,
        "number of views: Gaussians elongated along the view ray in as many, and in most that see them, are pruned",
        minimum=0,
    )
    spike_spread: float = option(
        0.0, "depth spread in scene extents: Gaussians whose pixels exceed it are pruned", minimum=0
    )
    prune_max_fraction: float = option(
        0.5, "share of all Gaussians that one rule removes at most at once, worst first", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class DensificationOptions:
    """When and how the number of Gaussians changes"""

    strategy: str = option("default", "densification strategy, by its name in training/strategies")
    densify_from_iter: int | None = option(
        None, "densify and prune after this step", minimum=0, follows="500, or a tenth of --iterations if that is less"
    )
    densify_until_iter: int | None = option(
        None, "densify, prune and reset opacities before this step", minimum=0, follows="half of --iterations"
    )
    densification_interval: int = option(100, "steps from one densification to the next", minimum=1)
    opacity_reset_interval: int = option(3_000, "steps from one opacity reset to the next", minimum=1)
    densify_grad_threshold: float | None = option(
        None,
        "densify what has a mean view-space gradient over this, in half image sizes",
        minimum=0,
        follows="0.0002 for photos of a megapixel and over, more for smaller ones",
    )
    percent_dense: float = option(
        0.01, "clone Gaussians up to this scale and split larger ones, in scene extents", minimum=0
    )
    max_gaussians: int = option(0, "never have more Gaussians than this; 0: no limit", minimum=0)


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

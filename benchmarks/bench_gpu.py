"""How fast the rasterizer and whole training steps are on a GPU, beside gsplat's where that is installed.

    python benchmarks/bench_gpu.py kernels|ours|gsplat [--n 10000 1000000] [--size 1920x1080] [--repeats 20]

One JSON line a case: medians over the repeats, by CUDA events, in milliseconds. `kernels` are the operators one by one;
`ours` and `gsplat` the forward pass, forward + backward, and the whole step with the photometric loss (both with ours)
and Adam (ours; torch's fused one for gsplat), for the same Gaussians, camera and outputs: color; with the expected
depth; with the distortion, which gsplat has not. Memory is the most that torch's allocator held, the Gaussians
themselves included. `difference` is the mean over the pixels of how far gsplat's color is from ours.
`--device cpu` tries all this without a GPU; its times are of no use.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from typing import Any, Protocol

import numpy as np
import torch
from bench_kernels import kernels
from bench_raster import SEED, workload
from torch import Tensor

from gaussian_renderer import RenderSettings, render
from gaussian_renderer.device import cuda_fault, device_text, use_device
from scene.gaussians.model import PARAMETERS, Gaussians
from scene.gaussians.optimizer import EPSILON, Optimizer
from scene.types import Camera
from utils.losses.photometric import photometric, weighted_sum

SH_DEGREE = 3
NEAR = 0.2  # world units
WARM_UPS = 3
WEIGHTS = {"l1": 0.8, "dssim": 0.2, "depth": 0.1, "distortion": 0.1}
OUTPUTS = {  # as they are called -> the images that have a gradient
    "color": ("color",),
    "color, depth": ("color", "depth"),
    "color, depth, distortion": ("color", "depth", "distortion"),
}
Images = dict[str, Tensor]


class Case:
    """Gaussians, and a camera that sees them all."""

    def __init__(self, n: int, width: int, height: int, device: torch.device) -> None:
        made = workload(n, width, height, SH_DEGREE)
        made |= {"scales": made["scales"].log(), "opacities": made["opacities"].logit()}
        shs = made.pop("shs")
        made |= {"shs_dc": shs[:, :1], "shs_rest": shs[:, 1:]}
        self.gaussians = Gaussians({name: made[name].to(device) for name in PARAMETERS})
        focal = 0.9 * width
        self.camera = Camera("", width, height, focal, focal, width / 2, height / 2, np.eye(4))
        self.background = torch.zeros(3, device=device)
        generator = torch.Generator().manual_seed(SEED)
        self.target = torch.rand((3, height, width), generator=generator).to(device)


# ---- the two rasterizers


class Painter(Protocol):
    def draw(self, outputs: tuple[str, ...]) -> Images: ...

    def step(self) -> None: ...


class Ours:
    """As train.py does it."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.settings = RenderSettings(near=NEAR, sh_degree=SH_DEGREE)
        self.optimizer = Optimizer(case.gaussians, dict.fromkeys(PARAMETERS, 0.0))  # the same work in every step

    def draw(self, outputs: tuple[str, ...]) -> Images:
        drawn = render(self.case.gaussians, self.case.camera, self.case.background, self.settings)
        self.visible = drawn.radii > 0
        depth = drawn.depth / torch.where(drawn.alpha > 0, drawn.alpha, 1.0) if "depth" in outputs else drawn.depth
        images = {"color": drawn.color, "depth": depth, "distortion": drawn.distortion}
        return {name: images[name] for name in outputs}

    def step(self) -> None:
        self.optimizer.step(self.visible)


class Gsplat:
    """By its public function, with the settings that make its pictures ours."""

    def __init__(self, case: Case) -> None:
        self.rasterization = importlib.import_module("gsplat").rasterization
        self.case = case
        camera, device = case.camera, case.background.device
        self.poses = torch.eye(4, device=device)[None]
        lens = [[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]]
        self.lenses = torch.tensor(lens, dtype=torch.float32, device=device)[None]
        groups = [{"params": [case.gaussians.parameters[name]]} for name in PARAMETERS]
        self.optimizer = torch.optim.Adam(groups, lr=0.0, eps=EPSILON, fused=True)

    def draw(self, outputs: tuple[str, ...]) -> Images:
        gaussians, camera = self.case.gaussians, self.case.camera
        drawn, _, _ = self.rasterization(
            gaussians.means,
            gaussians.quats,
            gaussians.scales.exp(),
            torch.sigmoid(gaussians.opacities).squeeze(1),
            torch.cat([gaussians.shs_dc, gaussians.shs_rest], dim=1),
            self.poses,
            self.lenses,
            camera.width,
            camera.height,
            near_plane=NEAR,
            sh_degree=SH_DEGREE,
            packed=False,
            render_mode="RGB+ED" if "depth" in outputs else "RGB",
        )
        planes = drawn[0].permute(2, 0, 1)
        return {"color": planes[:3].contiguous(), "depth": planes[3:]} if "depth" in outputs else {"color": planes}

    def step(self) -> None:
        self.optimizer.step()


# ---- measuring


def milliseconds(run: Callable[[], Any], repeats: int, device: torch.device) -> float:
    """The median time that the device, or for want of a GPU the host, takes for `run`."""
    for _ in range(min(WARM_UPS, repeats)):
        run()
    if device.type != "cuda":
        starts = [(time.perf_counter(), run(), time.perf_counter()) for _ in range(repeats)]
        return 1e3 * statistics.median(end - start for start, _, end in starts)
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for start, end in events:
        start.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in events)


def memory_mib(run: Callable[[], Any], device: torch.device) -> int | None:
    """The most memory that torch's allocator holds meanwhile; None without a GPU."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() // 2**20


def measure(painter: Painter, case: Case, outputs: tuple[str, ...], repeats: int) -> dict[str, Any]:
    device, parameters = case.background.device, case.gaussians.parameters.values()
    cotangents = [torch.randn_like(image) for image in painter.draw(outputs).values()]

    @torch.no_grad()
    def forward() -> None:
        painter.draw(outputs)

    def forward_backward() -> None:
        for parameter in parameters:
            parameter.grad = None
        torch.autograd.backward(list(painter.draw(outputs).values()), cotangents)

    def step() -> None:
        for parameter in parameters:
            parameter.grad = None
        images = painter.draw(outputs)
        terms = photometric(images["color"], case.target)
        terms |= {name: images[name].mean() for name in outputs if name != "color"}
        weighted_sum(terms, WEIGHTS).backward()
        painter.step()

    runs = {"forward": forward, "forward_backward": forward_backward, "step": step}
    times = {f"{name}_ms": round(milliseconds(run, repeats, device), 3) for name, run in runs.items()}
    memory = {f"{name}_mib": memory_mib(run, device) for name, run in runs.items() if name != "forward"}
    return times | memory


def rasterizer_lines(name: str, n: int, width: int, height: int, repeats: int, device: torch.device) -> Iterator[dict]:
    """A line for each of the outputs that the rasterizer has."""
    case = Case(n, width, height, device)
    painter: Painter = Ours(case) if name == "ours" else Gsplat(case)
    extra = {}
    if name != "ours":
        with torch.no_grad():
            theirs, ours = (each.draw(("color",))["color"] for each in (painter, Ours(case)))
        extra = {"difference": (theirs - ours).abs().mean().item()}
    for text, outputs in OUTPUTS.items():
        if name == "ours" or "distortion" not in outputs:
            yield {"outputs": text, **measure(painter, case, outputs, repeats), **extra}


def kernel_lines(n: int, width: int, height: int, repeats: int, device: torch.device) -> Iterator[dict]:
    with torch.no_grad():
        runs, pairs = kernels(n, width, height, device)
        for kernel, run in runs.items():
            yield {"kernel": kernel, "ms": round(milliseconds(run, repeats, device), 4), "pairs": pairs}


# ---- the command line


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("kernels", "ours", "gsplat"))
    parser.add_argument("--n", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 4_000_000], help="Gaussians")
    parser.add_argument("--size", nargs="+", default=["640x480", "1280x720", "1920x1080"], help="WIDTHxHEIGHT")
    parser.add_argument("--repeats", type=int, default=20, help="runs whose median is taken")
    parser.add_argument("--device", default="", help="cuda, cuda:<number> or cpu")
    return parser.parse_args()


def peer_version() -> str | None:
    try:
        return version("gsplat")
    except PackageNotFoundError:
        return None


def main() -> None:
    arguments, fault = parse(), cuda_fault()
    if fault and not arguments.device:
        print(json.dumps({"skipped": f"no GPU: {fault}"}))
        return
    device = use_device(arguments.device)
    if arguments.what == "gsplat" and peer_version() is None:
        print(json.dumps({"skipped": "gsplat is not installed; pip install gsplat==1.5.3 puts it beside ours"}))
        return
    named = {"kernels": "ours", "ours": "ours", "gsplat": f"gsplat {peer_version()}"}[arguments.what]
    for n, size in product(arguments.n, arguments.size):
        width, height = (int(side) for side in size.split("x"))
        head = {"rasterizer": named, "device": device_text(device), "n": n, "width": width, "height": height}
        settings = (n, width, height, arguments.repeats, device)
        lines = kernel_lines(*settings) if arguments.what == "kernels" else rasterizer_lines(arguments.what, *settings)
        try:
            for line in lines:
                print(json.dumps(head | line), flush=True)
        except RuntimeError as error:  # most likely out of memory: the other cases may have enough
            print(json.dumps(head | {"error": str(error).splitlines()[0]}), flush=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()

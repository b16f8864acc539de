"""`python -m diff_gaussian_rasterization.doctor`: what there is to render with, and what to mend.

It also renders a small scene on every device, with gradients, and compares them with the reference's.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import _native, ops
from ._native.toolchain import ARCHITECTURES_VARIABLE, CUDA_SWITCH, BuildError, cuda_key, find_nvcc, require_cuda
from .rasterize import RasterOutput, rasterize
from .reference import rasterize_reference

# The largest error that a trial may have, relative to the largest number. In float32 rounding may decide otherwise
# whether a faint splat counts at a pixel.
LIMITS = {torch.float64: 1e-6, torch.float32: 1e-2}


@dataclass(frozen=True)
class Card:
    name: str
    capability: tuple[int, int]
    memory: int  # bytes


@dataclass(frozen=True)
class Trial:
    """An image and its gradients on one device, against the reference in float64."""

    device: str
    errors: tuple[float, ...] = ()  # of each precision in LIMITS
    failure: str = ""  # what was raised instead

    def fits(self) -> bool:
        return not self.failure and all(e <= limit for e, limit in zip(self.errors, LIMITS.values(), strict=True))


@dataclass(frozen=True)
class Facts:
    """What was found on this machine."""

    native_library: str  # its path
    instruction_set: str
    threads: int
    cuda_build: str  # as ops.cuda_build() says
    nvcc: str | None  # its version and path
    cuda_is_off: bool  # by DGR_CUDA
    torch: str  # its version
    torch_cuda: str | None  # the CUDA it was built with
    torch_cards: int  # how many it can use
    driver: tuple[int, int] | None  # the newest CUDA that it runs; None: there is no driver
    cards: tuple[Card, ...]  # that the driver sees
    trials: tuple[Trial, ...]


# ---- what to do, as a function of the facts alone


def advice(facts: Facts) -> list[str]:
    """What does not fit, and what to do about it; empty where all is well, as it is on a machine without a card."""
    found = [_about_trial(trial) for trial in facts.trials if not trial.fits()]
    if facts.cards:
        found += _about_torch(facts) + (_about_cards(facts) if facts.cuda_build else [_about_missing_kernels(facts)])
    return found


def _about_trial(trial: Trial) -> str:
    if trial.failure:
        return f"{trial.device} failed: {trial.failure}"
    return (
        f"{trial.device} computes something else than the reference does; please report it, with all that is said here"
    )


def _about_torch(facts: Facts) -> list[str]:
    assert facts.driver is not None
    if facts.torch_cuda is None:
        version = facts.torch.split("+")[0]
        return [
            f"torch is the CPU build: `pip install --force-reinstall torch=={version}` installs one with CUDA "
            "(https://pytorch.org/get-started lists those for older drivers)"
        ]
    if _version(facts.torch_cuda)[0] > facts.driver[0]:
        return [
            f"torch was built with CUDA {facts.torch_cuda} and the driver runs up to {_dotted(facts.driver)}: update "
            f"the driver, or install a torch for CUDA {facts.driver[0]} (https://pytorch.org/get-started)"
        ]
    if facts.torch_cards == 0:
        return ["torch has CUDA but finds no card: `python -c 'import torch; torch.zeros(1).cuda()'` says why"]
    return []


def _about_missing_kernels(facts: Facts) -> str:
    missing = "the library was built without CUDA"
    if facts.cuda_is_off:
        return f"{missing}, since {CUDA_SWITCH} is 0: unset it"
    if facts.nvcc is None:
        return (
            f"{missing}, since there is no nvcc: install the CUDA toolkit (developer.nvidia.com/cuda-downloads or "
            "`conda install -c nvidia cuda-toolkit`) and put nvcc on the PATH or name its folder in CUDA_HOME; a wheel "
            "has to be installed anew"
        )
    return f"{missing}, before there was an nvcc: install it anew, `pip install --force-reinstall --no-build-isolation`"


def _about_cards(facts: Facts) -> list[str]:
    """Where the library has CUDA kernels: whether driver and cards can run them."""
    assert facts.driver is not None
    version, *architectures = facts.cuda_build.split()
    if _version(version)[0] > facts.driver[0]:
        return [
            f"the library was built with CUDA {version} and the driver runs up to {_dotted(facts.driver)}: update the "
            f"driver, or name the folder of a CUDA {facts.driver[0]} toolkit in CUDA_HOME"
        ]
    return [
        f"the library has no code for {card.name} (it has {' '.join(architectures)}): build it with "
        f"{ARCHITECTURES_VARIABLE}={_dotted(card.capability)} in the environment"
        for card in facts.cards
        if not any(_runs(architecture, card.capability) for architecture in architectures)
    ]


def _runs(architecture: str, capability: tuple[int, int]) -> bool:
    """Machine code runs on later cards of its generation, PTX on all later ones, what is named 90a on 9.0 alone."""
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", architecture)
    assert match is not None
    built = int(match[2]), int(match[3])
    if match[4]:
        return built == capability
    return built <= capability and (match[1] == "compute" or built[0] == capability[0])


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


# ---- gathering


def gather() -> Facts:
    driver, cards = find_cards()
    torch_cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = ["cpu", *(f"cuda:{i}" for i in range(torch_cards) if ops.cuda_build())]
    return Facts(
        native_library=str(_native.load()),
        instruction_set=ops.instruction_set(),
        threads=ops.get_num_threads(),
        cuda_build=ops.cuda_build(),
        nvcc=describe_nvcc(),
        cuda_is_off=cuda_key() == "off",
        torch=torch.__version__,
        torch_cuda=torch.version.cuda,
        torch_cards=torch_cards,
        driver=driver,
        cards=cards,
        trials=tuple(try_device(device) for device in devices),
    )


def describe_nvcc() -> str | None:
    nvcc = find_nvcc()
    try:
        return f"{require_cuda(nvcc).version} in {nvcc}" if nvcc else None
    except BuildError as error:
        return str(error)


def find_cards() -> tuple[tuple[int, int] | None, tuple[Card, ...]]:
    """What the driver says, whatever torch and the library were built for."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None, ()
    number, memory = ctypes.c_int(0), ctypes.c_size_t(0)

    def ask(function: str, *arguments: int) -> int:
        getattr(driver, function)(ctypes.byref(number), *arguments)
        return number.value

    version = ask("cuDriverGetVersion")
    cards = []
    for index in range(ask("cuDeviceGetCount") if driver.cuInit(0) == 0 else 0):
        card, name = ask("cuDeviceGet", index), ctypes.create_string_buffer(256)
        driver.cuDeviceGetName(name, len(name), card)
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), card)
        capability = ask("cuDeviceGetAttribute", 75, card), ask("cuDeviceGetAttribute", 76, card)  # major, minor
        cards.append(Card(name.value.decode(), capability, memory.value))
    return (version // 1000, version % 1000 // 10), tuple(cards)


def try_device(device: str) -> Trial:
    try:
        expected = render(rasterize_reference, "cpu", torch.float64)
        return Trial(device, tuple(largest_error(render(rasterize, device, dtype), expected) for dtype in LIMITS))
    except RuntimeError as error:
        return Trial(device, failure=str(error))


def render(rasterizer: Callable[..., RasterOutput], device: str, dtype: torch.dtype) -> list[Tensor]:
    """The images of a small scene and their gradients by all its tensors."""
    rng, n, size = torch.Generator().manual_seed(0), 40, {"width": 50, "height": 35}

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=rng, dtype=torch.float64)

    scene = {
        "means": uniform(-2, 2, n, 3) + torch.tensor([0, 0, 5]),
        "scales": uniform(0.05, 0.4, n, 3),
        "quats": uniform(-1, 1, n, 4),
        "opacities": uniform(0.1, 0.99, n, 1),
        "shs": uniform(-0.5, 0.5, n, 9, 3),
        "viewmat": torch.eye(4, dtype=torch.float64),
        "background": uniform(0, 1, 3),
    }
    leaves = {name: tensor.to(device, dtype).requires_grad_() for name, tensor in scene.items()}
    images = rasterizer(**leaves, fx=40.0, fy=45.0, cx=24.0, cy=18.0, sh_degree=2, antialiasing=True, **size)[:5]
    incoming = [uniform(-1, 1, *image.shape).to(image) for image in images]
    gradients = torch.autograd.grad(images, list(leaves.values()), incoming)
    return [tensor.detach().cpu().double() for tensor in (*images, *gradients)]


def largest_error(found: list[Tensor], expected: list[Tensor]) -> float:
    """Relative to the largest number of each tensor."""
    return max(float((f - e).abs().max() / e.abs().max()) for f, e in zip(found, expected, strict=True))


# ---- telling


def report(facts: Facts) -> list[str]:
    cards = [f"{c.name}, compute capability {_dotted(c.capability)}, {c.memory / 2**30:.0f} GiB" for c in facts.cards]
    hidden = "none that the driver sees; CUDA_VISIBLE_DEVICES may hide some" if facts.driver else "none"
    rows = [
        ("library", facts.native_library),
        ("CPU kernels", f"instruction set {facts.instruction_set}, {facts.threads} threads"),
        ("CUDA kernels", facts.cuda_build or "none"),
        ("nvcc", f"switched off by {CUDA_SWITCH}=0" if facts.cuda_is_off else facts.nvcc or "none"),
        ("torch", f"{facts.torch}, {f'CUDA {facts.torch_cuda}' if facts.torch_cuda else 'without CUDA'}"),
        ("driver", f"for CUDA up to {_dotted(facts.driver)}" if facts.driver else "none"),
        *(("card", card) for card in cards or [hidden]),
        *((f"on {trial.device}", _result(trial)) for trial in facts.trials),
    ]
    return [f"{label:13} {text}" for label, text in rows]


def _result(trial: Trial) -> str:
    if trial.failure:
        return "failed"
    errors = [f"{e:.1e} in {str(dtype)[6:]}" for e, dtype in zip(trial.errors, LIMITS, strict=True)]
    return f"largest relative error {', '.join(errors)}: {'fits' if trial.fits() else 'does not fit'}"


def main() -> int:
    try:
        ops.instruction_set()
    except RuntimeError as error:  # of an environment that asks for what this processor cannot do
        print(f"- {error}")
        return 1
    facts = gather()
    todo = advice(facts)
    print("\n".join([*report(facts), "", *(f"- {line}" for line in todo or ["all is well"])]))
    return 1 if todo else 0


if __name__ == "__main__":
    sys.exit(main())

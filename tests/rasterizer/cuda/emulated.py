"""The CUDA kernels, compiled for the CPU over emulator.h, as functions with the operators' own signatures."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from ctypes import Structure, byref, c_bool, c_char_p, c_double, c_float, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[2] / "submodules" / "diff-gaussian-rasterization" / "csrc"
FAILED = 1000
SCRATCH, IDS, SLOTS = range(3)

# What a kernel writes it must write everywhere: whatever was there before would otherwise go unseen.
GARBAGE = float("nan")
INT_GARBAGE = -(2**30)


class Image(Structure):
    _fields_ = [("width", c_int), ("height", c_int)]


class ProjectSettings(Structure):
    _fields_ = [
        ("image", Image),
        *[(name, c_double) for name in ("fx", "fy", "cx", "cy", "near", "scale_modifier", "alpha_min")],
        ("sh_degree", c_int),
        ("sh_count", c_int),
        ("antialiasing", c_bool),
    ]


class SsimShape(Structure):
    _fields_ = [("channels", c_int64), ("height", c_int), ("width", c_int)]


class AdamSettings(Structure):
    _fields_ = [("step", c_int64), ("beta1", c_double), ("beta2", c_double), ("epsilon", c_double)]


class AdamArrays(Structure):
    _fields_ = [
        ("columns", c_int64),
        *[(name, c_void_p) for name in ("values", "gradients", "firsts", "seconds")],
        ("rate", c_double),
    ]


def blend_input(dtype: torch.dtype) -> type[Structure]:
    """BlendInput<T>, the one struct whose layout depends on T."""
    real = c_double if dtype == torch.float64 else c_float
    pointers = ("means2d", "conics", "opacities", "colors", "depths", "reaches", "background", "ids", "ranges")

    class BlendInput(Structure):
        _fields_ = [
            ("image", Image),
            *[(name, c_void_p) for name in pointers],
            *[(name, real) for name in ("alpha_min", "alpha_max", "transmittance_min")],
            ("inverse_distortion", c_bool),
        ]

    return BlendInput


Allocate = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_int, c_size_t)


class MemoryStruct(Structure):
    _fields_ = [("context", c_void_p), ("allocate", Allocate)]


class Memory:
    """Allocates what an operator asks for, filled with garbage, and keeps it."""

    def __init__(self) -> None:
        self.blocks: list[tuple[int, Tensor]] = []
        self.struct = MemoryStruct(None, Allocate(self._allocate))

    def _allocate(self, _context: int, purpose: int, size: int) -> int:
        block = torch.full((size,), 0x7B, dtype=torch.uint8)
        self.blocks.append((purpose, block))
        return block.data_ptr()

    def int32(self, purpose: int) -> Tensor:
        return next(block.view(torch.int32) for kind, block in self.blocks if kind == purpose)


def pointers(*tensors: Tensor | None) -> Any:
    """A struct of pointers, by its address: null for None and for tensors without elements, as in the operators."""
    addresses = [None if tensor is None or tensor.numel() == 0 else tensor.data_ptr() for tensor in tensors]
    return (c_void_p * len(addresses))(*addresses)


def garbage(like: Tensor, *shape: int) -> Tensor:
    return like.new_full(shape, GARBAGE)


def int_garbage(*shape: int) -> Tensor:
    return torch.full(shape, INT_GARBAGE, dtype=torch.int32)


def address(tensor: Tensor) -> c_void_p:
    return c_void_p(tensor.data_ptr())


def build(library: Path, *flags: str) -> None:
    """Compiles emulated.cpp: about 5 seconds."""
    warnings = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-shared", *warnings, f"-I{HERE}", f"-I{CSRC}", *flags]
    subprocess.run([*command, str(HERE / "emulated.cpp"), "-o", str(library)], check=True)


class Emulated:
    """One built library. Its methods take and return what the operators of csrc/ops.cpp do."""

    def __init__(self, library: Path) -> None:
        self.emulator = ctypes.CDLL(str(library))
        self.emulator.emulated_failure.restype = c_char_p

    def seed(self, seed: int) -> None:
        """Another order of blocks, warps and lanes for each seed but 0, which is the natural one."""
        self.emulator.emulated_seed(seed)

    def call(self, name: str, *arguments: Any) -> None:
        code = getattr(self.emulator, f"emulated_{name}")(*arguments)
        if code == FAILED:
            raise RuntimeError(self.emulator.emulated_failure().decode())
        if code != 0:
            raise RuntimeError(f"{name} returned {code}")

    def project(
        self,
        means: Tensor,
        scales: Tensor,
        quats: Tensor,
        opacities: Tensor,
        features: Tensor,
        viewmat: Tensor,
        *rest: Any,
    ) -> tuple[Tensor, ...]:
        n = len(means)
        gaussians = GaussianArrays(n, pointers(means, scales, quats, opacities, features, viewmat))
        out = [garbage(means, *shape) for shape in ((n, 2), (n, 3), (n,), (n, 3), (n,), (n,))]
        radii, nonfinite = int_garbage(n), torch.full((), -1)
        self.call(
            "project", means.element_size(), byref(project_settings(features, *rest)), byref(gaussians),
            pointers(*out, radii), address(nonfinite),
        )  # fmt: skip
        return (*out, radii, nonfinite)

    def project_backward(self, *inputs: Any) -> tuple[Tensor, ...]:
        tensors, settings, radii, v = inputs[:6], inputs[6:17], inputs[17], inputs[18:]
        gaussians, memory = GaussianArrays(len(tensors[0]), pointers(*tensors)), Memory()
        out = [garbage(tensor, *tensor.shape) for tensor in tensors]
        self.call(
            "project_backward", tensors[0].element_size(), byref(project_settings(tensors[4], *settings)),
            byref(gaussians), pointers(*v, radii, *out[:5]), address(out[5]), byref(memory.struct),
        )  # fmt: skip
        return tuple(out)

    def bin(
        self, means2d: Tensor, conics: Tensor, depths: Tensor, reaches: Tensor, radii: Tensor, width: int, height: int
    ) -> tuple[Tensor, ...]:
        n, memory = len(means2d), Memory()
        offsets, ranges = int_garbage(n + 1), int_garbage(-(-width // 16) * -(-height // 16) + 1)
        splats = pointers(means2d, conics, None, None, depths, reaches, radii)
        self.call(
            "bin", means2d.element_size(), byref(Image(width, height)), splats, c_int64(n), address(offsets),
            address(ranges), byref(memory.struct),
        )  # fmt: skip
        return memory.int32(IDS).clone(), memory.int32(SLOTS).clone(), offsets, ranges

    def blend(self, *inputs: Any) -> tuple[Tensor, ...]:
        (means2d, width, height), memory = (inputs[0], inputs[11], inputs[12]), Memory()
        out = [garbage(means2d, channels, height, width) for channels in (3, 1, 1, 1, 1, 1, 1, 1)]
        end = int_garbage(1, height, width)
        self.call(
            "blend", means2d.element_size(), byref(blend_arguments(*inputs)), c_int64(len(means2d)),
            pointers(*out, end), byref(memory.struct),
        )  # fmt: skip
        return (*out, end)

    def blend_backward(self, *inputs: Any) -> tuple[Tensor, ...]:
        tensors, state, images, memory = inputs[:11], inputs[17:21], inputs[21:26], Memory()
        means2d, slots, offsets = tensors[0], tensors[8], tensors[9]
        shapes = [tensors[i].shape for i in (0, 0, 1, 2, 3, 4, 5)]
        out = [garbage(means2d, *shape) for shape in shapes]
        self.call(
            "blend_backward", means2d.element_size(), byref(blend_arguments(*inputs[:17])), c_int64(len(means2d)),
            address(offsets), c_int64(len(slots)), pointers(*images, *state, slots, None, None), pointers(*out),
            byref(memory.struct),
        )  # fmt: skip
        return tuple(out)

    def blend_statistics(self, *inputs: Any) -> tuple[Tensor, ...]:
        tensors, state, memory = inputs[:11], inputs[17:20], Memory()
        means2d, slots, offsets = tensors[0], tensors[8], tensors[9]
        out = [garbage(means2d, len(means2d)) for _ in range(3)]
        self.call(
            "blend_statistics", means2d.element_size(), byref(blend_arguments(*inputs[:17])), c_int64(len(means2d)),
            address(offsets), c_int64(len(slots)), pointers(None, *state, slots, None), pointers(*out),
            byref(memory.struct),
        )  # fmt: skip
        return tuple(out)

    def ssim(self, image: Tensor, target: Tensor, partial_count: int) -> tuple[Tensor, Tensor]:
        similarity, partials = garbage(image, *image.shape), garbage(image, partial_count, *image.shape)
        out = SsimOutput(pointers(similarity, partials), partial_count)
        shape = SsimShape(*image.shape)
        self.call("ssim", image.element_size(), byref(shape), address(image), address(target), byref(out))
        return similarity, partials

    def ssim_backward(self, image: Tensor, other: Tensor, v_map: Tensor, partials: Tensor, is_target: bool) -> Tensor:
        v_image = garbage(image, *image.shape)
        cotangents = pointers(image, other, v_map, partials[3 if is_target else 2], partials[0], partials[1])
        shape = SsimShape(*image.shape)
        self.call("ssim_backward", image.element_size(), byref(shape), cotangents, address(v_image))
        return v_image

    def adam(
        self, values: Sequence[Tensor], gradients: Sequence[Tensor], firsts: Sequence[Tensor],
        seconds: Sequence[Tensor], rates: Sequence[float], visible: Tensor | None, step: int, beta1: float,
        beta2: float, epsilon: float,
    ) -> None:  # fmt: skip
        rows = len(values[0])
        arrays = (AdamArrays * len(values))(*[
            AdamArrays(value[:1].numel(), *[tensor.data_ptr() for tensor in (value, gradient, first, second)], rate)
            for value, gradient, first, second, rate in zip(values, gradients, firsts, seconds, rates, strict=True)
        ])  # fmt: skip
        self.call(
            "adam", values[0].element_size(), byref(AdamSettings(step, beta1, beta2, epsilon)), arrays, len(values),
            c_int64(rows), None if visible is None else address(visible),
        )  # fmt: skip

    def fault(self, which: int, out: Tensor) -> None:
        """Runs a kernel with a fault; see emulated.cpp."""
        self.call("fault", which, address(out))


class GaussianArrays(Structure):
    _fields_ = [("count", c_int64), ("arrays", c_void_p * 6)]


class SsimOutput(Structure):
    _fields_ = [("arrays", c_void_p * 2), ("partial_count", c_int)]


def project_settings(features: Tensor, width: int, height: int, *rest: Any) -> ProjectSettings:
    *numbers, sh_degree, antialiasing = rest
    sh_count = features.shape[1] if features.dim() == 3 else 1
    return ProjectSettings(Image(width, height), *numbers, sh_degree, sh_count, antialiasing)


def blend_arguments(*inputs: Any) -> Structure:
    """The 17 arguments that blend, its backward pass and its statistics have in common."""
    means2d, conics, opacities, colors, depths, background, reaches, ids, _slots, _offsets, ranges = inputs[:11]
    width, height, *thresholds, inverse = inputs[11:17]
    arrays = (means2d, conics, opacities, colors, depths, reaches, background, ids, ranges)
    return blend_input(means2d.dtype)(Image(width, height), *[t.data_ptr() for t in arrays], *thresholds, inverse)

"""Where a run computes: which devices there are, and which of them the rasterizer has kernels for."""

from __future__ import annotations

import re

import torch

from diff_gaussian_rasterization import instruction_set
from utils.errors import UserError

DOCTOR = "python -m diff_gaussian_rasterization.doctor"


def use_device(wanted: str, local_rank: int | None = None) -> torch.device:
    """Make `wanted` ("cpu", "cuda", "cuda:1"), or what works here for "", the device that torch takes from now on. Of
    several processes on a machine each takes the GPU of its `local_rank`.

    UserError for one that is not there or has no kernels, and for a DGR_ISA that this processor does not have.
    """
    if not re.fullmatch(r"|cpu|cuda(:\d+)?", wanted):
        raise UserError(f"--device {wanted}: there is no such device; it must be cpu, cuda or cuda:<number>")
    _check_instruction_set()
    if is_cpu(wanted):
        return torch.device("cpu")
    if fault := cuda_fault():
        raise UserError(f"--device {wanted} does not work: {fault}; {DOCTOR} says more, --device cpu works without")
    index, count = torch.device(wanted or "cuda").index, torch.cuda.device_count()
    if local_rank is not None:
        if ":" in wanted:
            raise UserError(f"--device {wanted}: of several ranks each takes a GPU of its own; give cuda, or nothing")
        if local_rank >= count:
            raise UserError(f"--nproc_per_node: there are {count} GPUs, one for each rank; --device cpu needs none")
        index = local_rank
    if index is not None and index >= count:
        raise UserError(f"--device {wanted} is not there: the GPUs are 0 to {count - 1}")
    device = torch.device("cuda", torch.cuda.current_device() if index is None else index)
    torch.cuda.set_device(device)
    return device


def is_cpu(wanted: str) -> bool:
    """Whether a wish that `use_device` takes is, or comes to, the CPU here."""
    return wanted == "cpu" or (wanted == "" and cuda_fault() is not None)


def _check_instruction_set() -> None:
    """UserError where the environment asks for kernels that this processor cannot run."""
    try:
        instruction_set()
    except RuntimeError as error:
        raise UserError(str(error).splitlines()[0]) from None


def cuda_fault() -> str | None:
    """Why the rasterizer cannot run on a GPU here; None where it can."""
    if torch.version.cuda is None:
        return "this torch was built for the CPU alone"
    if not torch.cuda.is_available():
        return "torch finds no GPU"
    if not torch._C._dispatch_has_kernel_for_dispatch_key("diff_gaussian_rasterization::project", "CUDA"):
        return "the rasterizer was compiled without nvcc, for the CPU alone"
    return None


def device_text(device: torch.device) -> str:
    """The device as people know it: "CPU, v4", "CUDA, NVIDIA H200"."""
    if device.type == "cuda":
        return f"CUDA, {torch.cuda.get_device_name(device)}"
    return f"CPU, {instruction_set()}"

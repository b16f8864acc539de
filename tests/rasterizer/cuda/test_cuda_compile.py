"""What ptxas said when the library was built: no spills, no more registers than the planned occupancy allows."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from diff_gaussian_rasterization import _native, ops
from diff_gaussian_rasterization._native.plan import CUDA_REPORT

pytestmark = pytest.mark.slow

KERNELS = (
    "adam",
    "isect_tiles",
    "blend",
    "blend_backward",
    "depth_terms",
    "effective_rank",
    "exposure",
    "photometric",
    "project",
    "statistics",
)

REGISTERS = 65536  # of a multiprocessor, on every card so far
THREADS = {"sm_75": 1024, "sm_80": 2048, "sm_90": 2048, "sm_100": 2048}  # of a multiprocessor; 1536 on the others
SHARED_BYTES = 100 * 1024  # of the smallest multiprocessor since sm_80
SHARED_BYTES_OF_CUDA = 1024  # which it takes from every block

TILES_AT_ONCE = {1: 4, 3: 4, 4: 4, 8: 3, 16: 2}  # by channels, csrc/cuda/tile.cuh's tiles_at_once

# float32 kernels: threads of a block, and how many blocks must fit on a multiprocessor at a time, by registers and by
# the shared memory of a small one (docs/measurements/gpu.md).
PLAN = {
    "project_kernel": (128, 6, 3),
    "project_backward_kernel": (128, 3, 3),  # the slope of the depth and its derivative take registers
    "count_tiles": (256, 6, 8),
    "write_tiles": (256, 4, 8),
    "pack_splats": (256, 6, 8),
    **{f"blend_kernelIfLi{channels}E": (256, tiles, 4) for channels, tiles in TILES_AT_ONCE.items()},
    **{f"blend_backward_kernelIfLi{channels}E": (256, tiles, 3) for channels, tiles in TILES_AT_ONCE.items()},
    # Along rays two sums more: of four channels with absgrad two tiles share a small multiprocessor, of others three.
    "blend_backward_kernelIfLi4E": (256, TILES_AT_ONCE[4], 2),
    "statistics_kernel": (256, 4, 4),
    "finish_gradients": (256, 4, 8),
    "finish_statistics": (256, 8, 8),
    "photometric_kernel": (256, 4, 4),
    "photometric_means": (256, 4, 8),
    "photometric_backward_kernel": (256, 4, 4),
    "inv_depth_l1_kernel": (256, 8, 8),
    "inv_depth_l1_backward_kernel": (256, 8, 8),
    "mean_distortion_kernel": (256, 8, 8),
    "mean_distortion_backward_kernel": (256, 8, 8),
    "effective_rank_cost_kernel": (256, 6, 8),
    "effective_rank_cost_backward_kernel": (256, 6, 8),
    "weighted_mean": (256, 4, 8),
    "expose_kernel": (256, 6, 8),
    "expose_backward_kernel": (256, 4, 8),
    "adam_kernel": (256, 8, 8),
}


class Usage(NamedTuple):
    kernel: str  # its mangled name
    architecture: str
    spilled: int  # bytes
    registers: int
    shared: int  # bytes


def usages(name: str) -> list[Usage]:
    """What ptxas said of each kernel in csrc/cuda/`name`.cu."""
    report = _native.load().parent / f"cuda_{name}{CUDA_REPORT}"
    if not ops.cuda_build() or not report.is_file():
        pytest.skip("the library in use was not built in this checkout with nvcc")
    pattern = (
        r"Compiling entry function '(\w+)' for '(sm_\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers"
        r"(?:[^\n]*?(\d+) bytes smem)?"
    )
    return [
        Usage(kernel, architecture, int(spilled), int(registers), int(shared or 0))
        for kernel, architecture, spilled, registers, shared in re.findall(pattern, report.read_text(), re.DOTALL)
    ]


def planned(kernel: str) -> str | None:
    """The name in PLAN of a float32 kernel."""
    return next((name for name in PLAN if re.search(rf"\d{name if 'If' in name else name + 'If'}", kernel)), None)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_have_no_spills_and_the_registers_planned(name: str) -> None:
    found = usages(name)
    built_for = {word for word in ops.cuda_build().split() if word.startswith("sm_")}
    assert {usage.architecture for usage in found} == built_for
    checked = set()
    for usage in found:
        is_double = re.search(r"\d[a-z_]+Id", usage.kernel) is not None  # for proofs, whose speed does not count
        assert usage.spilled == 0 or (is_double and usage.spilled <= 8), usage
        kernel = planned(usage.kernel)
        if kernel is None:
            continue
        threads, by_registers, by_shared = PLAN[kernel]
        by_registers = min(by_registers, THREADS.get(usage.architecture, 1536) // threads)
        assert -(-usage.registers // 8) * 8 * threads * by_registers <= REGISTERS, usage
        assert (usage.shared + SHARED_BYTES_OF_CUDA) * by_shared <= SHARED_BYTES, usage
        checked.add((kernel, usage.architecture))
    assert len(checked) >= len(built_for)

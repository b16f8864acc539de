"""What the built kernels' machine code says: a splat counts alike in all of them, and inner loops are no longer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from diff_gaussian_rasterization import _native, ops
from diff_gaussian_rasterization._native.plan import TESTED_CUDA

from .sass import Kernel, exponent_before, find_tool, kernels, parse, round_trips

pytestmark = pytest.mark.slow

# Arguments of templates, as mangled names have them.
NONE, CENTER, RAY, OF_SURFACES = (f"LNS_6scalar6DepthsE{depths}E" for depths in range(4))
PLAIN, ABSGRAD = NO_DISTORTION, DISTORTION = "Lb0E", "Lb1E"
EXP2 = "MUFU.EX2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sass")


def float_kernels(name: str, architecture: str, folder: Path) -> tuple[Kernel, ...]:
    """Those of csrc/cuda/`name`.cu in float32 that walk over splats, as the library in use has them."""
    built = _native.load().parent / f"cuda_{name}.o"
    if architecture not in ops.cuda_build().split() or not built.is_file():
        pytest.skip(f"the library in use was not built in this checkout with nvcc, for {architecture}")
    if not find_tool("cuobjdump") or not find_tool("nvdisasm"):
        pytest.skip("no nvdisasm here: `pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm`")
    return kernels(built, architecture, folder, f"{name}_kernelIf")


# ---- whether a splat counts

# The exponent of two before the test of alpha. <n>: byte n of a record, which begins with u, v, xx, xy, yy, opacity.
SLANT = "fma((<0> - pixel)*<8> + (<4> - pixel)*<12>)"
RISE = "(<4> - pixel)*<16>"
EXPONENT = f"-fma({RISE}*{RISE} + {SLANT}*{SLANT})"


def built_for() -> list[str]:
    return [word for word in ops.cuda_build().split() if word.startswith("sm_")] or ["sm_90"]


@pytest.mark.parametrize("architecture", built_for())
def test_whether_a_splat_counts_is_rounded_alike_everywhere(architecture: str, folder: Path) -> None:
    """Forward, backward and statistics decide it anew: one that decided otherwise would lose a splat's gradient."""
    channels = len(ops.CHANNEL_COUNTS)
    # Depths of centers and along rays; backward moreover without depths, and all with and without absgrad.
    for name, fewest in (("blend", 2 * channels), ("blend_backward", 6 * channels), ("statistics", 2)):
        found = float_kernels(name, architecture, folder)
        assert len(found) >= fewest
        for kernel in found:
            exponentials = kernel.all_of(EXP2)
            assert exponentials, kernel.name
            for at in exponentials:
                assert exponent_before(kernel, at) == (EXPONENT, "<20>"), kernel.name


# ---- how long loops are


class Budget(NamedTuple):
    """Instructions of a warp for a splat, from the loop's beginning to its beginning."""

    miss: int  # the shortest way: no pixel of the warp counts the splat
    hit: int  # the longest


# sm_90 by nvcc 13.0, for three channels. Whoever shortens a loop lowers its budget; a longer one wants a reason that is
# worth its time (docs/measurements/gpu.md).
BUDGETS = {
    ("blend", CENTER): Budget(27, 54),
    ("blend", RAY): Budget(27, 67),
    ("blend", OF_SURFACES): Budget(28, 120),
    # with absgrad or not, for a loss of the color; of depths too; of the distortion too
    ("blend_backward", PLAIN, NONE, NO_DISTORTION): Budget(32, 130),
    ("blend_backward", PLAIN, CENTER, NO_DISTORTION): Budget(32, 136),
    ("blend_backward", PLAIN, CENTER, DISTORTION): Budget(31, 144),
    ("blend_backward", PLAIN, RAY, NO_DISTORTION): Budget(32, 151),
    ("blend_backward", PLAIN, RAY, DISTORTION): Budget(31, 165),
    ("blend_backward", PLAIN, OF_SURFACES, DISTORTION): Budget(32, 225),
    ("blend_backward", ABSGRAD, NONE, NO_DISTORTION): Budget(32, 139),
    ("blend_backward", ABSGRAD, CENTER, NO_DISTORTION): Budget(32, 145),
    ("blend_backward", ABSGRAD, CENTER, DISTORTION): Budget(33, 155),
    ("blend_backward", ABSGRAD, RAY, NO_DISTORTION): Budget(32, 164),
    ("blend_backward", ABSGRAD, RAY, DISTORTION): Budget(33, 180),
    ("blend_backward", ABSGRAD, OF_SURFACES, DISTORTION): Budget(33, 239),
    ("statistics", CENTER): Budget(29, 99),
    ("statistics", RAY): Budget(30, 108),
    ("statistics", OF_SURFACES): Budget(29, 164),
}


@pytest.mark.parametrize("name", ["blend", "blend_backward", "statistics"])
def test_inner_loops_are_no_longer(name: str, folder: Path) -> None:
    if ops.cuda_build().split()[:1] != [TESTED_CUDA]:
        pytest.skip(f"the lengths are those of nvcc {TESTED_CUDA}")
    found = {}
    for kernel in float_kernels(name, "sm_90", folder):
        arguments = re.search(
            r"kernelIf(?:Li3E)?(L(?!i).*?)EEvNS", kernel.name
        )  # of the template, but type and channels
        if arguments is not None:
            ways = [
                round_trips(kernel, at) for at in kernel.all_of(EXP2)
            ]  # more than one where it depends on a setting
            key = (name, *re.findall(r"LNS_6scalar6DepthsE\dE|Lb\dE", arguments[1]))
            found[key] = Budget(max(miss for miss, _ in ways), max(hit for _, hit in ways))
    assert found.keys() == {key for key in BUDGETS if key[0] == name}
    longer = {
        key: f"{way} instead of {BUDGETS[key]}"
        for key, way in found.items()
        if way.miss > BUDGETS[key].miss or way.hit > BUDGETS[key].hit
    }
    assert not longer


# ---- the reader of machine code itself

LOOP = """
//--------------------- .text.kernel --------------------------
.text.kernel:
        /*0000*/                   S2R R0, SR_TID.X ;
.L_x_1:
        /*0010*/                   LDS.128 R8, [R13+0x40] ;
        /*0020*/                   LDS.64 R4, [R13+0x50] ;
        /*0030*/                   FADD.FTZ R14, -R38, R9 ;
        /*0040*/                   FADD.FTZ R9, -R37, R8 ;
        /*0050*/                   FMUL.FTZ R11, R11.reuse, R14 ;
        /*0060*/                   FMUL.FTZ R4, R14, R4 ;
        /*0070*/                   {slant} ;
        /*0080*/                   FMUL.FTZ R9, R9, -R9 ;
        /*0090*/                   FFMA.FTZ R9, -R4, R4, R9 ;
        /*00a0*/                   MUFU.EX2 R6, R9 ;
        /*00b0*/                   FMUL.FTZ R6, R6, R5 ;
        /*00c0*/                   FSETP.GEU.FTZ.AND P0, PT, R6, UR7, PT ;
        /*00d0*/              @!P0 BRA `(.L_x_2) ;
        /*00e0*/                   FADD.FTZ R20, R20, R6 ;
        /*00f0*/                   FADD.FTZ R21, R21, R6 ;
.L_x_2:
        /*0100*/                   ISETP.NE.AND P1, PT, R2, RZ, PT ;
        /*0110*/               @P1 BRA `(.L_x_1) ;
        /*0120*/                   EXIT ;
"""


def test_arithmetic_is_read_up_to_signs_and_order() -> None:
    (kernel,) = parse(LOOP.replace("{slant}", "FFMA.FTZ R9, R10, R9, R11"))
    at = kernel.all_of(EXP2)[0]
    assert exponent_before(kernel, at) == (EXPONENT, "<20>")
    assert round_trips(kernel, at) == (15, 17)
    (other,) = parse(LOOP.replace("{slant}", "FFMA.FTZ R9, R10, R9, R9"))
    assert exponent_before(other, at) != (EXPONENT, "<20>")


def test_a_longer_loop_is_seen() -> None:
    longer = LOOP.replace("{slant}", "FFMA.FTZ R9, R10, R9, R11").replace(
        "        /*00f0*/", "        /*00e8*/                   FADD.FTZ R22, R22, R6 ;\n        /*00f0*/"
    )
    (kernel,) = parse(longer)
    assert re.search("R22", longer) and round_trips(kernel, kernel.all_of(EXP2)[0]) == (15, 18)

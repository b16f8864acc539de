"""The CUDA kernels in the emulator: other orders of threads, sanitizers, and what the emulator itself must find."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from ..scenes import RasterScene, varied_scene
from .emulated import HERE, build
from .pipeline import Backend, blend_arguments, project_arguments, run
from .test_cuda_kernels import cotangents_of, deep_tile

pytestmark = pytest.mark.slow

ROOT = HERE.parents[2]


@pytest.mark.parametrize("scene", [varied_scene(0), varied_scene(3), deep_tile(31)], ids=["many", "few", "deep"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_the_same_bits_in_any_order_of_blocks_and_threads(
    emulated: Backend, scene: RasterScene, dtype: torch.dtype
) -> None:
    cotangents = cotangents_of(scene)
    first = run(emulated, scene, cotangents, dtype)
    for seed in (1, 2, 3):
        emulated.operators.seed(seed)
        for name, tensor in run(emulated, scene, cotangents, dtype).items():
            assert torch.equal(tensor, first[name]), (name, seed)


def test_a_failed_allocation_is_reported(emulated: Backend) -> None:
    projecting = project_arguments(varied_scene(0))
    splats = emulated.operators.project(*projecting)
    lists = emulated.operators.isect_tiles(splats[0], splats[1], splats[4], splats[6], splats[7], 1, 1)
    huge = varied_scene(0).with_settings(width=1 << 20, height=1 << 20)
    with pytest.raises(RuntimeError, match="torch could not allocate: "):
        emulated.operators.blend(*blend_arguments(huge, splats, lists), None)


# ---- the emulator itself

FAULTS = [
    r"block \(0,0,0\): emulated.cpp:\d+: 24 of 64 threads left before this barrier",
    r"threads wait at different barriers: emulated.cpp:\d+ and emulated.cpp:\d+",
    r"emulated.cpp:\d+: lanes that the mask names are elsewhere or have left",
]


@pytest.mark.parametrize("which", range(len(FAULTS)))
def test_the_emulator_finds_divergent_barriers(emulated: Backend, which: int) -> None:
    with pytest.raises(RuntimeError, match=FAULTS[which]):
        emulated.operators.fault(which, torch.zeros(64, dtype=torch.int32))
    assert run(emulated, varied_scene(3))["alpha"].max() > 0  # and can go on afterwards


def test_the_emulator_shows_a_race(emulated: Backend) -> None:
    results = []
    for seed in range(6):
        emulated.operators.seed(seed)
        out = torch.zeros(64, dtype=torch.int32)
        emulated.operators.fault(3, out)
        results.append(out)
    assert any(not torch.equal(results[0], other) for other in results[1:])


# ---- with sanitizers, in a process of its own: they must be loaded before all else

SANITIZED = """
import sys, torch
from pathlib import Path
from tests.rasterizer.cuda.emulated import load
from tests.rasterizer.cuda.pipeline import Backend, run
from tests.rasterizer.cuda.test_cuda_kernels import SPECIAL, cotangents_of, varied_scene
torch.set_num_threads(1)
operators = load(Path(sys.argv[1]))
if sys.argv[2] == "fault":
    operators.fault(4, torch.ones(64, dtype=torch.int32))
for scene in (varied_scene(3), SPECIAL["one pixel"], SPECIAL["nobody"], SPECIAL["ragged"]):
    for dtype in (torch.float32, torch.float64):
        run(Backend(operators), scene, cotangents_of(scene), dtype)
image, one = torch.rand(1, 17, 33), torch.ones(())
for mask in (None, image.round()):
    _, _, share, partials = operators.photometric(image, image * 0.5, mask, 4)
    operators.photometric_backward(image, image * 0.5, mask, share, partials, True, one, one)
lists = [[torch.rand(130, 5), torch.rand(130, 1)] for _ in range(4)]
operators.adam(*lists, [0.1, 0.2], torch.arange(130) % 3 == 0, 1, 0.9, 0.999, 1e-8)
print("finished")
"""


@pytest.fixture(scope="module")
def sanitized_library(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("sanitized") / "sanitized.so"
    flags = ("-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    try:
        build(path, *flags)
    except subprocess.CalledProcessError:
        pytest.skip("g++ here cannot build with -fsanitize=address,undefined")
    return str(path)


@pytest.mark.parametrize("what", ["kernels", "fault"])
def test_sanitizers(sanitized_library: str, what: str) -> None:
    runtime = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "submodules/diff-gaussian-rasterization")])
    environment = {
        **os.environ,
        "PYTHONPATH": paths,
        "LD_PRELOAD": runtime.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", SANITIZED, sanitized_library, what]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if what == "fault":
        assert result.returncode != 0 and ("out of bounds" in result.stderr or "AddressSanitizer" in result.stderr)
    else:
        assert result.returncode == 0 and result.stdout == "finished\n", result.stderr[-4000:]

"""The CUDA kernels in the emulator: other orders of threads, sanitizers, and what the emulator itself must find."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ..scenes import varied_scene
from .pipeline import Backend, blend_arguments, project_arguments, run
from .sanitized import ADDRESS, RACE, THREAD, reports
from .test_cuda_kernels import cotangents_of, deep_tile

pytestmark = pytest.mark.slow

SCENES = {"many": varied_scene(0), "few": varied_scene(3), "deep": deep_tile(31), "sensor": varied_scene(5)}


def assert_same_bits(found: dict[str, Tensor], expected: dict[str, Tensor], what: str) -> None:
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), (name, what)


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_the_same_bits_in_any_order(emulated: Backend, name: str, dtype: torch.dtype) -> None:
    """Of blocks, one or a few at a time, and of threads; and whatever was in shared memory before."""
    scene = SCENES[name]
    cotangents = cotangents_of(scene)
    first = run(emulated, scene, cotangents, dtype)
    assert first["alpha"].max() > 0 and first["v_means2d"].any()
    for seed, residents in ((1, 1), (2, 2), (3, 3)):
        emulated.operators.schedule(seed, residents)
        assert_same_bits(run(emulated, scene, cotangents, dtype), first, f"seed {seed}")
    emulated.operators.schedule(0, 1)
    for byte in (0x00, 0x3F):  # numbers 0 and about 0.75; in the first run not-a-number
        emulated.operators.fill_shared(byte)
        assert_same_bits(run(emulated, scene, cotangents, dtype), first, f"byte {byte}")


def test_a_failed_allocation_is_reported(emulated: Backend) -> None:
    projecting = project_arguments(varied_scene(0))
    splats = emulated.operators.project(*projecting)
    lists = emulated.operators.isect_tiles(splats[0], splats[1], splats[4], splats[6], splats[7], 1, 1)
    huge = varied_scene(0).with_settings(width=1 << 20, height=1 << 20)
    with pytest.raises(RuntimeError, match="torch could not allocate: "):
        emulated.operators.blend(*blend_arguments(huge, splats, lists), None)


# ---- the emulator itself

FAULTS = {
    "leaves": r"block \(0,0,0\): emulated.cpp:\d+: 24 of 64 threads left before this barrier",
    "parts": r"threads wait at different barriers: emulated.cpp:\d+ and emulated.cpp:\d+",
    "wrong_mask": r"emulated.cpp:\d+: lanes that the mask names are elsewhere or have left",
}


def run_fault(on: Backend, kernel: str, seed: int = 0, blocks: int = 1) -> list[int]:
    """What it writes, with all blocks on the card together."""
    out = torch.zeros(129, dtype=torch.int32)
    on.operators.schedule(seed, blocks)
    on.operators.fault(kernel, blocks, out)
    return out.tolist()


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("kernel", FAULTS)
def test_the_emulator_finds_divergent_barriers(emulated: Backend, kernel: str, blocks: int) -> None:
    with pytest.raises(RuntimeError, match=FAULTS[kernel]):
        run_fault(emulated, kernel, blocks=blocks)
    assert run(emulated, varied_scene(3))["alpha"].max() > 0  # and can go on afterwards


def test_another_order_shows_a_race(emulated: Backend) -> None:
    for kernel, blocks in (("without_a_barrier", 1), ("counts_blocks", 2)):
        results = [run_fault(emulated, kernel, seed, blocks) for seed in range(12)]
        assert any(other != results[0] for other in results[1:]), kernel
        results = [run_fault(emulated, "without_a_fault", seed, blocks) for seed in range(12)]
        assert all(other == results[0] for other in results[1:])


def test_shared_memory_is_full_of_what_it_should_be(emulated: Backend) -> None:
    for byte, number in ((0xFF, -1), (0x00, 0), (0x01, 0x01010101)):
        emulated.operators.fill_shared(byte)
        for blocks in (1, 2):  # the second finds nothing of the first
            assert run_fault(emulated, "what_nobody_wrote", blocks=blocks)[:64] == [number] * 64


# ---- with sanitizers


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return ADDRESS.build(tmp_path_factory.mktemp("sanitized"))
    except subprocess.CalledProcessError:
        pytest.skip("g++ here cannot build with -fsanitize=address,undefined")


def test_sanitizers_find_nothing(sanitized: Path) -> None:
    result = ADDRESS.drive(sanitized, "kernels", "1", "float32", "float64")
    assert result.returncode == 0 and result.stdout == "finished\n", result.stderr[-4000:]


def test_sanitizers_find_a_fault(sanitized: Path) -> None:
    result = ADDRESS.drive(sanitized, "faults", "beyond_its_memory")
    assert result.returncode != 0 and "in run_faults" in result.stderr
    assert "Illegal instruction" in result.stderr or "ERROR: AddressSanitizer" in result.stderr


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not THREAD.runtime_path():
        pytest.skip("g++ here has no ThreadSanitizer: libtsan is missing")
    return THREAD.build(tmp_path_factory.mktemp("watched"))


def test_no_kernel_has_a_race(watched: Path) -> None:
    """Between threads of a block, and between blocks that are on the card together."""
    result = THREAD.drive(watched, "kernels", "2", "float32")
    assert result.stdout == "finished\n" and RACE not in result.stderr, result.stderr[-4000:]


def test_races_are_found(watched: Path) -> None:
    faults = ("without_a_barrier", "vote_for_a_barrier", "too_soon", "counts_blocks")
    result = THREAD.drive(watched, "faults", *faults, "without_a_fault")
    assert result.stdout == "finished\n", result.stderr[-4000:]
    found = {name: RACE in report for name, report in reports(result.stderr, "fault").items()}
    assert found == {**dict.fromkeys(faults, True), "without_a_fault": False}

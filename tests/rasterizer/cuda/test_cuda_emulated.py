"""The CUDA kernels themselves, run on the CPU by an emulator, against the CPU's operators."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from diff_gaussian_rasterization.rasterize import Thresholds

from ..scenes import IMAGES, RasterScene, normal, random_scene, varied_scene
from .emulated import HERE, Emulated, Memory, build
from .pipeline import GRADIENTS, LISTS, SPLAT_GRADIENTS, OnCpu, run

ROOT = HERE.parents[2]
INTEGERS = {"radii", "num_nonfinite", *LISTS, "end"}
MUST_NOT_BE_ZERO = ("color", "depth", "alpha", "distortion", *SPLAT_GRADIENTS[:6], *GRADIENTS[:5], "distortion_share")

SPECIAL = {
    "one pixel": random_scene(11, n=20, width=1, height=1),
    "one whole tile": random_scene(12, n=60, width=16, height=16),
    "ragged": random_scene(13, n=60, width=35, height=17, distortion_space="inverse"),
    "one row": random_scene(14, n=40, width=50, height=1, antialiasing=True),
    "empty tiles": random_scene(15, n=3, width=90, height=70, kinds=["tiny"]),
    "nobody": random_scene(16, n=9, width=20, height=20).rows([]),
    "nobody in sight": random_scene(17, n=40, width=40, height=40, kinds=["behind"]),
    "one Gaussian": random_scene(18, n=1, width=20, height=20, kinds=["huge"]),
    "a block of Gaussians and one more": random_scene(19, n=129, width=24, height=24),
    "fewer SH than there are": random_scene(20, width=24, height=24, sh_degree=3).with_settings(sh_degree=1),
    "no SH but the first": random_scene(21, width=24, height=24, sh_degree=3).with_settings(sh_degree=0),
    "plain colors": random_scene(22, width=24, height=24, sh_degree=None),
    "other thresholds": random_scene(23, width=24, height=24, thresholds=Thresholds(0.05, 0.7, 0.1)),
    "scale modifier": random_scene(24, width=24, height=24, scale_modifier=1.7),
    "needles": random_scene(25, width=70, height=50, kinds=["needle", "huge"]),
}


def deep_tile(seed: int = 30) -> RasterScene:
    """One tile that almost 3,000 faint splats reach: many batches, and pixels that end in different ones."""
    scene = random_scene(seed, n=3000, width=16, height=16, kinds=["ordinary"], sh_degree=0)
    faint = 0.005 + 0.2 * scene.tensors["opacities"]
    return scene.with_tensors(opacities=faint.float().double())


def cotangents_of(scene: RasterScene, images: tuple[str, ...] = IMAGES, seed: int = 5) -> dict[str, Tensor | None]:
    """None for an image that no loss looks at."""
    rng = torch.Generator().manual_seed(seed)
    s = scene.settings
    everything = {name: normal(rng, 3 if name == "color" else 1, s["height"], s["width"]) for name in IMAGES}
    return {name: everything[name] if name in images else None for name in IMAGES}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-9) -> None:
    """Integers exactly, the rest to `tolerance` of the largest number; a reference where anything was hit."""
    hit = expected["alpha"] > 0
    for name, tensor in expected.items():
        if name in INTEGERS:
            assert torch.equal(found[name], tensor), name
            continue
        one, other = found[name].double(), tensor.double()
        if name == "reference":
            one, other = one * hit, other * hit
        largest = max(1e-12, float(other.abs().max())) if other.numel() else 1.0
        assert found[name].shape == tensor.shape and (one - other).abs().le(tolerance * largest).all(), name


@pytest.mark.parametrize("seed", range(14))
def test_float64_is_the_cpus(emulated: Emulated, seed: int) -> None:
    scene = varied_scene(seed)
    cotangents = cotangents_of(scene)
    expected = run(OnCpu, scene, cotangents)
    for name in MUST_NOT_BE_ZERO:
        assert expected[name].abs().max() > 0, name
    assert_same(run(emulated, scene, cotangents), expected)


@pytest.mark.parametrize("name", SPECIAL)
def test_special_scenes(emulated: Emulated, name: str) -> None:
    scene = SPECIAL[name]
    cotangents = cotangents_of(scene)
    expected = run(OnCpu, scene, cotangents)
    assert (expected["alpha"].max() > 0) == (not name.startswith("nobody"))
    assert_same(run(emulated, scene, cotangents), expected)


def test_thousands_of_splats_in_a_tile(emulated: Emulated) -> None:
    scene = deep_tile()
    cotangents = cotangents_of(scene)
    expected = run(OnCpu, scene, cotangents)
    assert len(expected["ids"]) > 1000 and 300 < expected["end"].min() < expected["end"].max()
    assert_same(run(emulated, scene, cotangents), expected)


@pytest.mark.parametrize(
    "images", [(), ("color",), ("alpha",), ("color", "depth"), ("inv_depth",), ("color", "distortion"), ("distortion",)]
)
def test_images_that_no_loss_looks_at(emulated: Emulated, images: tuple[str, ...]) -> None:
    for seed in (2, 5):
        scene = varied_scene(seed)
        expected = run(OnCpu, scene, cotangents_of(scene, images))
        assert bool(expected["v_opacities2d"].any()) == bool(images)
        assert_same(run(emulated, scene, cotangents_of(scene, images)), expected)


def test_values_that_are_not_finite_are_culled_and_counted(emulated: Emulated) -> None:
    scene = random_scene(40, n=70, width=24, height=24)
    t = {name: tensor.clone() for name, tensor in scene.tensors.items()}
    t["means"][3, 1], t["scales"][40, 0], t["quats"][33, 2] = torch.nan, torch.inf, -torch.inf
    t["opacities"][69, 0], t["shs"][5, 15, 2] = torch.nan, torch.nan
    scene = scene.with_tensors(**t)
    cotangents = cotangents_of(scene)
    expected, found = run(OnCpu, scene, cotangents), run(emulated, scene, cotangents)
    assert expected["num_nonfinite"] == 5 and expected["alpha"].max() > 0
    assert_same(found, expected)
    for row in (3, 5, 33, 40, 69):
        assert found["radii"][row] == 0 and not found["v_features"][row].any() and not found["v_means"][row].any()


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_float32_is_close_to_float64(emulated: Emulated, seed: int) -> None:
    scene = varied_scene(seed)
    cotangents = cotangents_of(scene)
    single, double = run(emulated, scene, cotangents, torch.float32), run(emulated, scene, cotangents)
    assert single["color"].dtype == torch.float32
    for name in ("color", "depth", "alpha", *GRADIENTS, *SPLAT_GRADIENTS):
        largest = double[name].abs().max()
        assert (single[name].double() - double[name]).abs().max() <= 1e-3 * largest, name


@pytest.mark.parametrize("scene", [varied_scene(0), varied_scene(3), deep_tile(31)], ids=["many", "few", "deep"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_the_same_bits_in_any_order_of_blocks_and_threads(
    emulated: Emulated, scene: RasterScene, dtype: torch.dtype
) -> None:
    cotangents = cotangents_of(scene)
    first = run(emulated, scene, cotangents, dtype)
    for seed in (1, 2, 3):
        emulated.seed(seed)
        for name, tensor in run(emulated, scene, cotangents, dtype).items():
            assert torch.equal(tensor, first[name]), (name, seed)


def test_ties_in_depth_stay_in_order(emulated: Emulated) -> None:
    scene = random_scene(41, n=60, width=24, height=24, move=False)
    means = scene.tensors["means"].clone()
    means[::2, 2] = 3.0
    expected = run(OnCpu, scene.with_tensors(means=means))
    assert_same(run(emulated, scene.with_tensors(means=means)), expected)


class NoMemory(Memory):
    """Has as much as `left` allocations say."""

    left = 0

    def _allocate(self, context: int, purpose: int, size: int) -> Any:
        if NoMemory.left == 0:
            return None
        NoMemory.left -= 1
        return super()._allocate(context, purpose, size)


def test_out_of_memory_is_reported(emulated: Emulated, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = varied_scene(0)
    monkeypatch.setattr("tests.rasterizer.cuda.emulated.Memory", NoMemory)
    reached = set()
    for NoMemory.left in range(40):
        try:
            run(emulated, scene, cotangents_of(scene))
        except RuntimeError as error:
            reached.add(str(error))
    assert reached == {
        f"{name} returned 2" for name in ("bin", "blend", "blend_backward", "project_backward", "blend_statistics")
    }


# ---- SSIM and Adam

SSIM_SHAPES = [(1, 1, 1), (2, 13, 17), (1, 1, 40), (3, 37, 70), (2, 16, 32), (1, 33, 65)]


@pytest.mark.parametrize("shape", SSIM_SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_ssim(emulated: Emulated, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(1)
    image, noise, v = (torch.rand(shape, generator=rng, dtype=torch.float64) for _ in range(3))
    target = 0.7 * image + 0.3 * noise
    expected, partials = OnCpu.ssim(image, target, 4)
    assert expected.min() < 0.999
    tolerance = {"rtol": 0, "atol": 1e-11 if dtype == torch.float64 else 1e-3}
    for seed, count in ((0, 0), (1, 3), (2, 4)):
        emulated.seed(seed)
        found, found_partials = emulated.ssim(image.to(dtype), target.to(dtype), count)
        torch.testing.assert_close(found.double(), expected, **tolerance)
        for each, other in zip(found_partials.double(), partials, strict=False):
            torch.testing.assert_close(each, other, rtol=0, atol=tolerance["atol"] * float(1 + other.abs().max()))
        for is_target in (False, True):
            images = (target, image) if is_target else (image, target)
            wanted = OnCpu.ssim_backward(*images, v, partials, is_target)
            assert wanted.abs().max() > 1e-3
            given = [tensor.to(dtype) for tensor in (*images, v, partials)]
            v_image = emulated.ssim_backward(*given, is_target)
            torch.testing.assert_close(
                v_image.double(), wanted, rtol=0, atol=tolerance["atol"] * float(wanted.abs().max())
            )


@pytest.mark.parametrize("rows", [0, 1, 127, 300])
@pytest.mark.parametrize("some", [False, True], ids=["all rows", "visible rows"])
def test_adam(emulated: Emulated, rows: int, some: bool) -> None:
    rng = torch.Generator().manual_seed(2)
    shapes, rates = ((3,), (4,), (1,), (15, 3)), [1e-2, 3e-3, 2e-2, 5e-4]
    gradients, values, firsts = ([normal(rng, rows, *shape) for shape in shapes] for _ in range(3))
    seconds = [normal(rng, rows, *shape).square() for shape in shapes]
    visible = torch.rand(rows, generator=rng) < 0.5 if some else None
    lists = [[tensor.clone() for tensor in tensors] for tensors in (values, firsts, seconds)]
    for on, (p, m, v) in ((OnCpu, (values, firsts, seconds)), (emulated, lists)):
        on.adam(p, gradients, m, v, rates, visible, 3, 0.9, 0.999, 1e-15)
    for expected, found in zip((values, firsts, seconds), lists, strict=True):
        for one, other in zip(expected, found, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-13)
    if rows > 1 and some:
        before = normal(torch.Generator().manual_seed(2), rows, 3)
        assert not torch.equal(before, values[0])


# ---- the emulator itself

FAULTS = [
    r"block \(0,0,0\): emulated.cpp:\d+: 24 of 64 threads left before this barrier",
    r"threads wait at different barriers: emulated.cpp:\d+ and emulated.cpp:\d+",
    r"emulated.cpp:\d+: lanes that the mask names are elsewhere or have left",
]


@pytest.mark.parametrize("which", range(len(FAULTS)))
def test_the_emulator_finds_divergent_barriers(emulated: Emulated, which: int) -> None:
    with pytest.raises(RuntimeError, match=FAULTS[which]):
        emulated.fault(which, torch.zeros(64, dtype=torch.int32))
    assert run(emulated, varied_scene(3))["alpha"].max() > 0  # and can go on afterwards


def test_the_emulator_shows_a_race(emulated: Emulated) -> None:
    results = []
    for seed in range(6):
        emulated.seed(seed)
        out = torch.zeros(64, dtype=torch.int32)
        emulated.fault(3, out)
        results.append(out)
    assert any(not torch.equal(results[0], other) for other in results[1:])


# ---- with sanitizers, in a process of its own: they must be loaded before all else

SANITIZED = """
import sys, torch
from pathlib import Path
from tests.rasterizer.cuda.emulated import Emulated
from tests.rasterizer.cuda.pipeline import run
from tests.rasterizer.cuda.test_cuda_emulated import SPECIAL, cotangents_of, varied_scene
torch.set_num_threads(1)
emulated = Emulated(Path(sys.argv[1]))
if sys.argv[2] == "fault":
    emulated.fault(4, torch.ones(64, dtype=torch.int32))
for scene in (varied_scene(3), SPECIAL["one pixel"], SPECIAL["nobody"], SPECIAL["ragged"]):
    for dtype in (torch.float32, torch.float64):
        run(emulated, scene, cotangents_of(scene), dtype)
image = torch.rand(1, 17, 33)
similarity, partials = emulated.ssim(image, image * 0.5, 4)
emulated.ssim_backward(image, image * 0.5, similarity, partials, True)
lists = [[torch.rand(130, 5), torch.rand(130, 1)] for _ in range(4)]
emulated.adam(*lists, [0.1, 0.2], torch.arange(130) % 3 == 0, 1, 0.9, 0.999, 1e-8)
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

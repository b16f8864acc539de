"""The CUDA kernels, in the emulator and on a card where there is one, against the CPU's operators."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diff_gaussian_rasterization.rasterize import Thresholds

from ..scenes import IMAGES, RasterScene, normal, random_scene, varied_scene
from .pipeline import GRADIENTS, LISTS, ON_CARD, ON_CPU, SPLAT_GRADIENTS, Backend, project_arguments, run

pytestmark = pytest.mark.slow

INTEGERS = {"radii", "num_nonfinite", *LISTS, "end", "surface_ends"}
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
    **{f"{c} channels": random_scene(30 + c, width=40, height=24, sh_degree=None, channels=c) for c in (1, 4, 8, 16)},
    "surfaces": random_scene(26, n=200, width=40, height=24, depth_model="ray", distortion_gap=0.1),
    "surfaces, centers": random_scene(27, n=200, width=40, height=24, distortion_gap=0.1, distortion_space="inverse"),
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
    channels = len(scene.tensors["background"])
    everything = {name: normal(rng, channels if name == "color" else 1, s["height"], s["width"]) for name in IMAGES}
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
def test_float64_is_the_cpus(kernels: Backend, seed: int) -> None:
    scene = varied_scene(seed)
    cotangents = cotangents_of(scene)
    expected = run(ON_CPU, scene, cotangents)
    for name in MUST_NOT_BE_ZERO:
        assert expected[name].abs().max() > 0, name
    assert_same(run(kernels, scene, cotangents), expected)


@pytest.mark.parametrize("name", SPECIAL)
def test_special_scenes(kernels: Backend, name: str) -> None:
    scene = SPECIAL[name]
    cotangents = cotangents_of(scene)
    expected = run(ON_CPU, scene, cotangents)
    assert (expected["alpha"].max() > 0) == (not name.startswith("nobody"))
    assert_same(run(kernels, scene, cotangents), expected)


def test_thousands_of_splats_in_a_tile(kernels: Backend) -> None:
    scene = deep_tile()
    cotangents = cotangents_of(scene)
    expected = run(ON_CPU, scene, cotangents)
    assert len(expected["flatten_ids"]) > 1000 and 300 < expected["end"].min() < expected["end"].max()
    assert_same(run(kernels, scene, cotangents), expected)


@pytest.mark.parametrize(
    "images", [(), ("color",), ("alpha",), ("color", "depth"), ("inv_depth",), ("color", "distortion"), ("distortion",)]
)
def test_images_that_no_loss_looks_at(kernels: Backend, images: tuple[str, ...]) -> None:
    for seed in (2, 5):
        scene = varied_scene(seed)
        expected = run(ON_CPU, scene, cotangents_of(scene, images))
        assert bool(expected["v_opacities2d"].any()) == bool(images)
        assert_same(run(kernels, scene, cotangents_of(scene, images)), expected)


@pytest.mark.parametrize("images", [IMAGES, ("color",), ("color", "depth")], ids=["all", "color", "depth"])
@pytest.mark.parametrize("name", ["ragged", "1 channels", "8 channels"])
def test_without_absolute_gradients(kernels: Backend, name: str, images: tuple[str, ...]) -> None:
    scene = SPECIAL[name]
    cotangents = cotangents_of(scene, images)
    found = run(kernels, scene, cotangents, absgrad=False)
    assert found.pop("absgrad").numel() == 0
    expected = run(ON_CPU, scene, cotangents)
    assert expected.pop("absgrad").any()
    assert_same(found, expected)


def test_values_that_are_not_finite_are_culled_and_counted(kernels: Backend) -> None:
    scene = random_scene(40, n=70, width=24, height=24)
    t = {name: tensor.clone() for name, tensor in scene.tensors.items()}
    t["means"][3, 1], t["scales"][40, 0], t["quats"][33, 2] = torch.nan, torch.inf, -torch.inf
    t["opacities"][69, 0], t["shs"][5, 15, 2] = torch.nan, torch.nan
    scene = scene.with_tensors(**t)
    cotangents = cotangents_of(scene)
    expected, found = run(ON_CPU, scene, cotangents), run(kernels, scene, cotangents)
    assert expected["num_nonfinite"] == 5 and expected["alpha"].max() > 0
    assert_same(found, expected)
    for row in (3, 5, 33, 40, 69):
        assert found["radii"][row] == 0 and not found["v_features"][row].any() and not found["v_means"][row].any()


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_float32_is_close_to_float64(kernels: Backend, seed: int) -> None:
    scene = varied_scene(seed)
    cotangents = cotangents_of(scene)
    single, double = run(kernels, scene, cotangents, torch.float32), run(kernels, scene, cotangents)
    assert single["color"].dtype == torch.float32
    for name in ("color", "depth", "alpha", *GRADIENTS, *SPLAT_GRADIENTS):
        if name == "v_depth_slopes" and scene.settings["depth_model"] == "center":
            continue
        error = (single[name].double() - double[name]).abs() / double[name].abs().max()
        # Rounding may decide otherwise whether a splat counts at a pixel, which a card's and the emulator's do apart.
        assert error.max() <= 0.05 and (error > 1e-3).double().mean() <= 0.01, name


def test_ties_in_depth_stay_in_order(kernels: Backend) -> None:
    scene = random_scene(41, n=60, width=24, height=24, move=False)
    means = scene.tensors["means"].clone()
    means[::2, 2] = 3.0
    expected = run(ON_CPU, scene.with_tensors(means=means))
    assert_same(run(kernels, scene.with_tensors(means=means)), expected)


@pytest.mark.parametrize("used", [0, 1, 3])
def test_harmonics_in_two_tensors_are_those_in_one(kernels: Backend, used: int) -> None:
    scene = random_scene(42, n=70, width=24, height=24, sh_degree=3).with_settings(sh_degree=used)
    *given, _ = (each.to(kernels.device) if isinstance(each, Tensor) else each for each in project_arguments(scene))
    parts = [*given, given[4][:, 1:].contiguous()]
    parts[4] = given[4][:, :1].contiguous()
    whole = kernels.operators.project(*given, None)
    for one, other in zip(kernels.operators.project(*parts), whole, strict=True):
        assert torch.equal(one, other)
    v = [torch.ones_like(each) for each in whole[:6]]
    *expected, none = kernels.operators.project_backward(*given, None, whole[7], *v)
    *found, v_rest = kernels.operators.project_backward(*parts, whole[7], *v)
    assert none.numel() == 0 and expected[4][:, : (used + 1) ** 2].any()
    found[4] = torch.cat([found[4], v_rest], dim=1)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


# ---- photometric, depth terms and Adam

PHOTOMETRIC_SHAPES = [(1, 1, 1), (2, 13, 17), (1, 1, 40), (3, 37, 70), (2, 16, 32), (1, 33, 65), (3, 0, 5)]


def assert_near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """To `tolerance` of the largest number, or of 1."""
    largest = float(1 + expected.abs().amax()) if expected.numel() else 1.0
    torch.testing.assert_close(found.cpu().double(), expected, rtol=0, atol=tolerance * largest)


def some_images(shape: tuple[int, int, int], masked: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Two images, equal at a pixel, and a mask of weights 0, 0.5 and 1, outside which there are no numbers."""
    rng = torch.Generator().manual_seed(1)
    image, noise = (torch.rand(shape, generator=rng, dtype=torch.float64) for _ in range(2))
    target = 0.7 * image + 0.3 * noise
    target[:, -1:, :1] = image[:, -1:, :1]
    if not masked:
        return image, target, None
    mask = torch.randint(0, 3, (1, *shape[1:]), generator=rng) / 2.0
    return torch.where(mask > 0, image, torch.nan), torch.where(mask > 0, target, torch.inf), mask.double()


@pytest.mark.parametrize("shape", PHOTOMETRIC_SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("masked", [False, True], ids=["all pixels", "masked"])
def test_photometric(kernels: Backend, shape: tuple[int, int, int], dtype: torch.dtype, masked: bool) -> None:
    image, target, mask = some_images(shape, masked)
    v = [torch.tensor(number, dtype=torch.float64) for number in (0.8, -0.3)]
    expected = ON_CPU.operators.photometric(image, target, mask, 4)
    tolerance = 1e-11 if dtype == torch.float64 else 5e-4

    def given(*tensors: Tensor | None) -> list[Tensor | None]:
        return [None if tensor is None else tensor.to(kernels.device, dtype) for tensor in tensors]

    for count in (0, 3, 4):
        *found, partials = kernels.operators.photometric(*given(image, target, mask), count)
        for one, other in zip(found, expected[:3], strict=True):
            assert_near(one, other, tolerance)
        assert_near(partials, expected[3][:count], tolerance)
    for is_target in (False, True):
        inputs = (target, image, mask, *expected[2:]) if is_target else (image, target, mask, *expected[2:])
        wanted = ON_CPU.operators.photometric_backward(*inputs, is_target, *v)
        assert wanted.isfinite().all() and (wanted.any() or image.numel() < 2)
        assert_near(kernels.operators.photometric_backward(*given(*inputs), is_target, *given(*v)), wanted, tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_photometric_has_the_same_bits_in_every_run(kernels: Backend, dtype: torch.dtype) -> None:
    image, target = (tensor.to(kernels.device, dtype) for tensor in some_images((3, 37, 70), False)[:2])
    first = kernels.operators.photometric(image, target, None, 4)
    assert first[0] > 0.01 and first[1] > 0.01
    for seed in (1, 2, 3):
        if kernels is not ON_CARD:
            kernels.operators.schedule(seed, seed)
        for found, expected in zip(kernels.operators.photometric(image, target, None, 4), first, strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 13, 17), (1, 41, 107), (1, 0, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True], ids=["all pixels", "weighted"])
def test_depth_terms(kernels: Backend, shape: tuple[int, int, int], dtype: torch.dtype, weighted: bool) -> None:
    rng = torch.Generator().manual_seed(4)
    alpha, depth, target, weight, distortion = (torch.rand(shape, generator=rng, dtype=torch.float64) for _ in range(5))
    alpha, target = torch.where(alpha > 0.2, alpha, 0.0), torch.where(target > 0.1, 1 + target, 0.0)
    inv_depth, valid = alpha / (1 + depth), weight > 0.1
    extra = [valid, torch.where(weight > 0.3, weight, 0.0)] if weighted else [None, None]
    v, tolerance = torch.tensor(0.7, dtype=torch.float64), 1e-11 if dtype == torch.float64 else 1e-5

    def given(*tensors: Tensor | None) -> list[Tensor | None]:
        placed = [None if tensor is None else tensor.to(kernels.device) for tensor in tensors]
        return [each.to(dtype) if each is not None and each.is_floating_point() else each for each in placed]

    inverse = ([inv_depth, alpha, target, *extra], (1.3, 1.4))
    for name, (inputs, numbers) in {
        "inv_depth_l1": inverse,
        "mean_distortion": ([distortion, alpha, extra[1]], (1.3, 0.2)),
    }.items():
        expected = getattr(ON_CPU.operators, name)(*inputs, *numbers)
        found = getattr(kernels.operators, name)(*given(*inputs), *numbers)
        backward = f"{name}_backward"
        wanted = getattr(ON_CPU.operators, backward)(*inputs, *numbers, expected[1], v)
        gradients = getattr(kernels.operators, backward)(*given(*inputs), *numbers, *given(expected[1], v))
        assert alpha.numel() < 2 or (expected[0] > 1e-3 and all(each.any() for each in wanted))
        for one, other in zip((*found, *_tuple(gradients)), (*expected, *_tuple(wanted)), strict=True):
            assert_near(one, other, tolerance)


def _tuple(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (result,) if isinstance(result, Tensor) else result


@pytest.mark.parametrize("rows", [0, 1, 37, 4_500])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_effective_rank(kernels: Backend, rows: int, dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(5)
    logs, visible = 2 * normal(rng, rows, 3), torch.arange(rows) % 3 != 1
    v, tolerance = torch.tensor(0.7, dtype=torch.float64), 1e-11 if dtype == torch.float64 else 1e-5
    value, share = ON_CPU.operators.effective_rank_cost(logs, visible, 1.5)
    wanted = value, share, ON_CPU.operators.effective_rank_cost_backward(logs, visible, 1.5, share, v)
    given, seen = logs.to(kernels.device, dtype), visible.to(kernels.device)
    value, share = kernels.operators.effective_rank_cost(given, seen, 1.5)
    gradient = kernels.operators.effective_rank_cost_backward(given, seen, 1.5, share, v.to(kernels.device, dtype))
    assert rows < 2 or (wanted[0] > 0.1 and wanted[2].any() and not wanted[2][~visible].any())
    for one, other in zip((value, share, gradient), wanted, strict=True):
        assert_near(one, other, tolerance)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 41, 107), (3, 0, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_exposure(kernels: Backend, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(6)
    color, v = normal(rng, *shape), normal(rng, *shape)
    exposure, tolerance = normal(rng, 3, 4), 1e-11 if dtype == torch.float64 else 1e-5
    given = [each.to(kernels.device, dtype) for each in (color, exposure, v)]
    wanted = ON_CPU.operators.expose(color, exposure), *ON_CPU.operators.expose_backward(color, exposure, v)
    assert wanted[2].all() or color.numel() == 0
    found = kernels.operators.expose(*given[:2]), *kernels.operators.expose_backward(*given)
    for one, other in zip(found, wanted, strict=True):
        assert_near(one, other, tolerance)


def test_adam_moves_nothing_where_not_all_is_finite(kernels: Backend) -> None:
    lists = [[torch.rand(130, columns).to(kernels.device) for columns in (5, 1)] for _ in range(4)]
    before = [value.clone() for value in lists[0]]
    for finite in (False, True):
        flag = torch.tensor(finite).to(kernels.device)
        kernels.operators.adam(*lists, [0.1, 0.2], None, flag, 1, 0.9, 0.999, 1e-8)
        assert all(torch.equal(value, start) != finite for value, start in zip(lists[0], before, strict=True))


@pytest.mark.parametrize("rows", [0, 1, 127, 300])
@pytest.mark.parametrize("some", [False, True], ids=["all rows", "visible rows"])
def test_adam(kernels: Backend, rows: int, some: bool) -> None:
    rng = torch.Generator().manual_seed(2)
    shapes, rates = ((3,), (4,), (1,), (15, 3)) * 3, [1e-2, 3e-3, 2e-2, 5e-4] * 3  # more than a launch takes
    values, gradients, firsts = ([normal(rng, rows, *shape) for shape in shapes] for _ in range(3))
    seconds = [normal(rng, rows, *shape).square() for shape in shapes]
    visible = torch.rand(rows, generator=rng) < 0.5 if some else None
    results = []
    for on in (ON_CPU, kernels):
        p, g, m, v = (
            [tensor.to(on.device, copy=True) for tensor in tensors] for tensors in (values, gradients, firsts, seconds)
        )
        seen = None if visible is None else visible.to(on.device)
        on.operators.adam(p, g, m, v, rates, seen, None, 3, 0.9, 0.999, 1e-15)
        results.append([*p, *m, *v])
    for expected, found, before in zip(*results, [*values, *firsts, *seconds], strict=True):
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-12, atol=1e-13)
        changed = (expected != before).flatten(1).any(dim=1)
        assert torch.equal(changed, torch.ones(rows, dtype=torch.bool) if visible is None else visible)

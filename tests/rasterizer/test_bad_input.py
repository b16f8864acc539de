"""What must be refused is refused, by name and before any work; what must be survived is survived."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from diff_gaussian_rasterization import Thresholds, rasterize
from diff_gaussian_rasterization.reference import rasterize_reference
from tests.rasterizer.scenes import IMAGES, RasterScene, backward, forward, random_cotangents, random_scene

DOUBLE = torch.float64
N = 5


def arguments(sh_degree: int | None = 1) -> dict[str, Any]:
    scene = random_scene(1, n=N, sh_degree=sh_degree)
    return {**scene.tensors, **scene.settings}


def ones(*shape: int, dtype: torch.dtype = DOUBLE, device: str = "cpu") -> Tensor:
    return torch.ones(shape, dtype=dtype, device=device)


Wrong = tuple[str, Any, list[str]]

# argument, its value, and what the message must say besides its name: what it is, and what it must be
WRONG_SHAPES: list[Wrong] = [
    ("means", ones(N), ["(5,)", "(N, 3)"]),
    ("means", ones(N, 4), ["(5, 4)", "(N, 3)"]),
    ("scales", ones(N, 1), ["(5, 1)", "(5, 3)"]),
    ("scales", ones(N + 1, 3), ["(6, 3)", "(5, 3)"]),
    ("quats", ones(N, 3), ["(5, 3)", "(5, 4)"]),
    ("opacities", ones(N), ["(5,)", "(5, 1)"]),
    ("opacities", ones(N, 3), ["(5, 3)", "(5, 1)"]),
    ("shs", ones(N, 12), ["(5, 12)", "(5, K, 3)"]),
    ("shs", ones(N, 4, 4), ["(5, 4, 4)", "(5, K, 3)"]),
    ("shs", ones(N - 1, 4, 3), ["(4, 4, 3)", "(5, K, 3)"]),
    ("shs", ones(N, 3, 3), ["(5, 3, 3)", "4"]),
    ("viewmat", ones(3, 4), ["(3, 4)", "(4, 4)"]),
    ("viewmat", ones(1, 4, 4), ["(1, 4, 4)", "(4, 4)"]),
    ("background", ones(1, 3), ["(1, 3)", "(3,)"]),
    ("background", ones(1), ["(1,)", "(3,)"]),
    ("means2d_offset", ones(N, 3), ["(5, 3)", "(5, 2)"]),
]
WRONG_KINDS: list[Wrong] = [
    ("means", ones(N, 3).tolist(), ["list", "tensor"]),
    ("means", ones(N, 3, dtype=torch.int64), ["int64", "float32", "float64"]),
    ("means", ones(N, 3, dtype=torch.float16), ["float16", "float32", "float64"]),
    ("scales", None, ["NoneType", "tensor"]),
    ("background", (0.0, 0.0, 0.0), ["tuple", "tensor"]),
    *((name, ones(*shape, dtype=torch.float32), ["float32", "float64"]) for name, shape in (
        ("scales", (N, 3)), ("quats", (N, 4)), ("opacities", (N, 1)), ("shs", (N, 4, 3)), ("viewmat", (4, 4)),
        ("background", (3,)), ("means2d_offset", (N, 2)),
    )),
    *((name, ones(*shape, device="meta"), ["meta", "cpu"]) for name, shape in (
        ("means", (N, 3)), ("scales", (N, 3)), ("quats", (N, 4)), ("opacities", (N, 1)), ("shs", (N, 4, 3)),
        ("viewmat", (4, 4)), ("background", (3,)),
    )),
]  # fmt: skip
WRONG_NUMBERS: list[Wrong] = [
    ("width", 0, ["0", "1"]),
    ("width", -3, ["-3", "1"]),
    ("width", 40.0, ["40.0", "integer"]),
    ("height", 0, ["0", "1"]),
    ("height", -1, ["-1", "1"]),
    ("height", None, ["None", "integer"]),
    ("fx", 0.0, ["0", "above 0"]),
    ("fx", -10.0, ["-10", "above 0"]),
    ("fx", math.nan, ["nan", "finite"]),
    ("fy", math.inf, ["inf", "finite"]),
    ("fy", "wide", ["wide", "number"]),
    ("cx", math.nan, ["nan", "finite"]),
    ("cy", -math.inf, ["-inf", "finite"]),
    ("near", -0.1, ["-0.1", "0"]),
    ("near", math.nan, ["nan", "finite"]),
    ("scale_modifier", 0.0, ["0", "above 0"]),
    ("scale_modifier", math.inf, ["inf", "finite"]),
    ("sh_degree", 4, ["4", "3"]),
    ("sh_degree", -1, ["-1", "0"]),
    ("sh_degree", 1.0, ["1.0", "integer"]),
    ("sh_degree", 2, ["2", "9"]),  # with the 4 coefficients of degree 1
    ("distortion_space", "log", ["log", "linear", "inverse"]),
    ("distortion_space", None, ["None", "linear", "inverse"]),
    ("thresholds", Thresholds(alpha_min=-0.1), ["alpha_min", "-0.1"]),
    ("thresholds", Thresholds(alpha_min=0.995), ["alpha_min", "0.995", "0.99"]),
    ("thresholds", Thresholds(alpha_max=1.0), ["alpha_max", "1"]),
    ("thresholds", Thresholds(transmittance_min=math.nan), ["transmittance_min", "nan"]),
]


def name_of(value: Any) -> str | None:
    return f"{tuple(value.shape)} {value.dtype} {value.device}" if isinstance(value, Tensor) else None


@pytest.mark.parametrize("name, value, words", WRONG_SHAPES + WRONG_KINDS + WRONG_NUMBERS, ids=name_of)
def test_a_wrong_argument_is_named_with_what_it_is_and_must_be(name: str, value: Any, words: list[str]) -> None:
    good = arguments()
    rasterize(**good)
    with pytest.raises((TypeError, ValueError)) as caught:
        rasterize(**{**good, name: value})
    message = str(caught.value)
    for word in (name, *words):
        assert word in message, f"{word!r} is not in {message!r}"


def test_colors_are_checked_as_well() -> None:
    for colors, found in ((ones(N + 1, 3), r"\(6, 3\)"), (ones(N, 1, 3), r"\(5, 1, 3\)"), (ones(N, 0), r"\(5, 0\)")):
        with pytest.raises(ValueError, match=rf"colors.*{found}.*\(5, C\)"):
            rasterize(**{**arguments(sh_degree=None), "colors": colors})


def test_the_background_has_the_channels_of_the_colors() -> None:
    good = arguments(sh_degree=None)
    with pytest.raises(ValueError, match=r"background has shape \(3,\); it must be \(4,\)"):
        rasterize(**{**good, "colors": ones(N, 4)})
    with pytest.raises(ValueError, match=r"background has shape \(4,\); it must be \(3,\)"):
        rasterize(**{**arguments(), "background": ones(4)})


def test_absolute_gradients_are_of_one_blend() -> None:
    good = {**arguments(sh_degree=None), "colors": ones(N, 17), "background": ones(17)}
    rasterize(**good)
    with pytest.raises(ValueError, match=r"absgrad is asked for with 17 channels; it is made for at most 16"):
        rasterize(**good, absgrad=True)


def test_exactly_one_of_shs_and_colors() -> None:
    good = arguments()
    with pytest.raises(ValueError, match="shs and colors.*both given"):
        rasterize(**{**good, "colors": ones(N, 3)})
    with pytest.raises(ValueError, match="shs and colors.*both missing"):
        rasterize(**{**good, "shs": None})


# ---- NaN and infinity


def spoil(scene: RasterScene, seed: int, share: float) -> tuple[RasterScene, Tensor]:
    """Some Gaussians get a NaN or an infinity in one of their values; (N,) bool says which."""
    rng = torch.Generator().manual_seed(seed)
    n = len(scene)
    spoilt = torch.rand(n, generator=rng) < share
    spoilt[torch.randint(n, (1,), generator=rng)] = True
    tensors = {name: tensor.clone() for name, tensor in scene.gaussians().items()}
    poisons = torch.tensor([math.nan, math.inf, -math.inf], dtype=DOUBLE)
    for k in torch.nonzero(spoilt).flatten().tolist():
        name = list(tensors)[int(torch.randint(len(tensors), (1,), generator=rng))]
        row = tensors[name][k].view(-1)
        row[torch.randint(len(row), (1,), generator=rng)] = poisons[torch.randint(3, (1,), generator=rng)]
    return scene.with_tensors(**tensors), spoilt


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("seed", range(12))
def test_nan_and_infinity_harm_nobody_else(seed: int, dtype: torch.dtype) -> None:
    clean = random_scene(
        seed, n=(60, 7, 1)[seed % 3], sh_degree=None if seed % 2 else 2, antialiasing=seed % 4 < 2,
        distortion_space=("linear", "inverse")[seed % 2], kinds=["ordinary", "opaque", "huge", "behind"],
    )  # fmt: skip
    scene, spoilt = spoil(clean, seed, (0.3, 0.02, 0.9)[seed // 3 % 3])
    others = clean.rows(~spoilt)
    found, expected = scene.render(rasterize, dtype, statistics=True), others.render(rasterize, dtype, statistics=True)
    assert found.num_nonfinite.dtype == torch.int64 and found.num_nonfinite.shape == ()
    assert int(found.num_nonfinite) == int(spoilt.sum()) and int(expected.num_nonfinite) == 0
    for name in IMAGES:
        assert torch.equal(getattr(found, name), getattr(expected, name)), f"{name} has changed"
    assert not found.radii[spoilt].any() and torch.equal(found.radii[~spoilt], expected.radii)
    assert found.statistics is not None and expected.statistics is not None
    for mixed, alone in zip(found.statistics, expected.statistics, strict=True):
        assert not mixed[spoilt].any() and torch.equal(mixed[~spoilt], alone)

    cotangents = random_cotangents(expected, seed)
    mixed_gradients = backward(*with_cotangents(scene, cotangents, dtype))
    alone_gradients = backward(*with_cotangents(others, cotangents, dtype))
    for name, gradient in mixed_gradients.items():
        assert gradient.isfinite().all(), f"gradient of {name} is not finite"
        if name in ("viewmat", "background"):
            torch.testing.assert_close(
                gradient, alone_gradients[name], rtol=1e-4, atol=1e-4 * float(gradient.abs().max())
            )
        else:
            assert not gradient[spoilt].any() and torch.equal(gradient[~spoilt], alone_gradients[name]), name


def with_cotangents(scene: RasterScene, cotangents: dict[str, Tensor], dtype: torch.dtype) -> tuple[Any, Any, Any]:
    output, inputs = forward(rasterize, scene, dtype)
    return output, cotangents, inputs


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_a_quaternion_of_length_zero_is_no_rotation(dtype: torch.dtype) -> None:
    scene = random_scene(20, n=30, kinds=["ordinary"])
    quats = scene.tensors["quats"].clone()
    quats[::3] = 0
    keep = quats.any(dim=1)
    output, inputs = forward(rasterize, scene.with_tensors(quats=quats), dtype)
    assert torch.equal(output.color, scene.rows(keep).render(rasterize, dtype).color)
    assert int(output.num_nonfinite) == 10
    assert all(g.isfinite().all() for g in backward(output, random_cotangents(output, 20), inputs).values())


@pytest.mark.parametrize("name", ["means", "scales", "quats", "opacities", "colors"])
@pytest.mark.parametrize("value", [1e30, -1e30, 1e-30, 3.4e38, 1e-45, 0.0])
def test_extreme_but_finite_values_spread_no_nan(name: str, value: float) -> None:
    """float32 overflows on the way: the Gaussian may be lost, but its neighbors keep images and gradients."""
    scene = random_scene(21, n=20, kinds=["ordinary"], sh_degree=None)
    extreme = scene.tensors[name].clone()
    extreme[3, -1] = value
    scene = scene.with_tensors(**{name: extreme})
    output, inputs = forward(rasterize, scene, torch.float32)
    for image in IMAGES:
        assert getattr(output, image).isfinite().all() or name == "colors", f"{image} is not finite"
    for image, gradient in backward(output, random_cotangents(output, 21, ["alpha", "distortion"]), inputs).items():
        assert gradient[torch.arange(len(gradient)) != 3].isfinite().all(), f"gradient of {image} is not finite"


def test_a_gaussian_at_the_cameras_center_is_culled() -> None:
    scene = random_scene(22, n=10, kinds=["ordinary"], move=False, near=0.0)
    means = scene.tensors["means"].clone()
    means[4] = 0
    output, inputs = forward(rasterize, scene.with_tensors(means=means))
    assert output.radii[4] == 0 and int(output.num_nonfinite) == 0
    assert all(g.isfinite().all() for g in backward(output, random_cotangents(output, 22), inputs).values())


# ---- nothing there, or hardly anything


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("sh_degree", [None, 3])
def test_no_gaussians_render_the_background(sh_degree: int | None, dtype: torch.dtype) -> None:
    scene = random_scene(30, n=0, sh_degree=sh_degree, statistics=True)
    output, inputs = forward(rasterize, scene, dtype)
    height, width = scene.settings["height"], scene.settings["width"]
    background = scene.tensors["background"].to(dtype)
    assert torch.equal(output.color, background[:, None, None].expand(3, height, width))
    for name in IMAGES[1:]:
        assert getattr(output, name).shape == (1, height, width) and not getattr(output, name).any()
    assert output.radii.shape == (0,) and output.means2d.shape == (0, 2) and int(output.num_nonfinite) == 0
    assert output.statistics is not None and all(value.shape == (0,) for value in output.statistics)
    cotangents = random_cotangents(output, 30)
    found = backward(output, cotangents, inputs)
    for name, gradient in found.items():
        assert gradient.shape == inputs[name].shape and gradient.dtype == dtype
    assert not found["viewmat"].any()
    torch.testing.assert_close(found["background"], cotangents["color"].sum(dim=(1, 2)).to(dtype))


@pytest.mark.parametrize("what", ["behind", "nonfinite"])
def test_nothing_visible_is_like_nothing(what: str) -> None:
    scene = random_scene(31, n=20, kinds=["behind"] if what == "behind" else ["ordinary"])
    if what == "nonfinite":
        scene = scene.with_tensors(means=torch.full((20, 3), math.nan, dtype=DOUBLE))
    output, inputs = forward(rasterize, scene)
    assert not output.alpha.any() and not output.radii.any()
    for name, gradient in backward(output, random_cotangents(output, 31), inputs).items():
        assert gradient.shape == inputs[name].shape and gradient.any() == (name == "background"), name


@pytest.mark.parametrize("width, height", [(1, 1), (1, 37), (300, 1), (16, 16), (17, 1)])
def test_images_of_any_size(width: int, height: int) -> None:
    scene = random_scene(32, n=30, width=width, height=height, kinds=["ordinary", "opaque", "huge"])
    output, inputs = forward(rasterize, scene)
    expected, reference_inputs = forward(rasterize_reference, scene)
    assert expected.alpha.any()
    for name in IMAGES:
        image = getattr(output, name)
        assert image.shape == (3 if name == "color" else 1, height, width)
        torch.testing.assert_close(image, getattr(expected, name), atol=1e-9, rtol=1e-9)
    cotangents = random_cotangents(expected, 32)
    truth = backward(expected, cotangents, reference_inputs)
    for name, gradient in backward(output, cotangents, inputs).items():
        scale = float(truth[name].abs().max())
        torch.testing.assert_close(gradient, truth[name], atol=1e-9 * max(scale, 1.0), rtol=1e-9)


def test_inputs_need_not_be_contiguous() -> None:
    scene = random_scene(33, n=40)
    tensors: dict[str, Any] = {name: spread_out(tensor) for name, tensor in scene.tensors.items()}
    assert not any(tensor.is_contiguous() for name, tensor in tensors.items())
    assert torch.equal(rasterize(**tensors, **scene.settings).color, scene.render(rasterize).color)


def spread_out(tensor: Tensor) -> Tensor:
    """The same values, every other element of something larger."""
    wide = torch.full((*tensor.shape, 2), math.nan, dtype=tensor.dtype)
    wide[..., 0] = tensor
    return wide[..., 0]


def test_only_what_asks_for_a_gradient_gets_one() -> None:
    scene = random_scene(34, n=20)
    for name in scene.tensors:
        tensors: dict[str, Any] = {
            key: tensor.clone().requires_grad_(key == name) for key, tensor in scene.tensors.items()
        }
        rasterize(**tensors, **scene.settings).color.sum().backward()
        gradient = tensors[name].grad
        assert gradient is not None and gradient.any(), name

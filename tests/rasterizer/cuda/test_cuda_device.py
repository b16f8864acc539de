"""The CUDA kernels on a card, besides what test_cuda_kernels.py runs there: streams, devices, the public functions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from diff_gaussian_rasterization import adam_, ops, photometric, rasterize

from ..scenes import IMAGES, RasterScene, random_scene, varied_scene
from ..test_gradcheck import SCENES, STEP, TOLERANCE
from .pipeline import GRADIENTS, ON_CARD, ON_CPU, SPLAT_GRADIENTS, Backend, run
from .test_cuda_kernels import assert_same, cotangents_of, deep_tile


def why_not() -> str:
    """Why nothing can be tried here; empty where it can."""
    if not torch.cuda.is_available():
        return "torch finds no CUDA card"
    return "" if ops.cuda_build() else "the library was built without CUDA"


pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"{why_not()}: `python -m diff_gaussian_rasterization.doctor`")


def render(scene: RasterScene, device: str) -> dict[str, Tensor]:
    """What `rasterize` returns, and the gradients of all its tensors, on the CPU, by name."""
    leaves = {name: tensor.to(device, copy=True).requires_grad_() for name, tensor in scene.tensors.items()}
    output = rasterize(**leaves, **scene.settings, statistics=True)
    images = [getattr(output, name) for name in IMAGES]
    torch.autograd.backward(images, [v.to(device) for v in cotangents_of(scene).values() if v is not None])
    found = {name: getattr(output, name).detach() for name in (*IMAGES, "radii", "num_nonfinite")}
    found |= {f"gradient of {name}": leaf.grad for name, leaf in leaves.items()}
    assert output.statistics is not None
    found |= {**output.statistics._asdict(), "absgrad": output.means2d.absgrad}  # type: ignore[attr-defined]
    return {name: tensor.cpu() for name, tensor in found.items()}


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_rasterize_is_the_cpus(seed: int) -> None:
    expected = render(varied_scene(seed), "cpu")
    assert all(expected[f"gradient of {name}"].any() for name in ("means", "quats", "viewmat", "background"))
    assert_same(render(varied_scene(seed), "cuda"), expected)


@pytest.mark.parametrize("scene", [varied_scene(0), varied_scene(3), deep_tile(31)], ids=["many", "few", "deep"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_the_same_bits_in_every_run(scene: RasterScene, dtype: torch.dtype) -> None:
    cotangents = cotangents_of(scene)
    first = run(ON_CARD, scene, cotangents, dtype)
    for _ in range(3):
        for name, tensor in run(ON_CARD, scene, cotangents, dtype).items():
            assert torch.equal(tensor, first[name]), name


def larger_scene() -> RasterScene:
    """Takes a card long enough for work in the wrong order to show."""
    return random_scene(50, n=20000, width=640, height=480, sh_degree=1)


def test_float32_on_many_splats() -> None:
    scene = larger_scene()
    cotangents = cotangents_of(scene)
    single, double = (run(ON_CARD, scene, cotangents, dtype) for dtype in (torch.float32, torch.float64))
    for name in ("color", "depth", "alpha", *GRADIENTS, *SPLAT_GRADIENTS):
        error = (single[name].double() - double[name]).norm() / double[name].norm()
        assert error < 0.03, (name, float(error))


def test_work_is_queued_on_the_current_stream() -> None:
    """The stream is kept busy first: what does not wait in it reads its inputs before they are there."""
    scene = larger_scene()
    expected = run(ON_CARD, scene, cotangents_of(scene))
    stream = torch.cuda.Stream()
    late = {name: torch.empty_like(tensor, device="cuda") for name, tensor in scene.tensors.items()}
    pinned = {name: tensor.pin_memory() for name, tensor in scene.tensors.items()}
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # clock cycles: a tenth of a second
        for name, tensor in late.items():
            tensor.copy_(pinned[name], non_blocking=True)
        found = run(ON_CARD, scene.with_tensors(**late), cotangents_of(scene))
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one card")
def test_the_device_of_the_tensors_counts_not_the_current_one() -> None:
    scene = varied_scene(0)
    expected = run(ON_CPU, scene, cotangents_of(scene))
    for current, device in ((0, 1), (1, 0), (1, 1)):
        with torch.cuda.device(current):
            assert_same(run(Backend(ON_CARD.operators, f"cuda:{device}"), scene, cotangents_of(scene)), expected)
            assert torch.cuda.current_device() == current
            assert torch.zeros(1, device="cuda").get_device() == current


def test_tensors_that_are_not_contiguous() -> None:
    scene = varied_scene(2)
    strided = {
        name: tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor for name, tensor in scene.tensors.items()
    }
    assert not strided["means"].is_contiguous()
    assert_same(render(scene.with_tensors(**strided), "cuda"), render(scene, "cpu"))


def test_nobody() -> None:
    scene = random_scene(16, n=9, width=20, height=20).rows([])
    found = render(scene, "cuda")
    assert_same(found, render(scene, "cpu"))
    assert found["gradient of means"].shape == (0, 3) and found["gradient of background"].any()


def test_devices_may_not_be_mixed() -> None:
    scene = varied_scene(0)
    tensors = {name: tensor.cuda() for name, tensor in scene.tensors.items()}
    for name in ("scales", "viewmat", "background"):
        with pytest.raises(ValueError, match=f"{name} is on device cpu; it must be on cuda:0, as means is"):
            rasterize(**{**tensors, name: scene.tensors[name]}, **scene.settings)
    p, g, m, v = ([torch.ones(4, 3, device="cuda")] for _ in range(4))
    with pytest.raises(ValueError, match="visible is on device cpu; it must be on cuda:0"):
        adam_(p, g, m, v, [0.1], step=1, visible=torch.ones(4, dtype=torch.bool))


def test_photometric_and_adam_by_their_public_names() -> None:
    results = []
    for device in ("cpu", "cuda"):
        rng = torch.Generator().manual_seed(3)
        numbers = [torch.rand(3, 40, 50, generator=rng, dtype=torch.float64).to(device) for _ in range(4)]
        image, target = (tensor.clone().requires_grad_() for tensor in numbers[:2])
        l1, dssim = photometric(image, target, numbers[2][:1].round())
        (0.8 * l1 + 0.2 * dssim).backward()
        p, g, m, v = numbers
        adam_([p], [g], [m], [v], [0.1], step=2, visible=torch.tensor([True, False, True], device=device))
        results.append([l1.detach(), dssim.detach(), image.grad, target.grad, p, m, v])
    for expected, found in zip(*results, strict=True):
        assert expected is not None and expected.any()
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-9, atol=1e-12)


def test_too_little_memory_is_torchs_error() -> None:
    scene = varied_scene(0)
    tensors = {name: tensor.cuda() for name, tensor in scene.tensors.items()}
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            rasterize(**tensors, **{**scene.settings, "width": 4096, "height": 4096})
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert render(scene, "cuda")["alpha"].any()  # and it goes on afterwards


@pytest.mark.parametrize("name", SCENES)
def test_gradients_by_differences(name: str) -> None:
    """On the card alone, without the CPU's word."""
    scene = random_scene(**SCENES[name], width=12, height=10)

    def images(*tensors: Tensor) -> tuple[Tensor, ...]:
        arguments: dict[str, Any] = dict(zip(scene.tensors, tensors, strict=True))
        output = rasterize(**arguments, **scene.settings)
        return tuple(getattr(output, name) for name in IMAGES)

    leaves = [tensor.to("cuda", copy=True).requires_grad_() for tensor in scene.tensors.values()]
    assert gradcheck(images, leaves, eps=STEP, atol=TOLERANCE, rtol=TOLERANCE)

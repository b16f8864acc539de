"""The native operators as torch sees them: loading, shapes for tracing (fakes), and derivatives.

`project` turns Gaussians into splats, `isect_tiles` deals splats to tiles, `blend` composes the pixels; `photometric`
compares images, `inv_depth_l1` and `mean_distortion` look at depths, `effective_rank_cost` at shapes, `expose` changes
colors; `adam` moves parameters.
Schemas stand in csrc/ops.cpp, shapes in csrc/params.h. All but `isect_tiles`, `blend_statistics` and `adam` are
differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, library

from . import _native

torch.ops.load_library(str(_native.load()))
_ops = torch.ops.diff_gaussian_rasterization

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

CHANNEL_COUNTS = (1, 3, 4, 8, 16)  # that blend has kernels for; csrc/params.h has the same
MAX_CHANNELS = CHANNEL_COUNTS[-1]  # of one blend
SURFACES = 4  # that a pixel has at most; csrc/params.h has the same

isect_tiles = _ops.isect_tiles
blend_statistics = _ops.blend_statistics
adam = _ops.adam  # what is differentiable stands at the end


def memory_errors(work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Operators can say only in words that a device's memory is short; callers of `work` expect torch's own error.

    A wrapper, not a context manager: a step enters it ten times, and a manager takes 3 µs each time.
    """

    @wraps(work)
    def wrapped(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        try:
            return work(*arguments, **named)
        except RuntimeError as error:
            if "out of memory" not in str(error) or isinstance(error, torch.OutOfMemoryError):
                raise
            raise torch.OutOfMemoryError(str(error)) from error

    return wrapped


def instruction_set() -> str:
    """What the CPU kernels were compiled for and run with: v1, v3 or v4 (x86-64 levels) or portable."""
    return _ops.instruction_set()


def get_num_threads() -> int:
    """How many threads the CPU kernels use."""
    return _ops.get_num_threads()


def set_num_threads(count: int | None) -> None:
    """Let the CPU kernels use `count` threads, however many torch uses; None, as at first: `torch.get_num_threads()`.

    Raises: ValueError for a count under 1.
    """
    if count is not None and count < 1:
        raise ValueError(f"count is {count}; it must be at least 1, or None")
    _ops.set_num_threads(count or 0)


def cuda_build() -> str:
    """The CUDA version and architectures that the library was built for: "13.0 sm_90 compute_90"; empty for none."""
    return _ops.cuda_build() if hasattr(_ops, "cuda_build") else ""


# ---- once differentiable: what torch does not know the derivative of it takes for 0, and says nothing


def _differentiable_once(name: str, instead: str) -> None:
    """Let the derivative of the backward operator `name` be an error, which says what to do `instead`."""

    def refuse(_ctx: Any, *_v: Tensor | None) -> None:
        raise RuntimeError(f"{name} is differentiable once: its second derivative is not implemented. {instead}")

    library.register_autograd(f"diff_gaussian_rasterization::{name}_backward", refuse)


for _name in ("project", "blend"):
    _differentiable_once(
        _name,
        "For second derivatives use diff_gaussian_rasterization.reference.rasterize_reference: the same arguments and "
        "results in plain torch, slow and exact",
    )
_differentiable_once("photometric", "For second derivatives write L1 and SSIM in torch's own operators")
for _name in ("inv_depth_l1", "mean_distortion", "effective_rank_cost", "expose"):
    _differentiable_once(_name, "For second derivatives write the formula in torch's own operators")


def _without_graph(operator: Any, *inputs: Any) -> Any:
    """Call `operator`. Where no graph is made, past what is registered for derivatives: some 50 µs of Python a call."""
    if torch.is_grad_enabled():
        return operator(*inputs)
    with torch._C._AutoDispatchBelowAutograd():
        return operator(*inputs)


# ---- project: inputs 0..5 are tensors, then come settings, and last the other SH coefficients, or None


def _project_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *splats, _cutoff_sigmas, radii, _num_nonfinite = output
    ctx.set_materialize_grads(False)  # or autograd would make zeros for the cotangents of the last three
    ctx.save_for_backward(*inputs[:6], inputs[-1], radii)
    ctx.settings, ctx.shapes = inputs[6:-1], [each.shape for each in splats]


@memory_errors
def _project_backward(ctx: Any, *v: Tensor | None) -> tuple[Any, ...]:
    *tensors, sh_rest, radii = ctx.saved_tensors
    v_splats = [
        tensors[0].new_zeros(shape) if cotangent is None else cotangent.contiguous()
        for cotangent, shape in zip(v[: len(ctx.shapes)], ctx.shapes, strict=True)
    ]
    inputs = *tensors, *ctx.settings, sh_rest
    *gradients, v_sh_rest = _without_graph(_ops.project_backward.default, *inputs, radii, *v_splats)
    return (*gradients, *(None for _ in ctx.settings), None if sh_rest is None else v_sh_rest)


library.register_autograd("diff_gaussian_rasterization::project", _project_backward, setup_context=_project_context)


@library.register_fake("diff_gaussian_rasterization::project")
def _(
    means: Tensor, scales: Tensor, quats: Tensor, opacities: Tensor, features: Tensor, viewmat: Tensor, *settings: Any
) -> tuple[Tensor, ...]:
    n = means.shape[0]
    sh_degree, _, depth_reach, _ = settings[-4:]
    channels = 3 if sh_degree >= 0 else features.shape[1]
    slopes = n if depth_reach > 0 else 0
    floats = [means.new_empty(shape) for shape in ((n, 2), (n, 3), (n,), (n, channels), (n,), (slopes, 2), (n,))]
    return (*floats, means.new_empty((n,), dtype=torch.int32), means.new_empty((), dtype=torch.int64))


@library.register_fake("diff_gaussian_rasterization::project_backward")
def _(*inputs: Any) -> tuple[Tensor, ...]:
    sh_rest = inputs[18]
    v_sh_rest = inputs[0].new_empty((0,)) if sh_rest is None else torch.empty_like(sh_rest)
    return (*(torch.empty_like(tensor) for tensor in inputs[:6]), v_sh_rest)


# ---- isect_tiles


@library.register_fake("diff_gaussian_rasterization::isect_tiles")
def _(
    means2d: Tensor,
    inv_cov_factor: Tensor,
    depths: Tensor,
    cutoff_sigmas: Tensor,
    radii: Tensor,
    width: int,
    height: int,
) -> Any:
    intersections = library.get_ctx().new_dynamic_size()
    tiles = ((width + 15) // 16) * ((height + 15) // 16)
    return (
        radii.new_empty((intersections,)),
        radii.new_empty((intersections,)),
        radii.new_empty((means2d.shape[0] + 1,)),
        radii.new_empty((tiles + 1,)),
    )


# ---- blend: inputs 0..6 have gradients, 7..11 are cutoff_sigmas and isect_tiles' lists, then come settings, what a
# sensor measured, and last what receives the absolute gradients of input 0 as if they were its gradient, or None


def _blend_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    *settings, sensor_depth, sensor_limit, receiver = inputs[12:]
    ctx.save_for_backward(*inputs[:12], *output[5:], sensor_depth)
    ctx.settings = settings
    ctx.sensor_limit, ctx.with_absgrad = sensor_limit, receiver is not None


@memory_errors
def _blend_backward(ctx: Any, *v: Tensor | None) -> tuple[Any, ...]:
    saved = ctx.saved_tensors  # once: each access wraps all of them anew
    tensors, (*state, sensor_depth) = saved[:12], saved[12:]
    # An image that no loss looks at has no gradient: the kernels take a tensor without elements for that, not zeros.
    absent = tensors[0].new_empty(0)
    images = [absent if image is None else image.contiguous() for image in v[:5]]
    settings = (*ctx.settings, sensor_depth, ctx.sensor_limit, ctx.with_absgrad)
    v_means2d, absgrad, *rest = _without_graph(_ops.blend_backward.default, *tensors, *settings, *state, *images)
    without = (None for _ in range(5 + len(settings) - 1))
    if not ctx.with_absgrad:
        return (v_means2d, *rest, *without, None)
    tensors[0].absgrad = absgrad.detach()  # not the gradient of anything: it is also left on what it describes
    return (v_means2d, *rest, *without, absgrad)


library.register_autograd("diff_gaussian_rasterization::blend", _blend_backward, setup_context=_blend_context)


@library.register_fake("diff_gaussian_rasterization::blend")
def _(means2d: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    colors, width, height, gap = inputs[2], inputs[11], inputs[12], inputs[17]
    surfaces = SURFACES if math.isfinite(gap) else 1
    counts = (colors.shape[1], 1, 1, 1, 1, 1, surfaces, surfaces)
    planes = [means2d.new_empty((count, height, width)) for count in counts]
    ends = [means2d.new_empty((count, height, width), dtype=torch.int32) for count in (1, surfaces - 1)]
    return (*planes, *ends)


@library.register_fake("diff_gaussian_rasterization::blend_backward")
def _(means2d: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    with_absgrad = inputs[20]
    absgrad = means2d.new_empty((len(means2d) if with_absgrad else 0, 2))
    return (torch.empty_like(means2d), absgrad, *(torch.empty_like(t) for t in inputs[:6]))


@library.register_fake("diff_gaussian_rasterization::blend_statistics")
def _(means2d: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    statistics = [means2d.new_empty((means2d.shape[0],)) for _ in range(3)]
    end = inputs[-2]
    return (*statistics, means2d.new_empty(end.shape))


# ---- photometric: inputs 0 and 1 have gradients; partial_count says whose can be asked for: 0 none, 3 image, 4 both


def _photometric_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    image, target, mask, _ = inputs
    _, _, share, partials = output
    ctx.mark_non_differentiable(share, partials)
    ctx.set_materialize_grads(False)  # or autograd would make zeros for the cotangent of partials
    ctx.save_for_backward(image, target, mask, share, partials)


@memory_errors
def _photometric_backward(ctx: Any, v_l1: Tensor | None, v_dssim: Tensor | None, *_v: None) -> tuple[Any, ...]:
    if v_l1 is None and v_dssim is None:
        return None, None, None, None
    image, target, *others = ctx.saved_tensors
    v = [image.new_zeros(()) if cotangent is None else cotangent for cotangent in (v_l1, v_dssim)]
    by_image, by_target, *_ = ctx.needs_input_grad
    v_image = _without_graph(_ops.photometric_backward.default, image, target, *others, False, *v) if by_image else None
    v_target = (
        _without_graph(_ops.photometric_backward.default, target, image, *others, True, *v) if by_target else None
    )
    return v_image, v_target, None, None


library.register_autograd(
    "diff_gaussian_rasterization::photometric", _photometric_backward, setup_context=_photometric_context
)


@library.register_fake("diff_gaussian_rasterization::photometric")
def _(image: Tensor, target: Tensor, mask: Tensor | None, partial_count: int) -> tuple[Tensor, ...]:
    return (*(image.new_empty(()) for _ in range(3)), image.new_empty((partial_count, *image.shape)))


@library.register_fake("diff_gaussian_rasterization::photometric_backward")
def _(image: Tensor, *_inputs: Any) -> Tensor:
    return torch.empty_like(image)


# ---- depth terms and the effective rank: a mean, and 1 over the sum of its weights

_INV_DEPTH_INPUTS, _DISTORTION_INPUTS = 7, 5  # of which tensors come first


def _mean_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*(each for each in inputs if not isinstance(each, float)), output[1])
    ctx.numbers = [each for each in inputs if isinstance(each, float)]


@memory_errors
def _inv_depth_l1_backward(ctx: Any, v_value: Tensor | None, _v: None) -> tuple[Any, ...]:
    if v_value is None:
        return (None,) * _INV_DEPTH_INPUTS
    *tensors, share = ctx.saved_tensors
    gradients = _without_graph(_ops.inv_depth_l1_backward.default, *tensors, *ctx.numbers, share, v_value)
    return (*gradients, *(None,) * (_INV_DEPTH_INPUTS - 2))


@memory_errors
def _mean_distortion_backward(ctx: Any, v_value: Tensor | None, _v: None) -> tuple[Any, ...]:
    if v_value is None:
        return (None,) * _DISTORTION_INPUTS
    *tensors, share = ctx.saved_tensors
    gradient = _without_graph(_ops.mean_distortion_backward.default, *tensors, *ctx.numbers, share, v_value)
    return (gradient, *(None,) * (_DISTORTION_INPUTS - 1))


@memory_errors
def _effective_rank_cost_backward(ctx: Any, v_value: Tensor | None, _v: None) -> tuple[Any, ...]:
    if v_value is None:
        return None, None, None
    *tensors, share = ctx.saved_tensors
    gradient = _without_graph(_ops.effective_rank_cost_backward.default, *tensors, *ctx.numbers, share, v_value)
    return gradient, None, None


library.register_autograd(
    "diff_gaussian_rasterization::inv_depth_l1", _inv_depth_l1_backward, setup_context=_mean_context
)
library.register_autograd(
    "diff_gaussian_rasterization::mean_distortion", _mean_distortion_backward, setup_context=_mean_context
)
library.register_autograd(
    "diff_gaussian_rasterization::effective_rank_cost", _effective_rank_cost_backward, setup_context=_mean_context
)


@library.register_fake("diff_gaussian_rasterization::inv_depth_l1")
@library.register_fake("diff_gaussian_rasterization::mean_distortion")
@library.register_fake("diff_gaussian_rasterization::effective_rank_cost")
def _(image: Tensor, *_inputs: Any) -> tuple[Tensor, Tensor]:
    return image.new_empty(()), image.new_empty(())


@library.register_fake("diff_gaussian_rasterization::inv_depth_l1_backward")
def _(inv_depth: Tensor, alpha: Tensor, *_inputs: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(inv_depth), torch.empty_like(alpha)


@library.register_fake("diff_gaussian_rasterization::mean_distortion_backward")
@library.register_fake("diff_gaussian_rasterization::effective_rank_cost_backward")
def _(leaf: Tensor, *_inputs: Any) -> Tensor:
    return torch.empty_like(leaf)


# ---- exposure


def _expose_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


@memory_errors
def _expose_backward(ctx: Any, v_shown: Tensor) -> tuple[Any, ...]:
    v_color, v_exposure = _without_graph(_ops.expose_backward.default, *ctx.saved_tensors, v_shown.contiguous())
    return v_color, v_exposure


library.register_autograd("diff_gaussian_rasterization::expose", _expose_backward, setup_context=_expose_context)


@library.register_fake("diff_gaussian_rasterization::expose")
def _(color: Tensor, exposure: Tensor) -> Tensor:
    return torch.empty_like(color)


@library.register_fake("diff_gaussian_rasterization::expose_backward")
def _(color: Tensor, exposure: Tensor, v_shown: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(color), torch.empty_like(exposure)


# ---- adam: in place, no gradient


@library.register_fake("diff_gaussian_rasterization::adam")
def _(*_inputs: Any) -> None:
    return None


# ---- the differentiable operators as Python calls them


def _differentiable(operator: Any, context: Any, backward: Any) -> Any:
    """`operator` with the derivative that is registered for it, by the shortest way there.

    What torch makes of a registration takes 70 µs a call. It stays in charge where it is needed: while torch
    compiles, and in functional transforms.
    """

    class Derivative(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            output = _without_graph(operator, *inputs)
            context(ctx, inputs, output)
            return output

    Derivative.backward = staticmethod(backward)  # type: ignore[method-assign]
    # Past what Function.apply does for functional transforms alone: it looks at each input, of which there are 25.
    apply = super(torch.autograd.Function, Derivative).apply

    def call(*inputs: Any) -> Any:
        if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
            return operator(*inputs)
        return apply(*inputs) if torch.is_grad_enabled() else _without_graph(operator, *inputs)

    return call


project = _differentiable(_ops.project.default, _project_context, _project_backward)
blend = _differentiable(_ops.blend.default, _blend_context, _blend_backward)
photometric = _differentiable(_ops.photometric.default, _photometric_context, _photometric_backward)
inv_depth_l1 = _differentiable(_ops.inv_depth_l1.default, _mean_context, _inv_depth_l1_backward)
expose = _differentiable(_ops.expose.default, _expose_context, _expose_backward)
mean_distortion = _differentiable(_ops.mean_distortion.default, _mean_context, _mean_distortion_backward)
effective_rank_cost = _differentiable(_ops.effective_rank_cost.default, _mean_context, _effective_rank_cost_backward)

// The operators of a backend: allocates what they return, fills the structs of params.h, calls the functions of backend.h.
//
// cpu/register.cpp and cuda/register.cpp read this file, each after its own device_guard.h.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cmath>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

// torch's words for its last exception in this thread. Torch has this from 2.13 on, so it may be null.
extern "C" __attribute__((weak)) const char* torch_exception_get_what_without_backtrace();

namespace dgr {
namespace DGR_BACKEND {

using torch::stable::Tensor;
using ScalarType = torch::headeronly::ScalarType;
using torch::headeronly::IntHeaderOnlyArrayRef;

constexpr int MAX_DIMENSIONS = 4;  // of what is allocated here

// ---- tensors

static bool is_double(const Tensor& t) { return t.scalar_type() == ScalarType::Double; }

template <class T>
static const T* read(const Tensor& t) {
  return t.const_data_ptr<T>();
}
// The same, but null for a tensor without elements, which stands for one that is absent.
template <class T>
static const T* read_if_any(const Tensor& t) {
  return t.numel() == 0 ? nullptr : read<T>(t);
}
template <class T>
static const T* read_optional(const std::optional<Tensor>& t) {
  return t ? read<T>(*t) : nullptr;
}
template <class T>
static T* write(Tensor& t) {
  return t.mutable_data_ptr<T>();
}
template <class T>
static T* write_if_any(Tensor& t) {
  return t.numel() == 0 ? nullptr : write<T>(t);
}

// What `make` returns. Its failure passes through torch's C interface as a bare code; "out of memory" in the words that
// are found for it becomes torch's OutOfMemoryError in ops.py.
template <class Make>
static Tensor allocated(const Make& make) {
  try {
    Tensor tensor = make();
    prepare(tensor);
    return tensor;
  } catch (const std::exception&) {
    const auto words = torch_exception_get_what_without_backtrace;
    throw std::runtime_error(std::string("torch could not allocate: ") + (words ? words() : OUT_OF_MEMORY));
  }
}
// New dense tensors on `like`'s device, not initialized. By torch's C function: the headers' new_empty looks an operator
// up by its name and boxes its arguments, 0.8 µs more for each tensor, of which a training step makes some fifty.
static Tensor empty(const Tensor& like, IntHeaderOnlyArrayRef shape, ScalarType type) {
  int64_t strides[MAX_DIMENSIONS], stride = 1;
  for (size_t i = shape.size(); i-- > 0; stride *= shape[i]) strides[i] = stride;
  return allocated([&] {
    AtenTensorHandle made;
    STABLE_TORCH_ERROR_CODE_CHECK(
        aoti_torch_empty_strided(int64_t(shape.size()), shape.data(), strides,
                                 torch::stable::detail::to<int32_t>(torch::stable::detail::from(type)),
                                 int32_t(like.device().type()), like.get_device_index(), &made));
    return Tensor(made);
  });
}
static Tensor empty(const Tensor& like, IntHeaderOnlyArrayRef shape) { return empty(like, shape, like.scalar_type()); }
static Tensor new_like(const Tensor& like) { return empty(like, like.sizes()); }

// What a function asks for while it runs. Scratch goes back to torch at the end, which gives it only to work that is
// queued later.
struct Allocations {
  const Tensor& like;
  Tensor flatten_ids = {}, grad_slots = {};
  std::vector<Tensor> scratch = {};

  static void* allocate(void* context, BufferKind kind, size_t bytes) {
    Allocations& self = *static_cast<Allocations*>(context);
    const bool is_scratch = kind == BufferKind::Scratch;
    Tensor block = is_scratch ? empty(self.like, {int64_t(bytes)}, ScalarType::Byte)
                              : empty(self.like, {int64_t(bytes / sizeof(int32_t))}, ScalarType::Int);
    if (is_scratch)
      self.scratch.push_back(block);
    else
      (kind == BufferKind::FlattenIds ? self.flatten_ids : self.grad_slots) = block;
    return block.mutable_data_ptr();
  }
  Allocator allocator() { return {this, allocate}; }
};

// Runs f(T(), stream) at the place of a tensor of T, and reports what f returns.
template <class F>
static void run(const char* name, const Tensor& tensor, const F& f) {
  const DeviceGuard guard(tensor);
  check(name, is_double(tensor) ? f(double(), guard.stream()) : f(float(), guard.stream()));
}

// ---- project

struct ProjectTensors {
  const Tensor &means, &scales, &quats, &opacities, &features, &viewmat;
  const std::optional<Tensor>& sh_rest;

  template <class T>
  GaussianArrays<T> arrays() const {
    return {means.size(0),
            read<T>(means),
            read<T>(scales),
            read<T>(quats),
            read<T>(opacities),
            read<T>(features),
            sh_rest ? read_if_any<T>(*sh_rest) : nullptr,
            read<T>(viewmat)};
  }
};

static ProjectSettings settings_of(const Tensor& features, const std::optional<Tensor>& sh_rest, int64_t width,
                                   int64_t height, double fx, double fy, double cx, double cy, double near,
                                   double scale_modifier, double alpha_min, int64_t sh_degree, bool antialiasing,
                                   double depth_reach) {
  const Image image = {int(width), int(height)};
  const bool has_sh = sh_degree >= 0;
  const int sh_count = has_sh ? int(features.size(1) + (sh_rest ? sh_rest->size(1) : 0)) : 0,
            channels = has_sh ? 3 : int(features.size(1));
  return {image,          fx,       fy,       cx,           cy,         near, scale_modifier, alpha_min,
          int(sh_degree), sh_count, channels, antialiasing, depth_reach};
}

static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> project_op(
    Tensor means, Tensor scales, Tensor quats, Tensor opacities, Tensor features, Tensor viewmat, int64_t width,
    int64_t height, double fx, double fy, double cx, double cy, double near, double scale_modifier, double alpha_min,
    int64_t sh_degree, bool antialiasing, double depth_reach, std::optional<Tensor> sh_rest) {
  const ProjectSettings settings = settings_of(features, sh_rest, width, height, fx, fy, cx, cy, near, scale_modifier,
                                               alpha_min, sh_degree, antialiasing, depth_reach);
  const ProjectTensors in = {means, scales, quats, opacities, features, viewmat, sh_rest};
  const int64_t n = means.size(0);
  Tensor means2d = empty(means, {n, 2}), inv_cov_factor = empty(means, {n, 3}), opacities2d = empty(means, {n}),
         colors = empty(means, {n, settings.channels}), depths = empty(means, {n}),
         depth_slopes = empty(means, {depth_reach > 0 ? n : 0, 2}), cutoff_sigmas = empty(means, {n}),
         radii = empty(means, {n}, ScalarType::Int), num_nonfinite = empty(means, {}, ScalarType::Long);
  run("project", means, [&](auto t, void* stream) {
    using T = decltype(t);
    const SplatArrays<T> out = {write<T>(means2d),       write<T>(inv_cov_factor), write<T>(opacities2d),
                                write<T>(colors),        write<T>(depths),         write_if_any<T>(depth_slopes),
                                write<T>(cutoff_sigmas), write<int32_t>(radii)};
    return project<T>(settings, in.arrays<T>(), out, write<int64_t>(num_nonfinite), stream);
  });
  return {means2d, inv_cov_factor, opacities2d, colors, depths, depth_slopes, cutoff_sigmas, radii, num_nonfinite};
}

static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> project_backward_op(
    Tensor means, Tensor scales, Tensor quats, Tensor opacities, Tensor features, Tensor viewmat, int64_t width,
    int64_t height, double fx, double fy, double cx, double cy, double near, double scale_modifier, double alpha_min,
    int64_t sh_degree, bool antialiasing, double depth_reach, std::optional<Tensor> sh_rest, Tensor radii,
    Tensor v_means2d, Tensor v_inv_cov_factor, Tensor v_opacities2d, Tensor v_colors, Tensor v_depths,
    Tensor v_depth_slopes) {
  const ProjectSettings settings = settings_of(features, sh_rest, width, height, fx, fy, cx, cy, near, scale_modifier,
                                               alpha_min, sh_degree, antialiasing, depth_reach);
  const ProjectTensors in = {means, scales, quats, opacities, features, viewmat, sh_rest};
  Tensor v_means = new_like(means), v_scales = new_like(scales), v_quats = new_like(quats),
         v_opacities = new_like(opacities), v_features = new_like(features), v_viewmat = new_like(viewmat),
         v_sh_rest = sh_rest ? new_like(*sh_rest) : empty(means, {0});
  Allocations allocations = {means};
  run("project_backward", means, [&](auto t, void* stream) {
    using T = decltype(t);
    const GaussianCotangents<T> v = {
        read<T>(v_means2d),        read<T>(v_inv_cov_factor), read<T>(v_opacities2d),
        read<T>(v_colors),         read<T>(v_depths),         read_if_any<T>(v_depth_slopes),
        read<int32_t>(radii),      write<T>(v_means),         write<T>(v_scales),
        write<T>(v_quats),         write<T>(v_opacities),     write<T>(v_features),
        write_if_any<T>(v_sh_rest)};
    return project_backward<T>(settings, in.arrays<T>(), v, write<T>(v_viewmat), allocations.allocator(), stream);
  });
  return {v_means, v_scales, v_quats, v_opacities, v_features, v_viewmat, v_sh_rest};
}

// ---- isect_tiles

static std::tuple<Tensor, Tensor, Tensor, Tensor> isect_tiles_op(Tensor means2d, Tensor inv_cov_factor, Tensor depths,
                                                                 Tensor cutoff_sigmas, Tensor radii, int64_t width,
                                                                 int64_t height) {
  const Image image = {int(width), int(height)};
  const int64_t n = means2d.size(0);
  Tensor isect_offsets = empty(radii, {n + 1}), tile_ranges = empty(radii, {image.tiles() + 1});
  Allocations allocations = {radii};
  run("isect_tiles", means2d, [&](auto t, void* stream) {
    using T = decltype(t);
    const SplatInput<T> splats = {
        read<T>(means2d),       read<T>(inv_cov_factor), nullptr, nullptr, read<T>(depths), nullptr,
        read<T>(cutoff_sigmas), read<int32_t>(radii)};
    return isect_tiles<T>(image, splats, n, write<int32_t>(isect_offsets), write<int32_t>(tile_ranges),
                          allocations.allocator(), stream);
  });
  return {allocations.flatten_ids, allocations.grad_slots, isect_offsets, tile_ranges};
}

// ---- blend

// What all three operators are given.
struct BlendTensors {
  const Tensor &means2d, &inv_cov_factor, &opacities2d, &colors, &depths, &depth_slopes, &background, &cutoff_sigmas,
      &flatten_ids, &grad_slots, &isect_offsets, &tile_ranges;
  const std::optional<Tensor>& sensor_depth;
};
struct BlendSettings {
  Image image;
  int channels;
  double alpha_min, alpha_max, transmittance_min;
  bool inverse_distortion;
  double distortion_gap;
  double sensor_limit;

  // How many surfaces a pixel's state describes.
  int surfaces() const { return std::isfinite(distortion_gap) ? SURFACES : 1; }
};

// Colors of a number of channels for which there are kernels.
static int channels_of(const Tensor& colors) {
  for (const int count : CHANNEL_COUNTS)
    if (colors.size(1) == count) return count;
  throw std::runtime_error("blend has no kernels for " + std::to_string(colors.size(1)) + " channels at once");
}

template <class T>
static BlendInput<T> input_of(const BlendTensors& t, const BlendSettings& s) {
  return {s.image,
          s.channels,
          read<T>(t.means2d),
          read<T>(t.inv_cov_factor),
          read<T>(t.opacities2d),
          read<T>(t.colors),
          read<T>(t.depths),
          read_if_any<T>(t.depth_slopes),
          read<T>(t.cutoff_sigmas),
          read<T>(t.background),
          read<int32_t>(t.flatten_ids),
          read<int32_t>(t.tile_ranges),
          T(s.alpha_min),
          T(s.alpha_max),
          T(s.transmittance_min),
          s.inverse_distortion,
          T(s.distortion_gap),
          t.sensor_depth ? read<T>(*t.sensor_depth) : nullptr,
          T(s.sensor_limit)};
}

static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> blend_op(
    Tensor means2d, Tensor inv_cov_factor, Tensor opacities2d, Tensor colors, Tensor depths, Tensor depth_slopes,
    Tensor background, Tensor cutoff_sigmas, Tensor flatten_ids, Tensor grad_slots, Tensor isect_offsets,
    Tensor tile_ranges, int64_t width, int64_t height, double alpha_min, double alpha_max, double transmittance_min,
    bool inverse_distortion, double distortion_gap, std::optional<Tensor> sensor_depth, double sensor_limit,
    std::optional<Tensor> /* its derivative is absgrad */) {
  const BlendTensors in = {means2d,       inv_cov_factor, opacities2d,   colors,      depths,
                           depth_slopes,  background,     cutoff_sigmas, flatten_ids, grad_slots,
                           isect_offsets, tile_ranges,    sensor_depth};
  const BlendSettings settings = {{int(width), int(height)}, channels_of(colors), alpha_min,      alpha_max,
                                  transmittance_min,         inverse_distortion,  distortion_gap, sensor_limit};
  const auto planes = [&](int count) { return empty(means2d, {count, height, width}); };
  const int surfaces = settings.surfaces();
  Tensor color = planes(settings.channels), inv_depth = planes(1), depth = planes(1), alpha = planes(1),
         distortion = planes(1), transmittance = planes(1), reference = planes(surfaces), offset = planes(surfaces),
         end = empty(means2d, {1, height, width}, ScalarType::Int),
         surface_ends = empty(means2d, {surfaces - 1, height, width}, ScalarType::Int);
  Allocations allocations = {means2d};
  run("blend", means2d, [&](auto t, void* stream) {
    using T = decltype(t);
    const BlendOutput<T> out = {write<T>(color),
                                write<T>(inv_depth),
                                write<T>(depth),
                                write<T>(alpha),
                                write<T>(distortion),
                                {write<T>(transmittance), write<T>(reference), write<T>(offset), write<int32_t>(end),
                                 write_if_any<int32_t>(surface_ends)}};
    return blend<T>(input_of<T>(in, settings), means2d.size(0), out, allocations.allocator(), stream);
  });
  return {color, inv_depth, depth, alpha, distortion, transmittance, reference, offset, end, surface_ends};
}

static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> blend_backward_op(
    Tensor means2d, Tensor inv_cov_factor, Tensor opacities2d, Tensor colors, Tensor depths, Tensor depth_slopes,
    Tensor background, Tensor cutoff_sigmas, Tensor flatten_ids, Tensor grad_slots, Tensor isect_offsets,
    Tensor tile_ranges, int64_t width, int64_t height, double alpha_min, double alpha_max, double transmittance_min,
    bool inverse_distortion, double distortion_gap, std::optional<Tensor> sensor_depth, double sensor_limit,
    bool with_absgrad, Tensor transmittance, Tensor reference, Tensor offset, Tensor end, Tensor surface_ends,
    Tensor v_color, Tensor v_inv_depth, Tensor v_depth, Tensor v_alpha, Tensor v_distortion) {
  const BlendTensors in = {means2d,       inv_cov_factor, opacities2d,   colors,      depths,
                           depth_slopes,  background,     cutoff_sigmas, flatten_ids, grad_slots,
                           isect_offsets, tile_ranges,    sensor_depth};
  const BlendSettings settings = {{int(width), int(height)}, channels_of(colors), alpha_min,      alpha_max,
                                  transmittance_min,         inverse_distortion,  distortion_gap, sensor_limit};
  Tensor v_means2d = new_like(means2d), absgrad = empty(means2d, {with_absgrad ? means2d.size(0) : 0, 2}),
         v_inv_cov_factor = new_like(inv_cov_factor), v_opacities2d = new_like(opacities2d),
         v_colors = new_like(colors), v_depths = new_like(depths), v_depth_slopes = new_like(depth_slopes),
         v_background = new_like(background);
  Allocations allocations = {means2d};
  run("blend_backward", means2d, [&](auto t, void* stream) {
    using T = decltype(t);
    const BlendCotangents<T> v = {read_if_any<T>(v_color),
                                  read_if_any<T>(v_inv_depth),
                                  read_if_any<T>(v_depth),
                                  read_if_any<T>(v_alpha),
                                  read_if_any<T>(v_distortion),
                                  {read<T>(transmittance), read<T>(reference), read<T>(offset), read<int32_t>(end),
                                   read_if_any<int32_t>(surface_ends)},
                                  read<int32_t>(grad_slots),
                                  nullptr,
                                  nullptr};
    const SplatGradients<T> out = {write<T>(v_means2d),
                                   with_absgrad ? write<T>(absgrad) : nullptr,
                                   write<T>(v_inv_cov_factor),
                                   write<T>(v_opacities2d),
                                   write<T>(v_colors),
                                   write<T>(v_depths),
                                   write_if_any<T>(v_depth_slopes),
                                   write<T>(v_background)};
    return blend_backward<T>(input_of<T>(in, settings), means2d.size(0), read<int32_t>(isect_offsets),
                             flatten_ids.size(0), v, out, allocations.allocator(), stream);
  });
  return {v_means2d, absgrad, v_inv_cov_factor, v_opacities2d, v_colors, v_depths, v_depth_slopes, v_background};
}

static std::tuple<Tensor, Tensor, Tensor, Tensor> blend_statistics_op(
    Tensor means2d, Tensor inv_cov_factor, Tensor opacities2d, Tensor colors, Tensor depths, Tensor depth_slopes,
    Tensor background, Tensor cutoff_sigmas, Tensor flatten_ids, Tensor grad_slots, Tensor isect_offsets,
    Tensor tile_ranges, int64_t width, int64_t height, double alpha_min, double alpha_max, double transmittance_min,
    bool inverse_distortion, double distortion_gap, std::optional<Tensor> sensor_depth, double sensor_limit,
    Tensor reference, Tensor offset, Tensor end, Tensor surface_ends) {
  const BlendTensors in = {means2d,       inv_cov_factor, opacities2d,   colors,      depths,
                           depth_slopes,  background,     cutoff_sigmas, flatten_ids, grad_slots,
                           isect_offsets, tile_ranges,    sensor_depth};
  const BlendSettings settings = {{int(width), int(height)},
                                  0,
                                  alpha_min,
                                  alpha_max,
                                  transmittance_min,
                                  inverse_distortion,
                                  distortion_gap,
                                  sensor_limit};
  Tensor weight_sum = new_like(depths), max_contribution = new_like(depths), distortion_share = new_like(depths),
         median_depth = empty(means2d, {1, height, width});
  Allocations allocations = {means2d};
  run("blend_statistics", means2d, [&](auto t, void* stream) {
    using T = decltype(t);
    const BlendStatistics<T> statistics = {
        {nullptr, read<T>(reference), read<T>(offset), read<int32_t>(end), read_if_any<int32_t>(surface_ends)},
        read<int32_t>(grad_slots),
        nullptr,
        write<T>(median_depth)};
    const SplatStatistics<T> out = {write<T>(weight_sum), write<T>(max_contribution), write<T>(distortion_share)};
    return blend_statistics<T>(input_of<T>(in, settings), means2d.size(0), read<int32_t>(isect_offsets),
                               flatten_ids.size(0), statistics, out, allocations.allocator(), stream);
  });
  return {weight_sum, max_contribution, distortion_share, median_depth};
}

// ---- photometric

static PhotometricShape shape_of(const Tensor& image) {
  return {image.size(0), int(image.size(1)), int(image.size(2))};
}
template <class T>
static PhotometricInput<T> input_of(const Tensor& x, const Tensor& y, const std::optional<Tensor>& mask) {
  return {read<T>(x), read<T>(y), mask ? read<T>(*mask) : nullptr};
}

static std::tuple<Tensor, Tensor, Tensor, Tensor> photometric_op(Tensor image, Tensor target,
                                                                 std::optional<Tensor> mask, int64_t partial_count) {
  const PhotometricShape shape = shape_of(image);
  Tensor l1 = empty(image, {}), dssim = empty(image, {}), share = empty(image, {}),
         partials = empty(image, {partial_count, shape.channels, shape.height, shape.width});
  Allocations allocations = {image};
  run("photometric", image, [&](auto t, void* stream) {
    using T = decltype(t);
    const PhotometricOutput<T> out = {nullptr, write<T>(partials), int(partial_count)};
    const PhotometricMeans<T> means = {write<T>(l1), write<T>(dssim), write<T>(share)};
    return photometric<T>(shape, input_of<T>(image, target, mask), out, means, allocations.allocator(), stream);
  });
  return {l1, dssim, share, partials};
}

static Tensor photometric_backward_op(Tensor image, Tensor other, std::optional<Tensor> mask, Tensor share,
                                      Tensor partials, bool is_target, Tensor v_l1, Tensor v_dssim) {
  const PhotometricShape shape = shape_of(image);
  Tensor v_image = new_like(image);
  run("photometric_backward", image, [&](auto t, void* stream) {
    using T = decltype(t);
    const auto partial = [&](SsimPartial which) { return read<T>(partials) + which * shape.pixels(); };
    const PhotometricCotangents<T> v = {partial(is_target ? SSIM_MEAN_Y : SSIM_MEAN_X),
                                        partial(SSIM_SQUARES),
                                        partial(SSIM_PRODUCT),
                                        read<T>(share),
                                        read<T>(v_l1),
                                        read<T>(v_dssim),
                                        write<T>(v_image)};
    return photometric_backward<T>(shape, input_of<T>(image, other, mask), v, stream);
  });
  return v_image;
}

// ---- depth terms

static std::tuple<Tensor, Tensor> inv_depth_l1_op(Tensor inv_depth, Tensor alpha, Tensor target,
                                                  std::optional<Tensor> valid, std::optional<Tensor> weight,
                                                  double unit, double depth_max) {
  Tensor value = empty(alpha, {}), share = empty(alpha, {});
  Allocations allocations = {alpha};
  run("inv_depth_l1", alpha, [&](auto t, void* stream) {
    using T = decltype(t);
    const InvDepthInput<T> in = {read<T>(inv_depth), read<T>(alpha), read<T>(target), read_optional<bool>(valid),
                                 read_optional<T>(weight)};
    const WeightedMean<T> mean = {write<T>(value), write<T>(share)};
    return inv_depth_l1<T>({alpha.numel(), unit, depth_max}, in, mean, allocations.allocator(), stream);
  });
  return {value, share};
}

static std::tuple<Tensor, Tensor> inv_depth_l1_backward_op(Tensor inv_depth, Tensor alpha, Tensor target,
                                                           std::optional<Tensor> valid, std::optional<Tensor> weight,
                                                           double unit, double depth_max, Tensor share,
                                                           Tensor v_value) {
  Tensor v_inv_depth = new_like(inv_depth), v_alpha = new_like(alpha);
  run("inv_depth_l1_backward", alpha, [&](auto t, void* stream) {
    using T = decltype(t);
    const InvDepthInput<T> in = {read<T>(inv_depth), read<T>(alpha), read<T>(target), read_optional<bool>(valid),
                                 read_optional<T>(weight)};
    const InvDepthGradients<T> out = {write<T>(v_inv_depth), write<T>(v_alpha)};
    return inv_depth_l1_backward<T>({alpha.numel(), unit, depth_max}, in, {read<T>(v_value), read<T>(share)}, out,
                                    stream);
  });
  return {v_inv_depth, v_alpha};
}

static std::tuple<Tensor, Tensor> mean_distortion_op(Tensor distortion, Tensor alpha, std::optional<Tensor> mask,
                                                     double unit, double scale) {
  Tensor value = empty(alpha, {}), share = empty(alpha, {});
  Allocations allocations = {alpha};
  run("mean_distortion", alpha, [&](auto t, void* stream) {
    using T = decltype(t);
    const DistortionInput<T> in = {read<T>(distortion), read<T>(alpha), read_optional<T>(mask)};
    const WeightedMean<T> mean = {write<T>(value), write<T>(share)};
    return mean_distortion<T>({alpha.numel(), unit, scale}, in, mean, allocations.allocator(), stream);
  });
  return {value, share};
}

static Tensor mean_distortion_backward_op(Tensor distortion, Tensor alpha, std::optional<Tensor> mask, double unit,
                                          double scale, Tensor share, Tensor v_value) {
  Tensor v_distortion = new_like(distortion);
  run("mean_distortion_backward", alpha, [&](auto t, void* stream) {
    using T = decltype(t);
    const DistortionInput<T> in = {read<T>(distortion), read<T>(alpha), read_optional<T>(mask)};
    return mean_distortion_backward<T>({alpha.numel(), unit, scale}, in, {read<T>(v_value), read<T>(share)},
                                       write<T>(v_distortion), stream);
  });
  return v_distortion;
}

// ---- effective rank

static std::tuple<Tensor, Tensor> effective_rank_cost_op(Tensor log_scales, Tensor visible, double min_rank) {
  Tensor value = empty(log_scales, {}), share = empty(log_scales, {});
  Allocations allocations = {log_scales};
  run("effective_rank_cost", log_scales, [&](auto t, void* stream) {
    using T = decltype(t);
    const RankInput<T> in = {log_scales.size(0), min_rank, read<T>(log_scales), read<bool>(visible)};
    return effective_rank_cost<T>(in, {write<T>(value), write<T>(share)}, allocations.allocator(), stream);
  });
  return {value, share};
}

static Tensor effective_rank_cost_backward_op(Tensor log_scales, Tensor visible, double min_rank, Tensor share,
                                              Tensor v_value) {
  Tensor v_log_scales = new_like(log_scales);
  run("effective_rank_cost_backward", log_scales, [&](auto t, void* stream) {
    using T = decltype(t);
    const RankInput<T> in = {log_scales.size(0), min_rank, read<T>(log_scales), read<bool>(visible)};
    return effective_rank_cost_backward<T>(in, {read<T>(v_value), read<T>(share)}, write<T>(v_log_scales), stream);
  });
  return v_log_scales;
}

// ---- exposure

static Tensor expose_op(Tensor color, Tensor exposure) {
  Tensor shown = new_like(color);
  run("expose", color, [&](auto t, void* stream) {
    using T = decltype(t);
    return expose<T>({color.numel() / 3, read<T>(color), read<T>(exposure)}, write<T>(shown), stream);
  });
  return shown;
}

static std::tuple<Tensor, Tensor> expose_backward_op(Tensor color, Tensor exposure, Tensor v_shown) {
  Tensor v_color = new_like(color), v_exposure = new_like(exposure);
  Allocations allocations = {color};
  run("expose_backward", color, [&](auto t, void* stream) {
    using T = decltype(t);
    return expose_backward<T>({color.numel() / 3, read<T>(color), read<T>(exposure)}, read<T>(v_shown),
                              write<T>(v_color), write<T>(v_exposure), allocations.allocator(), stream);
  });
  return {v_color, v_exposure};
}

// ---- adam

static void adam_op(std::vector<Tensor> values, std::vector<Tensor> gradients, std::vector<Tensor> firsts,
                    std::vector<Tensor> seconds, std::vector<double> rates, std::optional<Tensor> visible,
                    std::optional<Tensor> finite, int64_t step, double beta1, double beta2, double epsilon) {
  if (values.empty()) return;
  const int64_t rows = values[0].size(0);
  run("adam", values[0], [&](auto t, void* stream) {
    using T = decltype(t);
    std::vector<AdamArrays<T>> arrays;
    for (size_t i = 0; i < values.size(); ++i)
      arrays.push_back({rows == 0 ? 0 : values[i].numel() / rows, write<T>(values[i]), read<T>(gradients[i]),
                        write<T>(firsts[i]), write<T>(seconds[i]), rates[i]});
    return adam<T>({step, beta1, beta2, epsilon}, arrays.data(), int(arrays.size()),
                   {rows, read_optional<bool>(visible), read_optional<bool>(finite)}, stream);
  });
}

// Registers them all with torch.
static void implement(torch::stable::detail::StableLibrary& m) {
  m.impl("project", TORCH_BOX(&project_op));
  m.impl("project_backward", TORCH_BOX(&project_backward_op));
  m.impl("isect_tiles", TORCH_BOX(&isect_tiles_op));
  m.impl("blend", TORCH_BOX(&blend_op));
  m.impl("blend_backward", TORCH_BOX(&blend_backward_op));
  m.impl("blend_statistics", TORCH_BOX(&blend_statistics_op));
  m.impl("photometric", TORCH_BOX(&photometric_op));
  m.impl("photometric_backward", TORCH_BOX(&photometric_backward_op));
  m.impl("inv_depth_l1", TORCH_BOX(&inv_depth_l1_op));
  m.impl("inv_depth_l1_backward", TORCH_BOX(&inv_depth_l1_backward_op));
  m.impl("mean_distortion", TORCH_BOX(&mean_distortion_op));
  m.impl("mean_distortion_backward", TORCH_BOX(&mean_distortion_backward_op));
  m.impl("effective_rank_cost", TORCH_BOX(&effective_rank_cost_op));
  m.impl("effective_rank_cost_backward", TORCH_BOX(&effective_rank_cost_backward_op));
  m.impl("expose", TORCH_BOX(&expose_op));
  m.impl("expose_backward", TORCH_BOX(&expose_backward_op));
  m.impl("adam", TORCH_BOX(&adam_op));
}

}  // namespace DGR_BACKEND
}  // namespace dgr

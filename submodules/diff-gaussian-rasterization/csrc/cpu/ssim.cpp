// ssim and ssim_backward on the CPU: tiles in parallel, which share nothing.
#include "kernels.h"
#include "tensors.h"

namespace gsr {

static SsimShape shape_of(const Tensor& image) { return {image.size(0), int(image.size(1)), int(image.size(2))}; }

// f(tile, scratch) for every tile of every channel.
template <class T, class F>
static void for_each_ssim_tile(const SsimShape& shape, const F& f) {
  WorkerScratch scratch(kernels<T>().ssim_scratch_bytes);
  for_each_task(shape.channels * shape.tiles_of_channel(),
                [&](int64_t tile, int64_t worker) { f(tile, scratch.of(worker)); });
}

template <class T>
static void run_ssim(const Tensor& image, const Tensor& target, Tensor& map, Tensor& partials) {
  const SsimShape shape = shape_of(image);
  const SsimOutput<T> out = {write<T>(map), write<T>(partials), int(partials.size(0))};
  const T *x = read<T>(image), *y = read<T>(target);
  for_each_ssim_tile<T>(shape,
                        [&](int64_t tile, void* scratch) { kernels<T>().ssim(shape, x, y, out, tile, scratch); });
}

static std::tuple<Tensor, Tensor> ssim(Tensor image, Tensor target, int64_t partial_count) {
  Tensor map = torch::stable::empty_like(image);
  Tensor partials = empty(image, {partial_count, image.size(0), image.size(1), image.size(2)});
  if (is_double(image))
    run_ssim<double>(image, target, map, partials);
  else
    run_ssim<float>(image, target, map, partials);
  return {map, partials};
}

template <class T>
static void run_ssim_backward(const Tensor& image, const Tensor& other, const Tensor& v_map, const Tensor& partials,
                              int64_t mean, Tensor& v_image) {
  const SsimShape shape = shape_of(image);
  const auto partial = [&](int64_t map) { return read<T>(partials) + map * shape.pixels(); };
  const SsimCotangents<T> in = {read<T>(image), read<T>(other),        read<T>(v_map),
                                partial(mean),  partial(SSIM_SQUARES), partial(SSIM_PRODUCT)};
  T* v = write<T>(v_image);
  for_each_ssim_tile<T>(shape,
                        [&](int64_t tile, void* scratch) { kernels<T>().ssim_backward(shape, in, v, tile, scratch); });
}

static Tensor ssim_backward(Tensor image, Tensor other, Tensor v_map, Tensor partials, bool is_target) {
  Tensor v_image = torch::stable::empty_like(image);
  const int64_t mean = is_target ? SSIM_MEAN_Y : SSIM_MEAN_X;
  if (is_double(image))
    run_ssim_backward<double>(image, other, v_map, partials, mean, v_image);
  else
    run_ssim_backward<float>(image, other, v_map, partials, mean, v_image);
  return v_image;
}

}  // namespace gsr

STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CPU, m) {
  m.impl("ssim", TORCH_BOX(&gsr::ssim));
  m.impl("ssim_backward", TORCH_BOX(&gsr::ssim_backward));
}

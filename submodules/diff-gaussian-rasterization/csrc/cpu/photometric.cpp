// photometric and photometric_backward on the CPU: tiles in parallel, whose sums are added up in their order.
#include <optional>

#include "kernels.h"
#include "tensors.h"

namespace gsr {

using OptionalTensor = std::optional<Tensor>;

static PhotometricShape shape_of(const Tensor& image) {
  return {image.size(0), int(image.size(1)), int(image.size(2))};
}
template <class T>
static PhotometricInput<T> input_of(const Tensor& x, const Tensor& y, const OptionalTensor& mask) {
  return {read<T>(x), read<T>(y), mask ? read<T>(*mask) : nullptr};
}

// f(tile, scratch) for every tile of every channel.
template <class T, class F>
static void for_each_photometric_tile(const PhotometricShape& shape, const F& f) {
  WorkerScratch scratch(kernels<T>().photometric_scratch_bytes);
  for_each_task(shape.channels * shape.tiles_of_channel(),
                [&](int64_t tile, int64_t worker) { f(tile, scratch.of(worker)); });
}

template <class T>
static void write_means(const std::vector<T>& sums, Tensor& l1, Tensor& dssim, Tensor& share) {
  double totals[PHOTOMETRIC_SUMS] = {};
  for (size_t i = 0; i < sums.size(); ++i) totals[i % PHOTOMETRIC_SUMS] += sums[i];
  const double inverse = totals[2] > 0 ? 1 / totals[2] : 0;
  *write<T>(l1) = T(totals[0] * inverse);
  *write<T>(dssim) = T(totals[1] * inverse);
  *write<T>(share) = T(inverse);
}

static std::tuple<Tensor, Tensor, Tensor, Tensor> photometric(Tensor image, Tensor target, OptionalTensor mask,
                                                              int64_t partial_count) {
  const PhotometricShape shape = shape_of(image);
  Tensor l1 = empty(image, {}), dssim = empty(image, {}), share = empty(image, {}),
         partials = empty(image, {partial_count, shape.channels, shape.height, shape.width});
  const auto run = [&](auto t) {
    using T = decltype(t);
    std::vector<T> sums(shape.channels * shape.tiles_of_channel() * PHOTOMETRIC_SUMS);
    const PhotometricInput<T> in = input_of<T>(image, target, mask);
    const PhotometricOutput<T> out = {sums.data(), write<T>(partials), int(partial_count)};
    for_each_photometric_tile<T>(
        shape, [&](int64_t tile, void* scratch) { kernels<T>().photometric(shape, in, out, tile, scratch); });
    write_means(sums, l1, dssim, share);
  };
  is_double(image) ? run(double()) : run(float());
  return {l1, dssim, share, partials};
}

static Tensor photometric_backward(Tensor image, Tensor other, OptionalTensor mask, Tensor share, Tensor partials,
                                   bool is_target, Tensor v_l1, Tensor v_dssim) {
  const PhotometricShape shape = shape_of(image);
  Tensor v_image = new_like(image);
  const auto run = [&](auto t) {
    using T = decltype(t);
    const auto partial = [&](SsimPartial which) { return read<T>(partials) + which * shape.pixels(); };
    const PhotometricInput<T> in = input_of<T>(image, other, mask);
    const PhotometricCotangents<T> v = {partial(is_target ? SSIM_MEAN_Y : SSIM_MEAN_X),
                                        partial(SSIM_SQUARES),
                                        partial(SSIM_PRODUCT),
                                        read<T>(share),
                                        read<T>(v_l1),
                                        read<T>(v_dssim),
                                        write<T>(v_image)};
    for_each_photometric_tile<T>(
        shape, [&](int64_t tile, void* scratch) { kernels<T>().photometric_backward(shape, in, v, tile, scratch); });
  };
  is_double(image) ? run(double()) : run(float());
  return v_image;
}

}  // namespace gsr

STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CPU, m) {
  m.impl("photometric", TORCH_BOX(&gsr::photometric));
  m.impl("photometric_backward", TORCH_BOX(&gsr::photometric_backward));
}

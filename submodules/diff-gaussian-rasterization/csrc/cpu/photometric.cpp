// photometric and photometric_backward on the CPU: tiles in parallel, whose sums are added up in their order.
#include "kernels.h"
#include "launch.h"
#include "parallel.h"

namespace dgr {
namespace cpu {

// f(tile, scratch) for every tile of every channel.
template <class T, class F>
static void for_each_photometric_tile(const PhotometricShape& shape, const F& f) {
  const size_t bytes = kernels<T>().photometric_scratch_bytes;
  for_each_task(shape.channels * shape.tiles_of_channel(), [&](int64_t tile) { f(tile, thread_scratch(bytes)); });
}

template <class T>
static void write_means(const std::vector<T>& sums, const PhotometricMeans<T>& means) {
  double totals[PHOTOMETRIC_SUMS] = {};
  for (size_t i = 0; i < sums.size(); ++i) totals[i % PHOTOMETRIC_SUMS] += sums[i];
  const double inverse = totals[2] > 0 ? 1 / totals[2] : 0;
  *means.l1 = T(totals[0] * inverse);
  *means.dssim = T(totals[1] * inverse);
  *means.share = T(inverse);
}

template <class T>
int photometric(const PhotometricShape& shape, const PhotometricInput<T>& in, PhotometricOutput<T> out,
                const PhotometricMeans<T>& means, const Allocator&, void*) {
  std::vector<T> sums(shape.channels * shape.tiles_of_channel() * PHOTOMETRIC_SUMS);
  out.sums = sums.data();
  for_each_photometric_tile<T>(
      shape, [&](int64_t tile, void* scratch) { kernels<T>().photometric(shape, in, out, tile, scratch); });
  write_means(sums, means);
  return 0;
}

template <class T>
int photometric_backward(const PhotometricShape& shape, const PhotometricInput<T>& in,
                         const PhotometricCotangents<T>& v, void*) {
  for_each_photometric_tile<T>(
      shape, [&](int64_t tile, void* scratch) { kernels<T>().photometric_backward(shape, in, v, tile, scratch); });
  return 0;
}

DGR_INSTANTIATE_PHOTOMETRIC(float)
DGR_INSTANTIATE_PHOTOMETRIC(double)

}  // namespace cpu
}  // namespace dgr

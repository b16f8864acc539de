// The depth terms on the CPU: chunks of pixels in parallel, whose sums are added up in their order.
#include "kernels.h"
#include "launch.h"
#include "parallel.h"

namespace dgr {
namespace cpu {

constexpr int64_t CHUNK = 8192;  // pixels

template <class T>
static void write_mean(const std::vector<T>& sums, const WeightedMean<T>& mean) {
  double totals[WEIGHTED_SUMS] = {};
  for (size_t i = 0; i < sums.size(); ++i) totals[i % WEIGHTED_SUMS] += sums[i];
  const double share = totals[1] == 0 ? 0 : 1 / totals[1];
  *mean.value = T(totals[0] * share);
  *mean.share = T(share);
}

// `add(begin, end, sums)` puts there what a chunk of pixels adds up to.
template <class T, class Add>
static void mean_of_chunks(int64_t pixels, const WeightedMean<T>& mean, const Add& add) {
  std::vector<T> sums((pixels + CHUNK - 1) / CHUNK * WEIGHTED_SUMS);
  for_each_chunk(pixels, CHUNK,
                 [&](int64_t begin, int64_t end, int64_t chunk) { add(begin, end, &sums[chunk * WEIGHTED_SUMS]); });
  write_mean(sums, mean);
}

template <class T>
int inv_depth_l1(const InvDepthSettings& settings, const InvDepthInput<T>& in, const WeightedMean<T>& mean,
                 const Allocator&, void*) {
  const Kernels<T>& table = kernels<T>();
  mean_of_chunks(settings.pixels, mean,
                 [&](int64_t begin, int64_t end, T* sums) { table.inv_depth_l1(settings, in, begin, end, sums); });
  return 0;
}

template <class T>
int inv_depth_l1_backward(const InvDepthSettings& settings, const InvDepthInput<T>& in, const MeanCotangent<T>& v,
                          const InvDepthGradients<T>& out, void*) {
  const Kernels<T>& table = kernels<T>();
  for_each_chunk(settings.pixels, CHUNK, [&](int64_t begin, int64_t end, int64_t) {
    table.inv_depth_l1_backward(settings, in, v, out, begin, end);
  });
  return 0;
}

template <class T>
int mean_distortion(const DistortionSettings& settings, const DistortionInput<T>& in, const WeightedMean<T>& mean,
                    const Allocator&, void*) {
  const Kernels<T>& table = kernels<T>();
  mean_of_chunks(settings.pixels, mean,
                 [&](int64_t begin, int64_t end, T* sums) { table.mean_distortion(settings, in, begin, end, sums); });
  return 0;
}

template <class T>
int mean_distortion_backward(const DistortionSettings& settings, const DistortionInput<T>& in,
                             const MeanCotangent<T>& v, T* v_distortion, void*) {
  const Kernels<T>& table = kernels<T>();
  for_each_chunk(settings.pixels, CHUNK, [&](int64_t begin, int64_t end, int64_t) {
    table.mean_distortion_backward(settings, in, v, v_distortion, begin, end);
  });
  return 0;
}

DGR_INSTANTIATE_DEPTH_TERMS(float)
DGR_INSTANTIATE_DEPTH_TERMS(double)

}  // namespace cpu
}  // namespace dgr

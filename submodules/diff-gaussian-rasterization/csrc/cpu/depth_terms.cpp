// The depth terms on the CPU: chunks of pixels in parallel.
#include "kernels.h"
#include "launch.h"
#include "weighted_mean.h"

namespace dgr {
namespace cpu {

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
  for_each_chunk(settings.pixels, MEAN_CHUNK, [&](int64_t begin, int64_t end, int64_t) {
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
  for_each_chunk(settings.pixels, MEAN_CHUNK, [&](int64_t begin, int64_t end, int64_t) {
    table.mean_distortion_backward(settings, in, v, v_distortion, begin, end);
  });
  return 0;
}

DGR_INSTANTIATE_DEPTH_TERMS(float)
DGR_INSTANTIATE_DEPTH_TERMS(double)

}  // namespace cpu
}  // namespace dgr

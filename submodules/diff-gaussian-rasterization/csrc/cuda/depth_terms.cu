// The depth terms on CUDA: a thread for some pixels.
#include "../math/depth_terms.h"
#include "weighted_mean.cuh"

namespace dgr {
namespace cuda {

// ---- inverse depth

template <class T>
__device__ __forceinline__ InvDepthPixel<T> load_pixel(const InvDepthInput<T>& in, int64_t i) {
  const T weight = in.weight == nullptr ? T(1) : in.weight[i];
  return {in.inv_depth[i], in.alpha[i], in.target[i], in.valid == nullptr || in.valid[i] ? weight : T(0)};
}

template <class T>
__global__ void __launch_bounds__(PIXEL_THREADS) inv_depth_l1_kernel(InvDepthSettings s, InvDepthInput<T> in, T* sums) {
  const T unit = T(s.unit), depth_max = T(s.depth_max);
  WeightedSums<T> own = {T(0), T(0)};
  for_each_pixel(s.pixels, [&](int64_t i) {
    const InvDepthPixel<T> pixel = load_pixel(in, i);
    add_weighted(own, counts(pixel, unit, depth_max), pixel.weight, absolute(inv_depth_error(pixel, unit)));
  });
  write_sums(own, sums);
}

template <class T>
__global__ void __launch_bounds__(PIXEL_THREADS)
    inv_depth_l1_backward_kernel(InvDepthSettings s, InvDepthInput<T> in, MeanCotangent<T> v,
                                 InvDepthGradients<T> out) {
  const T unit = T(s.unit), depth_max = T(s.depth_max), v_sum = *v.value * *v.share;
  for_each_pixel(s.pixels, [&](int64_t i) {
    const InvDepthCotangent<T> gradient = inv_depth_error_vjp(load_pixel(in, i), unit, depth_max, v_sum);
    out.inv_depth[i] = gradient.inv_depth;
    out.alpha[i] = gradient.alpha;
  });
}

template <class T>
int inv_depth_l1(const InvDepthSettings& settings, const InvDepthInput<T>& in, const WeightedMean<T>& mean,
                 const Allocator& allocator, void* stream) {
  return mean_of_blocks<T>(inv_depth_l1_kernel<T>, blocks_for(settings.pixels, BLOCK_PIXELS), mean, allocator, stream,
                           settings, in);
}

template <class T>
int inv_depth_l1_backward(const InvDepthSettings& settings, const InvDepthInput<T>& in, const MeanCotangent<T>& v,
                          const InvDepthGradients<T>& out, void* stream) {
  return launch(inv_depth_l1_backward_kernel<T>, blocks_for(settings.pixels, BLOCK_PIXELS), PIXEL_THREADS, stream,
                settings, in, v, out);
}

// ---- distortion

template <class T>
__device__ __forceinline__ DistortionPixel<T> load_pixel(const DistortionInput<T>& in, int64_t i) {
  return {in.distortion[i], in.alpha[i], in.mask == nullptr ? T(1) : in.mask[i]};
}

template <class T>
__global__ void __launch_bounds__(PIXEL_THREADS)
    mean_distortion_kernel(DistortionSettings s, DistortionInput<T> in, T* sums) {
  const DistortionRule<T> rule = distortion_rule<T>(s);
  WeightedSums<T> own = {T(0), T(0)};
  for_each_pixel(s.pixels, [&](int64_t i) {
    const DistortionPixel<T> pixel = load_pixel(in, i);
    add_weighted(own, counts(pixel), pixel.weight, robust_distortion(pixel, rule));
  });
  write_sums(own, sums);
}

template <class T>
__global__ void __launch_bounds__(PIXEL_THREADS)
    mean_distortion_backward_kernel(DistortionSettings s, DistortionInput<T> in, MeanCotangent<T> v, T* v_distortion) {
  const DistortionRule<T> rule = distortion_rule<T>(s);
  const T v_sum = *v.value * *v.share;
  for_each_pixel(s.pixels, [&](int64_t i) { v_distortion[i] = robust_distortion_vjp(load_pixel(in, i), rule, v_sum); });
}

template <class T>
int mean_distortion(const DistortionSettings& settings, const DistortionInput<T>& in, const WeightedMean<T>& mean,
                    const Allocator& allocator, void* stream) {
  return mean_of_blocks<T>(mean_distortion_kernel<T>, blocks_for(settings.pixels, BLOCK_PIXELS), mean, allocator,
                           stream, settings, in);
}

template <class T>
int mean_distortion_backward(const DistortionSettings& settings, const DistortionInput<T>& in,
                             const MeanCotangent<T>& v, T* v_distortion, void* stream) {
  return launch(mean_distortion_backward_kernel<T>, blocks_for(settings.pixels, BLOCK_PIXELS), PIXEL_THREADS, stream,
                settings, in, v, v_distortion);
}

DGR_INSTANTIATE_DEPTH_TERMS(float)
DGR_INSTANTIATE_DEPTH_TERMS(double)

}  // namespace cuda
}  // namespace dgr

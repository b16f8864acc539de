// What needles cost on CUDA: a thread for each Gaussian.
#include "../math/effective_rank.h"
#include "weighted_mean.cuh"

namespace dgr {
namespace cuda {

// f(row) for that of a thread: a row has logarithms and exponentials enough to keep it busy.
template <class F>
__device__ __forceinline__ void for_row_of_thread(int64_t rows, const F& f) {
  const int64_t row = int64_t(blockIdx.x) * PIXEL_THREADS + threadIdx.x;
  if (row < rows) f(row);
}

template <class T>
__device__ __forceinline__ RankParts<T> load_rank(const RankInput<T>& in, int64_t i) {
  return rank_parts<T>({in.log_scales[3 * i], in.log_scales[3 * i + 1], in.log_scales[3 * i + 2]});
}

template <class T>
__global__ void __launch_bounds__(PIXEL_THREADS) effective_rank_cost_kernel(RankInput<T> in, T* sums) {
  WeightedSums<T> own = {T(0), T(0)};
  for_row_of_thread(in.rows, [&](int64_t i) {
    add_weighted(own, in.visible[i], T(1), effective_rank_cost(load_rank(in, i), T(in.min_rank)));
  });
  write_sums(own, sums);
}

template <class T>
__global__ void __launch_bounds__(PIXEL_THREADS)
    effective_rank_cost_backward_kernel(RankInput<T> in, MeanCotangent<T> v, T* v_log_scales) {
  const T v_sum = *v.value * *v.share;
  for_row_of_thread(in.rows, [&](int64_t i) {
    const Vec3<T> gradient = effective_rank_cost_vjp(load_rank(in, i), T(in.min_rank), v_sum);
    v_log_scales[3 * i] = in.visible[i] ? gradient.x : T(0);
    v_log_scales[3 * i + 1] = in.visible[i] ? gradient.y : T(0);
    v_log_scales[3 * i + 2] = in.visible[i] ? gradient.z : T(0);
  });
}

template <class T>
int effective_rank_cost(const RankInput<T>& in, const WeightedMean<T>& mean, const Allocator& allocator, void* stream) {
  return mean_of_blocks<T>(effective_rank_cost_kernel<T>, blocks_for(in.rows, PIXEL_THREADS), mean, allocator, stream,
                           in);
}

template <class T>
int effective_rank_cost_backward(const RankInput<T>& in, const MeanCotangent<T>& v, T* v_log_scales, void* stream) {
  return launch(effective_rank_cost_backward_kernel<T>, blocks_for(in.rows, PIXEL_THREADS), PIXEL_THREADS, stream, in,
                v, v_log_scales);
}

DGR_INSTANTIATE_EFFECTIVE_RANK(float)
DGR_INSTANTIATE_EFFECTIVE_RANK(double)

}  // namespace cuda
}  // namespace dgr

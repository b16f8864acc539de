// Weighted means on CUDA: a thread for some pixels or Gaussians, the blocks' sums added up by one block, in their order.
#pragma once
#include "../math/weighted_mean.h"
#include "device.cuh"
#include "pixels.cuh"
#include "reduce.cuh"

namespace dgr {
namespace cuda {

// Thread i < WEIGHTED_SUMS writes the i-th sum of its block.
template <class T>
__device__ __forceinline__ void write_sums(const WeightedSums<T>& sums, T* blocks) {
  T values[WEIGHTED_SUMS] = {sums.values, sums.weights};
  const T total = block_sum<WEIGHTED_SUMS, PIXEL_THREADS / WARP>(values);
  if (threadIdx.x < WEIGHTED_SUMS) blocks[int64_t(blockIdx.x) * WEIGHTED_SUMS + threadIdx.x] = total;
}
// From the blocks' sums, by a single block.
template <class T>
__global__ void __launch_bounds__(SUM_THREADS) weighted_mean(const T* blocks, int64_t count, WeightedMean<T> mean) {
  __shared__ T totals[WEIGHTED_SUMS];
  const T total = sum_of_rows<WEIGHTED_SUMS>(blocks, count);
  if (threadIdx.x < WEIGHTED_SUMS) totals[threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.x != 0) return;
  const T share = totals[1] == T(0) ? T(0) : T(1) / totals[1];
  *mean.value = totals[0] * share;
  *mean.share = share;
}

// `kernel(arguments..., sums of its blocks)`, then the mean.
template <class T, class Kernel, class... Arguments>
int mean_of_blocks(Kernel* kernel, int64_t blocks, const WeightedMean<T>& mean, const Allocator& allocator,
                   void* stream, const Arguments&... arguments) {
  T* sums = scratch<T>(allocator, blocks * WEIGHTED_SUMS);
  DGR_TRY(launch(kernel, unsigned(blocks), PIXEL_THREADS, stream, arguments..., sums));
  return launch(weighted_mean<T>, 1, SUM_THREADS, stream, sums, blocks, mean);
}

}  // namespace cuda
}  // namespace dgr

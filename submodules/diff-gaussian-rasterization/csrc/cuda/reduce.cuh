// Sums over the lanes of a warp, the threads of a block, and the rows of an array, in an order that never changes.
#pragma once
#include "device.cuh"

namespace dgr {
namespace cuda {

// COUNT sums over a warp at once. In each of five rounds lanes in pairs deal their values between them, each adding up
// half of them: for 12 values that takes 6 + 3 + 2 + 1 + 1 = 13 exchanges, where one sum after the other takes 60.
template <int COUNT, int DISTANCE, class T>
__device__ __forceinline__ void halve(T* values) {
  constexpr int HALF = (COUNT + 1) / 2;
  const bool upper = threadIdx.x & DISTANCE;
#pragma unroll
  for (int i = 0; i < HALF; ++i) {
    const T low = values[i], high = COUNT == 1 ? low : HALF + i < COUNT ? values[HALF + i] : T(0);
    values[i] = (upper ? high : low) + __shfl_xor_sync(ALL_LANES, upper ? low : high, DISTANCE);
  }
  if constexpr (DISTANCE > 1) halve<HALF, DISTANCE / 2>(values);
}
// Afterwards values[0] is the sum of one of the values; sum_of_lane says which.
template <int COUNT, class T>
__device__ __forceinline__ void warp_sums(T (&values)[COUNT]) {
  halve<COUNT, WARP / 2>(values);
}
// Which of COUNT sums this lane holds, or −1 if another lane holds the same, or nobody asked for it.
template <int COUNT>
__device__ __forceinline__ int sum_of_lane() {
  int first = 0, count = COUNT, end = COUNT;  // what a lane may hold is [first, end), padded to `count`
#pragma unroll
  for (int distance = WARP / 2; distance > 0; distance /= 2) {
    const bool upper = threadIdx.x & distance;
    const int half = (count + 1) / 2;
    if (count == 1) {
      if (upper) return -1;
    } else if (upper) {
      first += half;
    } else {
      end = end < first + half ? end : first + half;
    }
    count = half;
  }
  return first < end ? first : -1;
}

template <class T>
__device__ __forceinline__ T warp_maximum(T value) {
#pragma unroll
  for (int distance = WARP / 2; distance > 0; distance /= 2) {
    const T other = __shfl_xor_sync(ALL_LANES, value, distance);
    value = value > other ? value : other;
  }
  return value;
}

// COUNT sums over a block of WARPS warps: thread i < COUNT returns the i-th.
template <int COUNT, int WARPS, class T>
__device__ __forceinline__ T block_sum(T (&values)[COUNT]) {
  __shared__ T sums[WARPS][COUNT];
  warp_sums(values);
  const int held = sum_of_lane<COUNT>();
  if (held >= 0) sums[threadIdx.x / WARP][held] = values[0];
  __syncthreads();
  T total = T(0);
  if (threadIdx.x < COUNT)
    for (int warp = 0; warp < WARPS; ++warp) total += sums[warp][threadIdx.x];
  return total;
}

constexpr int SUM_THREADS = 256;

// The sums of (count, COLUMNS) by a block of SUM_THREADS: thread i < COLUMNS returns the i-th.
template <int COLUMNS, class T>
__device__ __forceinline__ T sum_of_rows(const T* rows, int64_t count) {
  T values[COLUMNS] = {};
  for (int64_t row = threadIdx.x; row < count; row += SUM_THREADS)
#pragma unroll
    for (int c = 0; c < COLUMNS; ++c) values[c] += rows[row * COLUMNS + c];
  return block_sum<COLUMNS, SUM_THREADS / WARP>(values);
}
// (count, COLUMNS) -> (COLUMNS), by a single block.
template <int COLUMNS, class T>
__global__ void __launch_bounds__(SUM_THREADS) sum_rows(const T* rows, int64_t count, T* sums) {
  const T total = sum_of_rows<COLUMNS>(rows, count);
  if (threadIdx.x < COLUMNS) sums[threadIdx.x] = total;
}

}  // namespace cuda
}  // namespace dgr

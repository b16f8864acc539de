// Images pixel by pixel, each by itself: which pixels a thread has.
#pragma once
#include "device.cuh"

namespace dgr {
namespace cuda {

constexpr int PIXEL_THREADS = 256;
constexpr int PIXELS_OF_THREAD = 8;
constexpr int BLOCK_PIXELS = PIXEL_THREADS * PIXELS_OF_THREAD;

// f(pixel) for those of a thread: neighbors in a warp read neighbors in memory.
template <class F>
__device__ __forceinline__ void for_each_pixel(int64_t pixels, const F& f) {
  const int64_t first = int64_t(blockIdx.x) * BLOCK_PIXELS + threadIdx.x;
#pragma unroll
  for (int k = 0; k < PIXELS_OF_THREAD; ++k)
    if (first + k * PIXEL_THREADS < pixels) f(first + k * PIXEL_THREADS);
}

}  // namespace cuda
}  // namespace dgr

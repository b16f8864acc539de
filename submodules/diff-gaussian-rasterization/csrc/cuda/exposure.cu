// expose and expose_backward on CUDA: a thread for some pixels, the blocks' sums added up by one block, in their order.
#include "../math/exposure.h"
#include "device.cuh"
#include "pixels.cuh"
#include "reduce.cuh"

namespace dgr {
namespace cuda {

template <class T>
__device__ __forceinline__ Exposure<T> load_exposure(const T* numbers) {
  Exposure<T> exposure;
#pragma unroll
  for (int i = 0; i < EXPOSURE; ++i) exposure.at[i] = numbers[i];
  return exposure;
}
template <class T>
__device__ __forceinline__ Vec3<T> load_color(const T* image, int64_t pixels, int64_t i) {
  return {image[i], image[pixels + i], image[2 * pixels + i]};
}
template <class T>
__device__ __forceinline__ void store_color(T* image, int64_t pixels, int64_t i, Vec3<T> color) {
  image[i] = color.x;
  image[pixels + i] = color.y;
  image[2 * pixels + i] = color.z;
}

template <class T>
__global__ void __launch_bounds__(PIXEL_THREADS) expose_kernel(ExposureInput<T> in, T* shown) {
  const Exposure<T> exposure = load_exposure(in.exposure);
  for_each_pixel(in.pixels, [&](int64_t i) {
    store_color(shown, in.pixels, i, dgr::expose(exposure, load_color(in.color, in.pixels, i)));
  });
}

// `sums`: of each block, EXPOSURE numbers.
template <class T>
__global__ void __launch_bounds__(PIXEL_THREADS)
    expose_backward_kernel(ExposureInput<T> in, const T* v_shown, T* v_color, T* sums) {
  const Exposure<T> exposure = load_exposure(in.exposure);
  T own[EXPOSURE] = {};
  for_each_pixel(in.pixels, [&](int64_t i) {
    const Vec3<T> v = load_color(v_shown, in.pixels, i);
    store_color(v_color, in.pixels, i, expose_vjp(exposure, v));
    add_exposure_vjp(load_color(in.color, in.pixels, i), v, own);
  });
  const T total = block_sum<EXPOSURE, PIXEL_THREADS / WARP>(own);
  if (threadIdx.x < EXPOSURE) sums[int64_t(blockIdx.x) * EXPOSURE + threadIdx.x] = total;
}

template <class T>
int expose(const ExposureInput<T>& in, T* shown, void* stream) {
  return launch(expose_kernel<T>, blocks_for(in.pixels, BLOCK_PIXELS), PIXEL_THREADS, stream, in, shown);
}

template <class T>
int expose_backward(const ExposureInput<T>& in, const T* v_shown, T* v_color, T* v_exposure, const Allocator& allocator,
                    void* stream) {
  const int64_t blocks = blocks_for(in.pixels, BLOCK_PIXELS);
  T* sums = scratch<T>(allocator, blocks * EXPOSURE);
  DGR_TRY(launch(expose_backward_kernel<T>, unsigned(blocks), PIXEL_THREADS, stream, in, v_shown, v_color, sums));
  return launch(sum_rows<EXPOSURE, T>, 1, SUM_THREADS, stream, sums, blocks, v_exposure);
}

DGR_INSTANTIATE_EXPOSURE(float)
DGR_INSTANTIATE_EXPOSURE(double)

}  // namespace cuda
}  // namespace dgr

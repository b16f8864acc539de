// ssim and ssim_backward on CUDA: a block for each tile of a channel, filtered along rows, then along columns.
//
// The window is separable: a tile's rows, and SSIM_RADIUS more above and below, are filtered into shared memory, and
// columns from there. Beyond the image all is 0. The window is symmetric, so the backward pass filters with the same
// one.
#include "../math/ssim.h"
#include "device.cuh"

namespace gsr {
namespace cuda {

constexpr int SSIM_THREADS = 256, SSIM_WIDTH = 32, SSIM_HALO_WIDTH = SSIM_WIDTH + 2 * SSIM_RADIUS;

// A tile of 32×16 pixels, in float64 32×8, for which there is shared memory. A thread has neighbours of a column, which
// share most of what they read.
template <class T>
constexpr int rows_of_thread() {
  return 8 / sizeof(T);
}
template <class T>
constexpr int ssim_height() {
  return SSIM_THREADS / SSIM_WIDTH * rows_of_thread<T>();
}
template <class T>
constexpr int ssim_halo_height() {
  return ssim_height<T>() + 2 * SSIM_RADIUS;
}

// A tile's pixels and those around it, and the same filtered along rows.
template <class T>
struct Halo {
  T at[ssim_halo_height<T>()][SSIM_HALO_WIDTH];
};
template <class T>
struct FilteredRows {
  T at[ssim_halo_height<T>()][SSIM_WIDTH];
};

// Where a tile lies: its first pixel, and its channel's.
struct SsimFrame {
  int64_t plane;
  int x, y;
};
template <class T>
__device__ __forceinline__ SsimFrame ssim_frame(const SsimShape& shape) {
  return {int64_t(blockIdx.z) * shape.height * shape.width, int(blockIdx.x) * SSIM_WIDTH,
          int(blockIdx.y) * ssim_height<T>()};
}
template <class T>
static dim3 ssim_grid(const SsimShape& shape) {
  return dim3(blocks_for(shape.width, SSIM_WIDTH), blocks_for(shape.height, ssim_height<T>()),
              unsigned(shape.channels));
}

// put(row, column, pixel) for the pixels of a tile and around it; `pixel` is −1 beyond the image.
template <class T, class F>
__device__ __forceinline__ void for_each_in_halo(const SsimShape& shape, const SsimFrame& frame, const F& put) {
  for (int i = threadIdx.x; i < ssim_halo_height<T>() * SSIM_HALO_WIDTH; i += SSIM_THREADS) {
    const int row = i / SSIM_HALO_WIDTH, column = i % SSIM_HALO_WIDTH;
    const int y = frame.y + row - SSIM_RADIUS, x = frame.x + column - SSIM_RADIUS;
    const bool inside = y >= 0 && y < shape.height && x >= 0 && x < shape.width;
    put(row, column, inside ? frame.plane + int64_t(y) * shape.width + x : int64_t(-1));
  }
}
// put(row, column) for what is filtered along rows.
template <class T, class F>
__device__ __forceinline__ void for_each_filtered(const F& put) {
  for (int i = threadIdx.x; i < ssim_halo_height<T>() * SSIM_WIDTH; i += SSIM_THREADS)
    put(i / SSIM_WIDTH, i % SSIM_WIDTH);
}

template <class T>
__device__ __forceinline__ T filter_row(const SsimWeights<T>& weights, const T* pixels) {
  T sum = T(0);
#pragma unroll
  for (int k = 0; k < SSIM_WINDOW; ++k) sum += weights.at[k] * pixels[k];
  return sum;
}

// Of a thread's pixels: their column and first row in the tile.
struct SsimPixels {
  int column, row;
};
template <class T>
__device__ __forceinline__ SsimPixels own_pixels() {
  return {int(threadIdx.x % SSIM_WIDTH), int(threadIdx.x / SSIM_WIDTH) * rows_of_thread<T>()};
}
template <class T>
__device__ __forceinline__ void filter_column(const SsimWeights<T>& weights, const FilteredRows<T>& rows,
                                              const SsimPixels& own, T (&sums)[rows_of_thread<T>()]) {
#pragma unroll
  for (T& sum : sums) sum = T(0);
#pragma unroll
  for (int k = 0; k < SSIM_WINDOW + rows_of_thread<T>() - 1; ++k) {
    const T value = rows.at[own.row + k][own.column];
#pragma unroll
    for (int r = 0; r < rows_of_thread<T>(); ++r)
      if (k - r >= 0 && k - r < SSIM_WINDOW) sums[r] += weights.at[k - r] * value;
  }
}
// put(r, pixel) for those of a thread's pixels that are in the image.
template <class T, class F>
__device__ __forceinline__ void for_each_own(const SsimShape& shape, const SsimFrame& frame, const SsimPixels& own,
                                             const F& put) {
  const int x = frame.x + own.column;
#pragma unroll
  for (int r = 0; r < rows_of_thread<T>(); ++r) {
    const int y = frame.y + own.row + r;
    if (x < shape.width && y < shape.height) put(r, frame.plane + int64_t(y) * shape.width + x);
  }
}

// ---- forward

template <class T>
__device__ __forceinline__ void write_similarity(const SsimShape& shape, const SsimOutput<T>& out,
                                                 const SsimMeans<T>& means, int64_t pixel) {
  const int64_t size = shape.channels * shape.height * shape.width;
  const SsimFactors<T> factors = ssim_factors(means);
  out.map[pixel] = gsr::ssim(factors);
  if (out.partial_count == 0) return;
  const SsimCotangent<T> partial = ssim_vjp(means, factors, T(1));
  out.partials[SSIM_SQUARES * size + pixel] = partial.squares;
  out.partials[SSIM_PRODUCT * size + pixel] = partial.product;
  out.partials[SSIM_MEAN_X * size + pixel] = partial.x;
  if (out.partial_count > SSIM_MEAN_Y) out.partials[SSIM_MEAN_Y * size + pixel] = partial.y;
}

template <class T>
__global__ void __launch_bounds__(SSIM_THREADS)
    ssim_kernel(SsimShape shape, SsimWeights<T> weights, const T* x, const T* y, SsimOutput<T> out) {
  __shared__ Halo<T> halo[2];
  __shared__ FilteredRows<T> filtered[5];  // E[x], E[y], E[x²], E[y²], E[xy]
  const SsimFrame frame = ssim_frame<T>(shape);
  for_each_in_halo<T>(shape, frame, [&](int row, int column, int64_t pixel) {
    halo[0].at[row][column] = pixel < 0 ? T(0) : x[pixel];
    halo[1].at[row][column] = pixel < 0 ? T(0) : y[pixel];
  });
  __syncthreads();
  for_each_filtered<T>([&](int row, int column) {
    SsimMeans<T> means = {};
#pragma unroll
    for (int k = 0; k < SSIM_WINDOW; ++k)
      add_pixel(means, weights.at[k], halo[0].at[row][column + k], halo[1].at[row][column + k]);
    filtered[0].at[row][column] = means.x;
    filtered[1].at[row][column] = means.y;
    filtered[2].at[row][column] = means.xx;
    filtered[3].at[row][column] = means.yy;
    filtered[4].at[row][column] = means.xy;
  });
  __syncthreads();
  const SsimPixels own = own_pixels<T>();
  T sums[5][rows_of_thread<T>()];
#pragma unroll
  for (int plane = 0; plane < 5; ++plane) filter_column(weights, filtered[plane], own, sums[plane]);
  for_each_own<T>(shape, frame, own, [&](int r, int64_t pixel) {
    write_similarity<T>(shape, out, {sums[0][r], sums[1][r], sums[2][r], sums[3][r], sums[4][r]}, pixel);
  });
}

template <class T>
int ssim(const SsimShape& shape, const T* x, const T* y, const SsimOutput<T>& out, void* stream) {
  return launch(ssim_kernel<T>, ssim_grid<T>(shape), SSIM_THREADS, stream, shape, ssim_weights<T>(), x, y, out);
}

// ---- backward

template <class T>
__global__ void __launch_bounds__(SSIM_THREADS)
    ssim_backward_kernel(SsimShape shape, SsimWeights<T> weights, SsimCotangents<T> in, T* v_image) {
  __shared__ Halo<T> halo[3];  // the cotangents of a mean, of the squares, of the product
  __shared__ FilteredRows<T> filtered[3];
  const SsimFrame frame = ssim_frame<T>(shape);
  for_each_in_halo<T>(shape, frame, [&](int row, int column, int64_t pixel) {
    const T v = pixel < 0 ? T(0) : in.v_map[pixel];
    halo[0].at[row][column] = pixel < 0 ? T(0) : v * in.mean[pixel];
    halo[1].at[row][column] = pixel < 0 ? T(0) : v * in.squares[pixel];
    halo[2].at[row][column] = pixel < 0 ? T(0) : v * in.product[pixel];
  });
  __syncthreads();
  for_each_filtered<T>([&](int row, int column) {
#pragma unroll
    for (int plane = 0; plane < 3; ++plane)
      filtered[plane].at[row][column] = filter_row(weights, &halo[plane].at[row][column]);
  });
  __syncthreads();
  const SsimPixels own = own_pixels<T>();
  T sums[3][rows_of_thread<T>()];
#pragma unroll
  for (int plane = 0; plane < 3; ++plane) filter_column(weights, filtered[plane], own, sums[plane]);
  for_each_own<T>(shape, frame, own, [&](int r, int64_t pixel) {
    v_image[pixel] = pixel_vjp(in.image[pixel], in.other[pixel], sums[0][r], sums[1][r], sums[2][r]);
  });
}

template <class T>
int ssim_backward(const SsimShape& shape, const SsimCotangents<T>& in, T* v_image, void* stream) {
  return launch(ssim_backward_kernel<T>, ssim_grid<T>(shape), SSIM_THREADS, stream, shape, ssim_weights<T>(), in,
                v_image);
}

#define GSR_INSTANTIATE(T)                                                                 \
  template int ssim<T>(const SsimShape&, const T*, const T*, const SsimOutput<T>&, void*); \
  template int ssim_backward<T>(const SsimShape&, const SsimCotangents<T>&, T*, void*);
GSR_INSTANTIATE(float)
GSR_INSTANTIATE(double)
#undef GSR_INSTANTIATE

}  // namespace cuda
}  // namespace gsr

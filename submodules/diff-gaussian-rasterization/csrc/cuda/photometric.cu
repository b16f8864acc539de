// photometric and photometric_backward on CUDA: a block for each tile of a channel, filtered along rows, then along
// columns. The blocks' sums are added up by one block, in their order.
//
// The window is separable: a tile's rows, and SSIM_RADIUS more above and below, are filtered into shared memory, and
// columns from there. Beyond the image all is 0. The window is symmetric, so the backward pass filters with the same
// one.
#include "../math/photometric.h"
#include "device.cuh"
#include "reduce.cuh"

namespace dgr {
namespace cuda {

constexpr int BLOCK_THREADS = 256, BLOCK_WIDTH = 32, HALO_WIDTH = BLOCK_WIDTH + 2 * SSIM_RADIUS;

// A tile of 32×16 pixels, in float64 32×8, for which there is shared memory. A thread has neighbors of a column, which
// share most of what they read.
template <class T>
constexpr int rows_of_thread() {
  return 8 / sizeof(T);
}
template <class T>
constexpr int block_height() {
  return BLOCK_THREADS / BLOCK_WIDTH * rows_of_thread<T>();
}
template <class T>
constexpr int halo_height() {
  return block_height<T>() + 2 * SSIM_RADIUS;
}

// A tile's pixels and those around it, and the same filtered along rows.
template <class T>
struct Halo {
  T at[halo_height<T>()][HALO_WIDTH];
};
template <class T>
struct FilteredRows {
  T at[halo_height<T>()][BLOCK_WIDTH];
};

// Where a tile lies: its first pixel, and its channel's.
struct PhotometricFrame {
  int64_t plane;
  int x, y;
};
template <class T>
__device__ __forceinline__ PhotometricFrame photometric_frame(const PhotometricShape& shape) {
  return {int64_t(blockIdx.z) * shape.height * shape.width, int(blockIdx.x) * BLOCK_WIDTH,
          int(blockIdx.y) * block_height<T>()};
}
template <class T>
static dim3 photometric_grid(const PhotometricShape& shape) {
  return dim3(blocks_for(shape.width, BLOCK_WIDTH), blocks_for(shape.height, block_height<T>()),
              unsigned(shape.channels));
}

// put(row, column, pixel) for the pixels of a tile and around it; `pixel` is that of the channel, −1 beyond the image.
template <class T, class F>
__device__ __forceinline__ void for_each_in_halo(const PhotometricShape& shape, const PhotometricFrame& frame,
                                                 const F& put) {
  for (int i = threadIdx.x; i < halo_height<T>() * HALO_WIDTH; i += BLOCK_THREADS) {
    const int row = i / HALO_WIDTH, column = i % HALO_WIDTH;
    const int y = frame.y + row - SSIM_RADIUS, x = frame.x + column - SSIM_RADIUS;
    const bool inside = y >= 0 && y < shape.height && x >= 0 && x < shape.width;
    put(row, column, inside ? int64_t(y) * shape.width + x : int64_t(-1));
  }
}
// put(row, column) for what is filtered along rows.
template <class T, class F>
__device__ __forceinline__ void for_each_filtered(const F& put) {
  for (int i = threadIdx.x; i < halo_height<T>() * BLOCK_WIDTH; i += BLOCK_THREADS)
    put(i / BLOCK_WIDTH, i % BLOCK_WIDTH);
}

template <class T>
__device__ __forceinline__ T filter_row(const SsimWeights<T>& weights, const T* pixels) {
  T sum = T(0);
#pragma unroll
  for (int k = 0; k < SSIM_WINDOW; ++k) sum += weights.at[k] * pixels[k];
  return sum;
}

// Of a thread's pixels: their column and first row in the tile.
struct OwnPixels {
  int column, row;
};
template <class T>
__device__ __forceinline__ OwnPixels own_pixels() {
  return {int(threadIdx.x % BLOCK_WIDTH), int(threadIdx.x / BLOCK_WIDTH) * rows_of_thread<T>()};
}
template <class T>
__device__ __forceinline__ void filter_column(const SsimWeights<T>& weights, const FilteredRows<T>& rows,
                                              const OwnPixels& own, T (&sums)[rows_of_thread<T>()]) {
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
// put(r, pixel) for those of a thread's pixels that are in the image; `pixel` is that of the channel.
template <class T, class F>
__device__ __forceinline__ void for_each_own(const PhotometricShape& shape, const PhotometricFrame& frame,
                                             const OwnPixels& own, const F& put) {
  const int x = frame.x + own.column;
#pragma unroll
  for (int r = 0; r < rows_of_thread<T>(); ++r) {
    const int y = frame.y + own.row + r;
    if (x < shape.width && y < shape.height) put(r, int64_t(y) * shape.width + x);
  }
}

template <class T>
__device__ __forceinline__ T weight_of(const T* mask, int64_t pixel) {
  return mask == nullptr ? T(1) : mask[pixel];
}

// ---- forward

template <class T>
__device__ __forceinline__ void write_partials(const PhotometricShape& shape, const PhotometricOutput<T>& out,
                                               const SsimCotangent<T>& partial, int64_t pixel) {
  const int64_t size = shape.channels * shape.height * shape.width;
  out.partials[SSIM_SQUARES * size + pixel] = partial.squares;
  out.partials[SSIM_PRODUCT * size + pixel] = partial.product;
  out.partials[SSIM_MEAN_X * size + pixel] = partial.x;
  if (out.partial_count > SSIM_MEAN_Y) out.partials[SSIM_MEAN_Y * size + pixel] = partial.y;
}

// Thread i < PHOTOMETRIC_SUMS writes the i-th sum of its block.
template <class T>
__device__ __forceinline__ void write_sums(const PhotometricSums<T>& sums, T* blocks) {
  T values[PHOTOMETRIC_SUMS] = {sums.l1, sums.dssim, sums.weight};
  const T total = block_sum<PHOTOMETRIC_SUMS, BLOCK_THREADS / WARP>(values);
  const int64_t block = (int64_t(blockIdx.z) * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  if (threadIdx.x < PHOTOMETRIC_SUMS) blocks[block * PHOTOMETRIC_SUMS + threadIdx.x] = total;
}

template <class T>
__global__ void __launch_bounds__(BLOCK_THREADS) photometric_kernel(PhotometricShape shape, SsimWeights<T> weights,
                                                                    PhotometricInput<T> in, PhotometricOutput<T> out) {
  __shared__ Halo<T> halo[2];
  __shared__ FilteredRows<T> filtered[4];  // E[x], E[y], E[x²] + E[y²], E[xy]
  const PhotometricFrame frame = photometric_frame<T>(shape);
  for_each_in_halo<T>(shape, frame, [&](int row, int column, int64_t pixel) {
    const T weight = pixel < 0 ? T(0) : weight_of(in.mask, pixel);
    halo[0].at[row][column] = pixel < 0 ? T(0) : masked(in.x[frame.plane + pixel], weight);
    halo[1].at[row][column] = pixel < 0 ? T(0) : masked(in.y[frame.plane + pixel], weight);
  });
  __syncthreads();
  for_each_filtered<T>([&](int row, int column) {
    SsimMeans<T> means = {};
#pragma unroll
    for (int k = 0; k < SSIM_WINDOW; ++k)
      add_pixel(means, weights.at[k], halo[0].at[row][column + k], halo[1].at[row][column + k]);
    filtered[0].at[row][column] = means.x;
    filtered[1].at[row][column] = means.y;
    filtered[2].at[row][column] = means.squares;
    filtered[3].at[row][column] = means.product;
  });
  __syncthreads();
  const OwnPixels own = own_pixels<T>();
  T m[4][rows_of_thread<T>()];
#pragma unroll
  for (int plane = 0; plane < 4; ++plane) filter_column(weights, filtered[plane], own, m[plane]);
  PhotometricSums<T> sums = {};
  for_each_own<T>(shape, frame, own, [&](int r, int64_t pixel) {
    const SsimMeans<T> means = {m[0][r], m[1][r], m[2][r], m[3][r]};
    const SsimFactors<T> factors = ssim_factors(means);
    const T weight = weight_of(in.mask, pixel);
    const int row = own.row + r + SSIM_RADIUS, column = own.column + SSIM_RADIUS;
    add_difference(sums, halo[0].at[row][column], halo[1].at[row][column], weight, ssim(factors));
    if (out.partial_count > 0) write_partials(shape, out, ssim_vjp(means, factors, -weight), frame.plane + pixel);
  });
  write_sums(sums, out.sums);
}

// From the blocks' sums, by a single block.
template <class T>
__global__ void __launch_bounds__(SUM_THREADS)
    photometric_means(const T* blocks, int64_t count, PhotometricMeans<T> means) {
  __shared__ T totals[PHOTOMETRIC_SUMS];
  const T total = sum_of_rows<PHOTOMETRIC_SUMS>(blocks, count);
  if (threadIdx.x < PHOTOMETRIC_SUMS) totals[threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.x != 0) return;
  const T inverse = totals[2] > T(0) ? T(1) / totals[2] : T(0);
  *means.l1 = totals[0] * inverse;
  *means.dssim = totals[1] * inverse;
  *means.share = inverse;
}

template <class T>
int photometric(const PhotometricShape& shape, const PhotometricInput<T>& in, PhotometricOutput<T> out,
                const PhotometricMeans<T>& means, const Allocator& allocator, void* stream) {
  const dim3 grid = photometric_grid<T>(shape);
  const int64_t blocks = int64_t(grid.x) * grid.y * grid.z;
  out.sums = scratch<T>(allocator, blocks * PHOTOMETRIC_SUMS);
  DGR_TRY(launch(photometric_kernel<T>, grid, BLOCK_THREADS, stream, shape, ssim_weights<T>(), in, out));
  return launch(photometric_means<T>, 1, SUM_THREADS, stream, out.sums, blocks, means);
}

// ---- backward

template <class T>
__global__ void __launch_bounds__(BLOCK_THREADS)
    photometric_backward_kernel(PhotometricShape shape, SsimWeights<T> weights, PhotometricInput<T> in,
                                PhotometricCotangents<T> v) {
  __shared__ Halo<T> halo[3];  // the cotangents of a mean, of the squares, of the product
  __shared__ FilteredRows<T> filtered[3];
  const PhotometricFrame frame = photometric_frame<T>(shape);
  for_each_in_halo<T>(shape, frame, [&](int row, int column, int64_t pixel) {
    halo[0].at[row][column] = pixel < 0 ? T(0) : v.mean[frame.plane + pixel];
    halo[1].at[row][column] = pixel < 0 ? T(0) : v.squares[frame.plane + pixel];
    halo[2].at[row][column] = pixel < 0 ? T(0) : v.product[frame.plane + pixel];
  });
  __syncthreads();
  for_each_filtered<T>([&](int row, int column) {
#pragma unroll
    for (int plane = 0; plane < 3; ++plane)
      filtered[plane].at[row][column] = filter_row(weights, &halo[plane].at[row][column]);
  });
  __syncthreads();
  const OwnPixels own = own_pixels<T>();
  T sums[3][rows_of_thread<T>()];
#pragma unroll
  for (int plane = 0; plane < 3; ++plane) filter_column(weights, filtered[plane], own, sums[plane]);
  const T v_l1 = *v.share * *v.v_l1, v_dssim = *v.share * *v.v_dssim;
  for_each_own<T>(shape, frame, own, [&](int r, int64_t pixel) {
    const T x = in.x[frame.plane + pixel], y = in.y[frame.plane + pixel];
    const T windows = pixel_vjp(x, y, sums[0][r], sums[1][r], sums[2][r]);
    v.v_x[frame.plane + pixel] = difference_vjp(x, y, weight_of(in.mask, pixel), windows, v_l1, v_dssim);
  });
}

template <class T>
int photometric_backward(const PhotometricShape& shape, const PhotometricInput<T>& in,
                         const PhotometricCotangents<T>& v, void* stream) {
  return launch(photometric_backward_kernel<T>, photometric_grid<T>(shape), BLOCK_THREADS, stream, shape,
                ssim_weights<T>(), in, v);
}

DGR_INSTANTIATE_PHOTOMETRIC(float)
DGR_INSTANTIATE_PHOTOMETRIC(double)

}  // namespace cuda
}  // namespace dgr

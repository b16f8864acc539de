// What all walks over a 16×16 tile share: a thread for each pixel, and the tile's splats, gathered in batches.
//
// A warp has 8×4 pixels. For every splat of a batch the warps that it can reach are known from its ellipse, so a warp
// sees only splats that may touch it. A block's warps meet at the batches' ends and nowhere else.
#pragma once
#include "../blend_pixel.h"
#include "../math/ellipse.h"
#include "device.cuh"

namespace dgr {
namespace cuda {

constexpr int TILE_THREADS = TILE * TILE, TILE_WARPS = TILE_THREADS / WARP;
constexpr int WARP_COLUMNS = 8, WARP_ROWS = 4;  // pixels
constexpr int WARPS_ACROSS = TILE / WARP_COLUMNS, WARPS_DOWN = TILE / WARP_ROWS;

// A splat of C channels in one piece: its arrays would cost a tile seven cache lines and more, this costs two for three
// channels.
template <class T, int C>
struct alignas(16) PackedSplat {
  T u, v, xx, xy, yy, opacity, depth, slope_x, slope_y, cutoff;
  Channels<T, C> color;
};

constexpr int PACK_THREADS = 256;

template <class T, int C>
__global__ void __launch_bounds__(PACK_THREADS) pack_splats(BlendInput<T> in, int64_t n, PackedSplat<T, C>* packed) {
  const int64_t i = int64_t(blockIdx.x) * PACK_THREADS + threadIdx.x;
  if (i >= n) return;
  const T *mean = in.means2d + 2 * i, *factor = in.inv_cov_factor + 3 * i;
  const DepthSlope<T> slope = slope_of(in, i);
  PackedSplat<T, C> s = {mean[0],      mean[1], factor[0], factor[1],           factor[2], in.opacities[i],
                         in.depths[i], slope.x, slope.y,   in.cutoff_sigmas[i], {}};
#pragma unroll
  for (int c = 0; c < C; ++c) s.color.at[c] = in.colors[C * i + c];
  packed[i] = s;
}
// All n splats in one piece each.
template <int C, class T>
int pack(const BlendInput<T>& in, int64_t n, const Allocator& allocator, void* stream, PackedSplat<T, C>*& packed) {
  packed = scratch<PackedSplat<T, C>>(allocator, n);
  return launch(pack_splats<T, C>, blocks_for(n, PACK_THREADS), PACK_THREADS, stream, in, n, packed);
}

inline dim3 tile_grid(const Image& image) { return dim3(image.tiles_x(), image.tiles_y()); }

// A thread's pixel and its tile. Blocks are tiles, in a grid of them.
struct TilePixel {
  int tile, begin, end;  // its ids
  int column, row;       // in the tile
  int64_t pixel;         // in the image
  bool inside;
};
template <class T>
__device__ __forceinline__ TilePixel tile_pixel(const BlendInput<T>& in) {
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, tile = blockIdx.y * gridDim.x + blockIdx.x;
  const int column = warp % WARPS_ACROSS * WARP_COLUMNS + lane % WARP_COLUMNS;
  const int row = warp / WARPS_ACROSS * WARP_ROWS + lane / WARP_COLUMNS;
  const int x = blockIdx.x * TILE + column, y = blockIdx.y * TILE + row;
  return {tile,
          in.tile_ranges[tile],
          in.tile_ranges[tile + 1],
          column,
          row,
          int64_t(y) * in.image.width + x,
          x < in.image.width && y < in.image.height};
}

// ---- batches

template <class T, int C>
struct alignas(16) Record {
  PixelSplat<T, C> splat;  // u and v relative to the center of the tile's first pixel
};

template <class T, int C, int SIZE>
struct Batch {
  Record<T, C> records[SIZE];
  uint8_t touches[SIZE];  // the warps that a record may touch, a bit each
};

// The warps with pixels that the ellipse around (u, v) can reach.
template <class T>
__device__ __forceinline__ unsigned touched_warps(const Ellipse<T>& e, T u, T v) {
  unsigned set = 0;
#pragma unroll
  for (int down = 0; down < WARPS_DOWN; ++down) {
    const T top = T(down * WARP_ROWS) - v;
    const Interval<T> x = extent_over_rows(e, top, top + T(WARP_ROWS - 1));
#pragma unroll
    for (int across = 0; across < WARPS_ACROSS; ++across) {
      const T left = T(across * WARP_COLUMNS) - u, right = left + T(WARP_COLUMNS - 1);
      if (x.low <= x.high && x.low <= right && x.high >= left) set |= 1u << (down * WARPS_ACROSS + across);
    }
  }
  return set;
}

template <class T, int C, int SIZE>
__device__ __forceinline__ void gather(const BlendInput<T>& in, const PackedSplat<T, C>& s, int i,
                                       Batch<T, C, SIZE>& batch) {
  const T u = s.u - T(blockIdx.x * TILE) - T(0.5), v = s.v - T(blockIdx.y * TILE) - T(0.5);
  batch.records[i].splat = pixel_splat<C>(u, v, s.xx, s.xy, s.yy, s.opacity, s.color.at, s.depth, s.slope_x, s.slope_y,
                                          in.inverse_distortion);
  batch.touches[i] = uint8_t(touched_warps(ellipse(s.xx, s.xy, s.yy, s.cutoff), u, v));
}

// Which of 32 records, from `first` on and before `end`, may touch this warp: a bit each.
template <class T, int C, int SIZE>
__device__ __forceinline__ unsigned records_of_warp(const Batch<T, C, SIZE>& batch, int first, int end) {
  const int i = first + int(threadIdx.x % WARP);
  return __ballot_sync(ALL_LANES, i < end && (batch.touches[i] >> (threadIdx.x / WARP) & 1));
}

// A splat at a pixel.
template <class T, int C>
__device__ __forceinline__ Pair<T> pair_at(const PixelSplat<T, C>& q, const TilePixel& pixel) {
  return pair_at(q, q.u - T(pixel.column), q.v - T(pixel.row));
}

// Registers for at least this many tiles on a multiprocessor at a time in float32, fewer where channels need more of them;
// float64 is for proofs and takes what it needs.
template <class T, int C>
constexpr int tiles_at_once() {
  return sizeof(T) != sizeof(float) ? 1 : C <= 4 ? 4 : C <= 8 ? 3 : 2;
}

}  // namespace cuda
}  // namespace dgr

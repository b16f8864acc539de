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

// A splat in one piece: its arrays would cost a tile six cache lines, this costs two. 12 numbers.
template <class T>
struct alignas(16) PackedSplat {
  T u, v, xx, xy, yy, opacity, r, g, b, depth, cutoff, unused;
};

constexpr int PACK_THREADS = 256;

template <class T>
__global__ void __launch_bounds__(PACK_THREADS) pack_splats(BlendInput<T> in, int64_t n, PackedSplat<T>* packed) {
  const int64_t i = int64_t(blockIdx.x) * PACK_THREADS + threadIdx.x;
  if (i < n)
    packed[i] = {in.means2d[2 * i],
                 in.means2d[2 * i + 1],
                 in.inv_cov_factor[3 * i],
                 in.inv_cov_factor[3 * i + 1],
                 in.inv_cov_factor[3 * i + 2],
                 in.opacities[i],
                 in.colors[3 * i],
                 in.colors[3 * i + 1],
                 in.colors[3 * i + 2],
                 in.depths[i],
                 in.cutoff_sigmas[i],
                 T(0)};
}
template <class T>
int pack(const BlendInput<T>& in, int64_t n, PackedSplat<T>* packed, void* stream) {
  return launch(pack_splats<T>, blocks_for(n, PACK_THREADS), PACK_THREADS, stream, in, n, packed);
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

template <class T>
struct alignas(16) Record {
  PixelSplat<T> splat;  // u and v relative to the center of the tile's first pixel
};

template <class T, int SIZE>
struct Batch {
  Record<T> records[SIZE];
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

template <class T, int SIZE>
__device__ __forceinline__ void gather(const BlendInput<T>& in, const PackedSplat<T>& s, int i, Batch<T, SIZE>& batch) {
  const T u = s.u - T(blockIdx.x * TILE) - T(0.5), v = s.v - T(blockIdx.y * TILE) - T(0.5);
  batch.records[i].splat =
      pixel_splat(u, v, s.xx, s.xy, s.yy, s.opacity, s.r, s.g, s.b, s.depth, in.inverse_distortion);
  batch.touches[i] = uint8_t(touched_warps(ellipse(s.xx, s.xy, s.yy, s.cutoff), u, v));
}

// Which of 32 records, from `first` on and before `end`, may touch this warp: a bit each.
template <class T, int SIZE>
__device__ __forceinline__ unsigned records_of_warp(const Batch<T, SIZE>& batch, int first, int end) {
  const int i = first + int(threadIdx.x % WARP);
  return __ballot_sync(ALL_LANES, i < end && (batch.touches[i] >> (threadIdx.x / WARP) & 1));
}

// A splat at a pixel.
template <class T>
__device__ __forceinline__ Pair<T> pair_at(const PixelSplat<T>& q, const TilePixel& pixel) {
  return pair_at(q, q.u - T(pixel.column), q.v - T(pixel.row));
}

// Registers for at least `blocks` tiles on a multiprocessor at a time in float32; float64 is for proofs and takes what
// it needs.
template <class T>
constexpr int tiles_at_once(int blocks) {
  return sizeof(T) == sizeof(float) ? blocks : 1;
}

}  // namespace cuda
}  // namespace dgr

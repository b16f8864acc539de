// What all walks over a 16×16 tile share: its blocks of pixels, and its splats gathered with the blocks that each can reach.
//
// A block is W pixels, one vector, as square as they can be: a small splat touches a third fewer of them than strips of a row.
// The ids of a tile come in batches that are gathered once into records; for every record the blocks it can reach are known
// from an exact test of each row (math/ellipse.h), so blocks see only splats that may touch them.
// Forward: block by block with the pixels' sums in registers. Backward: splat by splat, last first, with the splat's sums in
// registers.
#pragma once
#include "../blend_pixel.h"
#include "../math/ellipse.h"
#include "simd.h"

DGR_NAMESPACE_BEGIN

constexpr int BATCH = 256;

// Blocks in a tile: numbered down the first column of blocks, then the next.
constexpr int BLOCK_COLUMNS = 4;  // pixels
template <class L>
constexpr int block_rows() {
  return L::width / BLOCK_COLUMNS;
}
template <class L>
constexpr int blocks_down() {
  return TILE / block_rows<L>();
}
template <class L>
constexpr int blocks() {
  return TILE / BLOCK_COLUMNS * blocks_down<L>();
}

// A set of blocks: bit TILE·column of blocks + row, the row being the block's first.
using BlockSet = uint64_t;

// Where a tile lies.
struct TileFrame {
  int x, y;           // its first pixel
  int columns, rows;  // pixels of it that are in the image
  int begin, end;     // its ids
};

inline TileFrame tile_frame(const Image& image, const int32_t* tile_ranges, int tile) {
  const int x = tile % image.tiles_x() * TILE, y = tile / image.tiles_x() * TILE;
  const int columns = image.width - x < TILE ? image.width - x : TILE;
  const int rows = image.height - y < TILE ? image.height - y : TILE;
  return {x, y, columns, rows, tile_ranges[tile], tile_ranges[tile + 1]};
}

// A gathered splat; u and v relative to the center of the tile's first pixel.
template <class T, int C>
struct alignas(64) Record {
  PixelSplat<T, C> splat;
};

template <class L>
struct Block {
  int row, column;  // of its first pixel, in the tile
};
template <class L>
DGR_FN Block<L> block_at(int b) {
  return {b % blocks_down<L>() * block_rows<L>(), b / blocks_down<L>() * BLOCK_COLUMNS};
}
// The lanes' pixels, relative to the block's first.
template <class L>
DGR_FN L lane_columns() {
  L columns;
  for (int l = 0; l < L::width; ++l) columns.v[l] = typename RealTraits<L>::Scalar(l % BLOCK_COLUMNS);
  return columns;
}
template <class L>
DGR_FN L lane_rows() {
  L rows;
  for (int l = 0; l < L::width; ++l) rows.v[l] = typename RealTraits<L>::Scalar(l / BLOCK_COLUMNS);
  return rows;
}

template <class L, class T, int C>
struct Gathered {
  Record<T, C> records[BATCH];
  BlockSet touches[BATCH];  // the blocks that a record may touch
};

// The number of a set's first block. A walk over all of them drops that bit each time: set &= set - 1.
template <class L>
DGR_FN int first_block(BlockSet set) {
  return __builtin_ctzll(set) / block_rows<L>();
}

// A tile's splats lie anywhere in memory: ask for them some records ahead.
constexpr int PREFETCH = 12;
template <int C, class T>
DGR_FN void prefetch(const BlendInput<T>& in, int64_t id) {
  __builtin_prefetch(in.means2d + 2 * id);
  __builtin_prefetch(in.inv_cov_factor + 3 * id);
  if constexpr (C > 0) __builtin_prefetch(in.colors + C * id);
  __builtin_prefetch(in.opacities + id);
  __builtin_prefetch(in.depths + id);
  if (in.depth_slopes != nullptr) __builtin_prefetch(in.depth_slopes + 2 * id);
  __builtin_prefetch(in.cutoff_sigmas + id);
}

// All blocks, each at the bit of its first row.
template <class L>
constexpr BlockSet first_rows() {
  BlockSet set = 0;
  for (int b = 0; b < blocks<L>(); ++b) set |= BlockSet(1) << (b * block_rows<L>());
  return set;
}

// The blocks with a row that the ellipse around (u, v) reaches.
template <class L, class T>
DGR_FN BlockSet touched_blocks(const Ellipse<T>& e, T u, T v) {
  constexpr int W = L::width;
  const Ellipse<L> lanes = {L(e.xx), L(e.xy), L(e.yy), L(e.radius), L(e.half_width), L(e.half_height)};
  BlockSet set = 0;
  for (int first = 0; first < TILE; first += W) {
    L y;
    for (int l = 0; l < W; ++l) y.v[l] = T(first + l);
    for (int column = 0; column < TILE; column += BLOCK_COLUMNS) {
      const auto meets = reaches_row(lanes, L(u - T(column + BLOCK_COLUMNS - 1)), L(u - T(column)), L(v) - y);
      set |= BlockSet(bits(meets)) << (TILE / BLOCK_COLUMNS * column + first);
    }
  }
  // A block's rows gather in its first: of 2, then of 4.
  for (int rows = 1; rows < block_rows<L>(); rows *= 2) set |= set >> rows;
  constexpr BlockSet FIRST_ROWS = first_rows<L>();
  return set & FIRST_ROWS;
}

template <class L, class T, int C>
DGR_FN void gather(const BlendInput<T>& in, const TileFrame& frame, int first, int count, Gathered<L, T, C>& batch) {
  for (int i = 0; i < count; ++i) {
    prefetch<C>(in, first + i + PREFETCH < frame.end ? in.flatten_ids[first + i + PREFETCH] : 0);
    const int64_t id = in.flatten_ids[first + i];
    const T xx = in.inv_cov_factor[3 * id], xy = in.inv_cov_factor[3 * id + 1], yy = in.inv_cov_factor[3 * id + 2];
    const T u = in.means2d[2 * id] - T(frame.x) - T(0.5), v = in.means2d[2 * id + 1] - T(frame.y) - T(0.5);
    const DepthSlope<T> slope = slope_of(in, id);
    batch.records[i] = {pixel_splat<C>(u, v, xx, xy, yy, in.opacities[id], in.colors + C * id, in.depths[id], slope.x,
                                       slope.y, in.inverse_distortion)};
    batch.touches[i] = touched_blocks<L>(ellipse(xx, xy, yy, in.cutoff_sigmas[id]), u, v);
  }
}

template <class L, class T, int C>
DGR_FN PixelSplat<L, C> broadcast(const PixelSplat<T, C>& q) {
  PixelSplat<L, C> s = {L(q.u),       L(q.v),       L(q.xx),
                        L(q.xy),      L(q.yy),      L(q.opacity),
                        {},           L(q.depth),   L(q.inverse_depth),
                        L(q.slope_x), L(q.slope_y), L(q.measure_factor)};
  DGR_UNROLL for (int c = 0; c < C; ++c) s.color.at[c] = L(q.color.at[c]);
  return s;
}

// A splat at the pixels of a block.
template <class L, class T, int C>
DGR_FN Pair<L> pair_at(const PixelSplat<T, C>& q, const Block<L>& block) {
  return pair_at(q, L(q.u - T(block.column)) - lane_columns<L>(), L(q.v - T(block.row)) - lane_rows<L>());
}

// How many of a block's columns and rows lie in the image.
struct Inside {
  int columns, rows;
};
template <class L>
DGR_FN Inside inside(const TileFrame& frame, const Block<L>& block) {
  const int columns = frame.columns - block.column, rows = frame.rows - block.row;
  return {columns < 0               ? 0
          : columns < BLOCK_COLUMNS ? columns
                                    : BLOCK_COLUMNS,
          rows < 0                 ? 0
          : rows < block_rows<L>() ? rows
                                   : block_rows<L>()};
}

// Pixels of a block from and to an image plane (null: all 0); lanes beyond the image read as 0 and are not written. A whole
// block has a loop of its own, of fixed length, which the compiler turns into a few instructions.
template <class L, class T, class P>
DGR_FN L load_pixels(const P* plane, const Image& image, const TileFrame& frame, const Block<L>& block) {
  T lanes[L::width] = {};
  const Inside part = plane == nullptr ? Inside{0, 0} : inside(frame, block);
  const P* pixels = plane + int64_t(frame.y + block.row) * image.width + frame.x + block.column;
  if (part.columns == BLOCK_COLUMNS && part.rows == block_rows<L>()) {
    for (int r = 0; r < block_rows<L>(); ++r)
      for (int c = 0; c < BLOCK_COLUMNS; ++c) lanes[r * BLOCK_COLUMNS + c] = T(pixels[int64_t(r) * image.width + c]);
  } else {
    for (int r = 0; r < part.rows; ++r)
      for (int c = 0; c < part.columns; ++c) lanes[r * BLOCK_COLUMNS + c] = T(pixels[int64_t(r) * image.width + c]);
  }
  return L::load(lanes);
}
template <class L, class P>
DGR_FN void store_pixels(P* plane, const Image& image, const TileFrame& frame, const Block<L>& block, L value) {
  typename RealTraits<L>::Scalar lanes[L::width];
  value.store(lanes);
  const Inside part = inside(frame, block);
  P* pixels = plane + int64_t(frame.y + block.row) * image.width + frame.x + block.column;
  if (part.columns == BLOCK_COLUMNS && part.rows == block_rows<L>()) {
    for (int r = 0; r < block_rows<L>(); ++r)
      for (int c = 0; c < BLOCK_COLUMNS; ++c) pixels[int64_t(r) * image.width + c] = P(lanes[r * BLOCK_COLUMNS + c]);
  } else {
    for (int r = 0; r < part.rows; ++r)
      for (int c = 0; c < part.columns; ++c) pixels[int64_t(r) * image.width + c] = P(lanes[r * BLOCK_COLUMNS + c]);
  }
}

// Alpha of a splat at the pixels of a block that last longer than to `position` in the tile's list.
template <class L, class T, int C>
DGR_FN PairAlpha<L> pair_alpha(const BlendInput<T>& in, const PixelSplat<T, C>& q, const Falloff<L>& f, int position,
                               L end) {
  const L limit = select(L(T(position)) < end, L(in.alpha_min), ended<L>());
  return pair_alpha(L(q.opacity), f.weight, limit, L(in.alpha_max));
}

DGR_NAMESPACE_END

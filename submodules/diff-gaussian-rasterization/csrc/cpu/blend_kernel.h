// One 16×16 tile: forward, backward and statistics.
//
// A block is W pixels, one vector, as square as they can be: a small splat touches a third fewer of them than strips of a row.
// The ids of a tile come in batches that are gathered once into records; for every record the blocks it can reach are known
// from an exact test of each row (math/ellipse.h), so blocks see only splats that may touch them.
// Forward: block by block with the pixels' sums in registers. Backward: splat by splat, last first, with the splat's sums in
// registers.
#pragma once
#include "../math/blend.h"
#include "../math/ellipse.h"
#include "../params.h"
#include "simd.h"

GSR_NAMESPACE_BEGIN

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

inline TileFrame tile_frame(const Image& image, const int32_t* ranges, int tile) {
  const int x = tile % image.tiles_x() * TILE, y = tile / image.tiles_x() * TILE;
  const int columns = image.width - x < TILE ? image.width - x : TILE;
  const int rows = image.height - y < TILE ? image.height - y : TILE;
  return {x, y, columns, rows, ranges[tile], ranges[tile + 1]};
}

// A gathered splat; u and v relative to the centre of the tile's first pixel.
template <class T>
struct alignas(64) Record {
  T u, v, xx, xy, yy, opacity, r, g, b, depth, inverse_depth, measure_factor;
};

template <class L>
struct Block {
  int row, column;  // of its first pixel, in the tile
};
template <class L>
GSR_FN Block<L> block_at(int b) {
  return {b % blocks_down<L>() * block_rows<L>(), b / blocks_down<L>() * BLOCK_COLUMNS};
}
// The lanes' pixels, relative to the block's first.
template <class L>
GSR_FN L lane_columns() {
  L columns;
  for (int l = 0; l < L::width; ++l) columns.v[l] = typename RealTraits<L>::Scalar(l % BLOCK_COLUMNS);
  return columns;
}
template <class L>
GSR_FN L lane_rows() {
  L rows;
  for (int l = 0; l < L::width; ++l) rows.v[l] = typename RealTraits<L>::Scalar(l / BLOCK_COLUMNS);
  return rows;
}

template <class L, class T>
struct Gathered {
  Record<T> records[BATCH];
  BlockSet touches[BATCH];  // the blocks that a record may touch
};

// The number of a set's first block. A walk over all of them drops that bit each time: set &= set - 1.
template <class L>
GSR_FN int first_block(BlockSet set) {
  return __builtin_ctzll(set) / block_rows<L>();
}

// A tile's splats lie anywhere in memory: ask for them some records ahead.
constexpr int PREFETCH = 12;
template <class T>
GSR_FN void prefetch(const BlendInput<T>& in, int64_t id) {
  __builtin_prefetch(in.means2d + 2 * id);
  __builtin_prefetch(in.conics + 3 * id);
  __builtin_prefetch(in.colors + 3 * id);
  __builtin_prefetch(in.opacities + id);
  __builtin_prefetch(in.depths + id);
  __builtin_prefetch(in.reaches + id);
}

// The blocks with a row that the ellipse around (u, v) reaches.
template <class L, class T>
GSR_FN BlockSet touched_blocks(const Ellipse<T>& e, T u, T v) {
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
  BlockSet first_rows = 0;
  for (int b = 0; b < blocks<L>(); ++b) first_rows |= BlockSet(1) << (b * block_rows<L>());
  return set & first_rows;
}

template <class L, class T>
GSR_FN void gather(const BlendInput<T>& in, const TileFrame& frame, int first, int count, Gathered<L, T>& batch) {
  for (int i = 0; i < count; ++i) {
    prefetch(in, first + i + PREFETCH < frame.end ? in.ids[first + i + PREFETCH] : 0);
    const int64_t id = in.ids[first + i];
    const T xx = in.conics[3 * id], xy = in.conics[3 * id + 1], yy = in.conics[3 * id + 2], depth = in.depths[id];
    const T u = in.means2d[2 * id] - T(frame.x) - T(0.5), v = in.means2d[2 * id + 1] - T(frame.y) - T(0.5);
    const T scale = falloff_scale<T>(), inverse_depth = T(1) / depth;
    batch.records[i] = {u,
                        v,
                        scale * xx,
                        scale * xy,
                        scale * yy,
                        in.opacities[id],
                        in.colors[3 * id],
                        in.colors[3 * id + 1],
                        in.colors[3 * id + 2],
                        depth,
                        inverse_depth,
                        in.inverse_distortion ? inverse_depth : T(1)};
    batch.touches[i] = touched_blocks<L>(ellipse(xx, xy, yy, in.reaches[id]), u, v);
  }
}

template <class L, class T>
GSR_FN PixelSplat<L> broadcast(const Record<T>& q) {
  return {L(q.u),
          L(q.v),
          L(q.xx),
          L(q.xy),
          L(q.yy),
          L(q.opacity),
          L(q.r),
          L(q.g),
          L(q.b),
          L(q.depth),
          L(q.inverse_depth),
          L(q.measure_factor)};
}

// A splat at the pixels of a block.
template <class L>
struct BlockPair {
  L dx, dy;
  Falloff<L> falloff;
};
template <class L, class T>
GSR_FN BlockPair<L> pair_at(const Record<T>& q, const Block<L>& block) {
  const L dx = L(q.u - T(block.column)) - lane_columns<L>(), dy = L(q.v - T(block.row)) - lane_rows<L>();
  const L rise = L(q.yy) * dy;
  return {dx, dy, falloff(L(q.xx), dx, L(q.xy) * dy, rise * rise)};
}

// How many of a block's columns and rows lie in the image.
struct Inside {
  int columns, rows;
};
template <class L>
GSR_FN Inside inside(const TileFrame& frame, const Block<L>& block) {
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
GSR_FN L load_pixels(const P* plane, const Image& image, const TileFrame& frame, const Block<L>& block) {
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
GSR_FN void store_pixels(P* plane, const Image& image, const TileFrame& frame, const Block<L>& block, L value) {
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

// ---- forward

template <class L, class T>
struct ForwardScratch {
  Gathered<L, T> batch;
  PixelSums<L> sums[blocks<L>()];
  L limit[blocks<L>()];  // alpha from which a splat counts: alpha_min while the pixel lasts, 2 after it has ended
  L end[blocks<L>()];    // where in the tile's list the pixel ended
  uint16_t list[blocks<L>()][BATCH];
  int listed[blocks<L>()];
  bool alive[blocks<L>()];
};

// The blocks' lists of the batch's records that may touch them, in order.
template <class L, class T>
GSR_FN void list_by_block(ForwardScratch<L, T>& s, int count) {
  for (int& n : s.listed) n = 0;
  for (int i = 0; i < count; ++i)
    for (BlockSet set = s.batch.touches[i]; set != 0; set &= set - 1) {
      const int b = first_block<L>(set);
      s.list[b][s.listed[b]++] = uint16_t(i);
    }
}

// Blends one block's list; returns whether any of its pixels goes on. Pixels end at random splats, which no branch
// predictor can know: so their end is a select, and only now and then is it asked whether all have ended.
template <class L, class T>
GSR_FN bool blend_block(const BlendInput<T>& in, ForwardScratch<L, T>& scratch, int s, int batch_start) {
  constexpr int ROUND = 8;
  const Block<L> block = block_at<L>(s);
  const L alpha_max = L(in.alpha_max), transmittance_min = L(in.transmittance_min), zero = L(T(0)), ended = L(T(2));
  PixelSums<L> sums = scratch.sums[s];
  L limit = scratch.limit[s], end = scratch.end[s];
  const int listed = scratch.listed[s];
  bool alive = true;
  for (int first = 0; first < listed && alive; first += ROUND) {
    const int stop = first + ROUND < listed ? first + ROUND : listed;
    for (int i = first; i < stop; ++i) {
      const int index = scratch.list[s][i];
      const Record<T>& q = scratch.batch.records[index];
      const BlockPair<L> pair = pair_at(q, block);
      const L raw = minimum(L(q.opacity) * pair.falloff.weight, alpha_max);
      const L alpha = select(raw >= limit, raw, zero);
      const L w = alpha * sums.transmittance, next = sums.transmittance - w;
      const auto ends = next < transmittance_min;
      limit = select(ends, ended, limit);
      end = select(ends, L(T(batch_start + index)), end);
      blend(sums, broadcast<L>(q), select(ends, zero, w), select(ends, sums.transmittance, next));
    }
    alive = any(limit < ended);
  }
  scratch.sums[s] = sums;
  scratch.limit[s] = limit;
  scratch.end[s] = end;
  return alive;
}

template <class L, class T>
GSR_FN void write_block(const BlendInput<T>& in, const BlendOutput<T>& out, const TileFrame& frame,
                        const ForwardScratch<L, T>& scratch, int s) {
  const Image& image = in.image;
  const int64_t plane = int64_t(image.width) * image.height;
  const Block<L> block = block_at<L>(s);
  const PixelSums<L>& sums = scratch.sums[s];
  const auto put = [&](T* pixels, L value) { store_pixels(pixels, image, frame, block, value); };
  put(out.color, sums.r + sums.transmittance * L(in.background[0]));
  put(out.color + plane, sums.g + sums.transmittance * L(in.background[1]));
  put(out.color + 2 * plane, sums.b + sums.transmittance * L(in.background[2]));
  put(out.inv_depth, sums.inverse_depth);
  put(out.depth, sums.depth);
  put(out.alpha, sums.weight);
  put(out.distortion, distortion(sums));
  put(out.state.transmittance, sums.transmittance);
  put(out.state.reference, sums.reference);
  put(out.state.offset, mean_offset(sums));
  store_pixels(out.state.end, image, frame, block, scratch.end[s]);
}

template <class L, class T>
void blend_tile(const BlendInput<T>& in, const BlendOutput<T>& out, int tile, void* memory) {
  ForwardScratch<L, T>& scratch = *static_cast<ForwardScratch<L, T>*>(memory);
  const TileFrame frame = tile_frame(in.image, in.ranges, tile);
  int living = 0;
  for (int s = 0; s < blocks<L>(); ++s) {
    const Inside part = inside(frame, block_at<L>(s));
    const auto exists = (lane_columns<L>() < L(T(part.columns))) & (lane_rows<L>() < L(T(part.rows)));
    scratch.sums[s] = empty_pixel<L>();
    scratch.limit[s] = select(exists, L(in.alpha_min), L(T(2)));
    scratch.end[s] = L(T(frame.end - frame.begin));
    scratch.alive[s] = any(exists);
    living += scratch.alive[s];
  }
  for (int first = frame.begin; first < frame.end && living > 0; first += BATCH) {
    const int count = frame.end - first < BATCH ? frame.end - first : BATCH;
    gather(in, frame, first, count, scratch.batch);
    list_by_block(scratch, count);
    for (int s = 0; s < blocks<L>(); ++s)
      if (scratch.alive[s] && !blend_block(in, scratch, s, first - frame.begin)) {
        scratch.alive[s] = false;
        --living;
      }
  }
  for (int s = 0; s < blocks<L>(); ++s) write_block(in, out, frame, scratch, s);
}

// ---- what backward and statistics share: a walk over a tile's pairs

// Alpha of a pair where it counts, 0 elsewhere; `free` is 0 as well where alpha is held at alpha_max.
template <class L>
struct CountedAlpha {
  L alpha, free;
  bool any;
};
template <class L, class T>
GSR_FN CountedAlpha<L> counted_alpha(const BlendInput<T>& in, const Record<T>& q, const Falloff<L>& f, int position,
                                     L end) {
  const L zero = L(T(0)), alpha_max = L(in.alpha_max), raw = L(q.opacity) * f.weight, alpha = minimum(raw, alpha_max);
  const auto counts = (alpha >= L(in.alpha_min)) & (L(T(position)) < end);
  const L counted = select(counts, alpha, zero);
  return {counted, select(raw > alpha_max, zero, counted), any(counts)};
}

// The factor of a pixel's reference; 0 where nothing was hit.
template <class L, class T>
GSR_FN L reference_factor(const BlendInput<T>& in, L reference) {
  const L zero = L(T(0)), one = L(T(1));
  return select(reference > zero, in.inverse_distortion ? one / reference : one, zero);
}

// ---- backward

template <class L, class T>
struct BackwardScratch {
  Gathered<L, T> batch;
  PixelCotangent<L> v[blocks<L>()];
  PixelWalk<L> walk[blocks<L>()];
  L end[blocks<L>()];
};

// Loads what the pixels know at their end; returns how many ids the longest of them saw.
template <class L, class T>
GSR_FN int load_pixels_backward(const BlendInput<T>& in, const BlendCotangents<T>& v, const TileFrame& frame, int tile,
                                BackwardScratch<L, T>& scratch) {
  const int64_t plane = int64_t(in.image.width) * in.image.height;
  const L zero = L(T(0));
  L longest = zero;
  L v_background[3] = {zero, zero, zero};
  for (int s = 0; s < blocks<L>(); ++s) {
    const Block<L> block = block_at<L>(s);
    const auto pixels = [&](const auto* p) { return load_pixels<L, T>(p, in.image, frame, block); };
    const auto channel = [&](int c) { return v.v_color == nullptr ? zero : pixels(v.v_color + c * plane); };
    const PixelCotangent<L> c = {
        channel(0), channel(1), channel(2), pixels(v.v_inv_depth), pixels(v.v_depth), pixels(v.v_distortion)};
    const L transmittance = pixels(v.state.transmittance);
    const L behind =
        c.r * L(in.background[0]) + c.g * L(in.background[1]) + c.b * L(in.background[2]) - pixels(v.v_alpha);
    scratch.v[s] = c;
    const L reference = pixels(v.state.reference);
    scratch.walk[s] = {transmittance, behind, reference, reference_factor<L>(in, reference), pixels(v.state.offset)};
    scratch.end[s] = pixels(v.state.end);
    longest = maximum(longest, scratch.end[s]);
    v_background[0] += transmittance * c.r;
    v_background[1] += transmittance * c.g;
    v_background[2] += transmittance * c.b;
  }
  for (int c = 0; c < 3; ++c) v.v_background[3 * tile + c] = sum(v_background[c]);
  T most = 0;
  for (int l = 0; l < L::width; ++l) most = longest.v[l] > most ? T(longest.v[l]) : most;
  return int(most);
}

// Writes the twelve sums over lanes to a slot.
template <class L, class T>
GSR_FN void sum_lanes(const SplatSums<L>& sums, T* slot) {
  constexpr int W = L::width, ROUNDS = (SLOT + W - 1) / W;
  const L all[SLOT] = {sums.red,      sums.green,    sums.blue, sums.depth,  sums.total, sums.slant,
                       sums.slant_dx, sums.slant_dy, sums.row,  sums.row_dy, sums.abs_u, sums.abs_v};
  T total[ROUNDS * W];
  for (int round = 0; round < ROUNDS; ++round) {
    L some[W];
    for (int i = 0; i < W; ++i) some[i] = round * W + i < SLOT ? all[round * W + i] : L(T(0));
    sums_of(some).store(total + round * W);
  }
  __builtin_memcpy(slot, total, SLOT * sizeof(T));
}

template <bool Depths, class L, class T>
GSR_FN void backward_record(const BlendInput<T>& in, BackwardScratch<L, T>& scratch, int i, int position, T* slot) {
  const Record<T>& q = scratch.batch.records[i];
  const PixelSplat<L> splat = broadcast<L>(q);
  const L zero = L(T(0));
  SplatSums<L> sums = {zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero};
  bool touched = false;
  for (BlockSet set = scratch.batch.touches[i]; set != 0; set &= set - 1) {
    const int s = first_block<L>(set);
    const BlockPair<L> pair = pair_at(q, block_at<L>(s));
    const CountedAlpha<L> a = counted_alpha(in, q, pair.falloff, position, scratch.end[s]);
    if (!a.any) continue;
    touched = true;
    const PairCotangent<L> v = blend_vjp<Depths>(scratch.walk[s], splat, a.alpha, a.free, scratch.v[s]);
    add_pair(sums, splat, v, pair.falloff.slant, pair.dx, pair.dy, scratch.v[s]);
  }
  if (touched)
    sum_lanes(sums, slot);
  else
    for (int k = 0; k < SLOT; ++k) slot[k] = T(0);
}

template <bool Depths, class L, class T>
void walk_tile_backward(const BlendInput<T>& in, const BlendCotangents<T>& v, const TileFrame& frame, int last,
                        BackwardScratch<L, T>& scratch) {
  for (int stop = last; stop > frame.begin;) {
    const int first = stop - BATCH > frame.begin ? stop - BATCH : frame.begin;
    gather(in, frame, first, stop - first, scratch.batch);
    for (int i = stop - first - 1; i >= 0; --i)
      backward_record<Depths>(in, scratch, i, first - frame.begin + i, v.sums + int64_t(v.slots[first + i]) * SLOT);
    stop = first;
  }
}

template <class L, class T>
void blend_tile_backward(const BlendInput<T>& in, const BlendCotangents<T>& v, int tile, void* memory) {
  BackwardScratch<L, T>& scratch = *static_cast<BackwardScratch<L, T>*>(memory);
  const TileFrame frame = tile_frame(in.image, in.ranges, tile);
  const int last = frame.begin + load_pixels_backward(in, v, frame, tile, scratch);
  for (int id = last; id < frame.end; ++id)  // behind every pixel's end
    for (int k = 0; k < SLOT; ++k) v.sums[int64_t(v.slots[id]) * SLOT + k] = T(0);
  if (v.v_inv_depth != nullptr || v.v_depth != nullptr || v.v_distortion != nullptr)
    walk_tile_backward<true>(in, v, frame, last, scratch);
  else
    walk_tile_backward<false>(in, v, frame, last, scratch);
}

// ---- statistics

template <class L, class T>
struct StatisticsScratch {
  Gathered<L, T> batch;
  L transmittance[blocks<L>()], reference[blocks<L>()], factor[blocks<L>()], offset[blocks<L>()], end[blocks<L>()];
};

template <class L, class T>
GSR_FN void measure_record(const BlendInput<T>& in, StatisticsScratch<L, T>& scratch, int i, int position, T* slot) {
  const Record<T>& q = scratch.batch.records[i];
  L weight = L(T(0)), most = weight, share = weight;
  for (BlockSet set = scratch.batch.touches[i]; set != 0; set &= set - 1) {
    const int s = first_block<L>(set);
    const CountedAlpha<L> a = counted_alpha(in, q, pair_at(q, block_at<L>(s)).falloff, position, scratch.end[s]);
    const L w = a.alpha * scratch.transmittance[s];
    const L delta = measure_difference(L(q.depth), L(q.measure_factor), scratch.reference[s], scratch.factor[s]) -
                    scratch.offset[s];
    scratch.transmittance[s] = scratch.transmittance[s] - w;
    weight += w;
    most = maximum(most, w);
    share += w * delta * delta;
  }
  slot[0] = sum(weight);
  slot[1] = T(0);
  for (int l = 0; l < L::width; ++l) slot[1] = most.v[l] > slot[1] ? T(most.v[l]) : slot[1];
  slot[2] = sum(share);
}

template <class L, class T>
void tile_statistics(const BlendInput<T>& in, const BlendStatistics<T>& out, int tile, void* memory) {
  StatisticsScratch<L, T>& scratch = *static_cast<StatisticsScratch<L, T>*>(memory);
  const TileFrame frame = tile_frame(in.image, in.ranges, tile);
  for (int s = 0; s < blocks<L>(); ++s) {
    const Block<L> block = block_at<L>(s);
    const auto pixels = [&](const auto* p) { return load_pixels<L, T>(p, in.image, frame, block); };
    scratch.transmittance[s] = L(T(1));
    scratch.reference[s] = pixels(out.state.reference);
    scratch.factor[s] = reference_factor<L>(in, scratch.reference[s]);
    scratch.offset[s] = pixels(out.state.offset);
    scratch.end[s] = pixels(out.state.end);
  }
  for (int first = frame.begin; first < frame.end; first += BATCH) {
    const int count = frame.end - first < BATCH ? frame.end - first : BATCH;
    gather(in, frame, first, count, scratch.batch);
    for (int i = 0; i < count; ++i)
      measure_record(in, scratch, i, first - frame.begin + i,
                     out.statistics + int64_t(out.slots[first + i]) * STATISTICS_SLOT);
  }
}

GSR_NAMESPACE_END

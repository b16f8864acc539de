// One 16×16 tile: forward, backward and statistics.
//
// A strip is W pixels of a row, one vector. The ids of a tile come in batches that are gathered once into records; for every
// record the rows it can reach are known exactly (math/ellipse.h), so strips see only splats that may touch them.
// Forward: strip by strip with the pixels' sums in registers. Backward: splat by splat, last first, with the splat's sums in
// registers.
#pragma once
#include "../math/blend.h"
#include "../math/ellipse.h"
#include "../params.h"
#include "simd.h"

GSR_NAMESPACE_BEGIN

constexpr int BATCH = 256;

template <class L>
constexpr int strips_per_row() {
  return TILE / L::width;
}
template <class L>
constexpr int strips() {
  return TILE * strips_per_row<L>();
}

// Where a tile lies, and the lanes' offsets.
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

template <class L, class T>
struct Strip {
  int row, column;  // of its first pixel, in the tile
  L x;              // of its pixels, relative to the centre of the tile's first pixel
};
template <class L, class T>
GSR_FN Strip<L, T> strip_at(int s) {
  Strip<L, T> strip;
  strip.row = s / strips_per_row<L>();
  strip.column = s % strips_per_row<L>() * L::width;
  for (int l = 0; l < L::width; ++l) strip.x.v[l] = T(strip.column + l);
  return strip;
}

template <class L, class T>
struct Gathered {
  Record<T> records[BATCH];
  // Nonzero where the record may touch a strip; by strip column, then row.
  typename L::Integer touches[BATCH][strips_per_row<L>()][TILE];
  int first_row[BATCH], last_row[BATCH];
};

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

template <class L, class T>
GSR_FN void gather(const BlendInput<T>& in, const TileFrame& frame, int first, int count, Gathered<L, T>& batch) {
  using Raw = typename L::RawInteger;
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

    const Ellipse<T> e = ellipse(xx, xy, yy, in.reaches[id]);
    const T top = v - e.half_height, bottom = v + e.half_height;
    batch.first_row[i] = top <= T(0) ? 0 : top >= T(TILE) ? TILE : int(top);
    batch.last_row[i] = bottom >= T(frame.rows - 1) ? frame.rows - 1 : bottom < T(0) ? -1 : int(bottom);
    const Ellipse<L> lanes = {L(xx), L(xy), L(yy), L(e.radius), L(e.half_width), L(e.half_height)};
    for (int group = 0; group < TILE / L::width; ++group) {
      L y;
      for (int l = 0; l < L::width; ++l) y.v[l] = T(group * L::width + l);
      for (int c = 0; c < strips_per_row<L>(); ++c) {
        const auto meets = reaches_row(lanes, L(u - T((c + 1) * L::width - 1)), L(u - T(c * L::width)), L(v) - y);
        __builtin_memcpy(&batch.touches[i][c][group * L::width], &meets.m, sizeof(Raw));
      }
    }
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

// A splat at the pixels of a strip.
template <class L>
struct StripPair {
  L dx, dy;
  Falloff<L> falloff;
};
template <class L, class T>
GSR_FN StripPair<L> pair_at(const Record<T>& q, const Strip<L, T>& strip) {
  const T dy = q.v - T(strip.row), rise = q.yy * dy;
  const L dx = L(q.u) - strip.x;
  return {dx, L(dy), falloff(L(q.xx), dx, L(q.xy * dy), L(rise * rise))};
}

// Pixels of a strip from and to an image plane; lanes beyond the image read as 0 and are not written. A whole strip has a loop
// of its own, of fixed length, which the compiler turns into one instruction.
template <class L, class T>
GSR_FN int lanes_inside(const TileFrame& frame, const Strip<L, T>& strip) {
  if (strip.row >= frame.rows) return 0;
  const int rest = frame.columns - strip.column;
  return rest < 0 ? 0 : rest < L::width ? rest : L::width;
}
template <class L, class T, class P>
GSR_FN L load_pixels(const P* plane, const Image& image, const TileFrame& frame, const Strip<L, T>& strip) {
  const int inside = lanes_inside(frame, strip);
  const P* pixels = plane + int64_t(frame.y + strip.row) * image.width + frame.x + strip.column;
  L value = L(T(0));
  if (inside == L::width)
    for (int l = 0; l < L::width; ++l) value.v[l] = T(pixels[l]);
  else
    for (int l = 0; l < inside; ++l) value.v[l] = T(pixels[l]);
  return value;
}
template <class L, class T, class P>
GSR_FN void store_pixels(P* plane, const Image& image, const TileFrame& frame, const Strip<L, T>& strip, L value) {
  const int inside = lanes_inside(frame, strip);
  P* pixels = plane + int64_t(frame.y + strip.row) * image.width + frame.x + strip.column;
  if (inside == L::width)
    for (int l = 0; l < L::width; ++l) pixels[l] = P(value.v[l]);
  else
    for (int l = 0; l < inside; ++l) pixels[l] = P(value.v[l]);
}

template <class L>
GSR_FN L lane_numbers() {
  L numbers;
  for (int l = 0; l < L::width; ++l) numbers.v[l] = typename RealTraits<L>::Scalar(l);
  return numbers;
}

// ---- forward

template <class L, class T>
struct ForwardScratch {
  Gathered<L, T> batch;
  PixelSums<L> sums[strips<L>()];
  L limit[strips<L>()];  // alpha from which a splat counts: alpha_min while the pixel lasts, 2 after it has ended
  L end[strips<L>()];    // where in the tile's list the pixel ended
  uint16_t list[strips<L>()][BATCH];
  int listed[strips<L>()];
  bool alive[strips<L>()];
};

// The strips' lists of the batch's records that may touch them, in order.
template <class L, class T>
GSR_FN void list_by_strip(ForwardScratch<L, T>& s, int count) {
  for (int& n : s.listed) n = 0;
  for (int i = 0; i < count; ++i)
    for (int row = s.batch.first_row[i]; row <= s.batch.last_row[i]; ++row)
      for (int c = 0; c < strips_per_row<L>(); ++c) {
        const int strip = row * strips_per_row<L>() + c;
        s.list[strip][s.listed[strip]] = uint16_t(i);
        s.listed[strip] += int(s.batch.touches[i][c][row] & 1);
      }
}

// Blends one strip's list; returns whether any of its pixels goes on. Pixels end at random splats, which no branch
// predictor can know: so their end is a select, and only now and then is it asked whether all have ended.
template <class L, class T>
GSR_FN bool blend_strip(const BlendInput<T>& in, ForwardScratch<L, T>& scratch, int s, int batch_start) {
  constexpr int ROUND = 8;
  const Strip<L, T> strip = strip_at<L, T>(s);
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
      const StripPair<L> pair = pair_at(q, strip);
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
GSR_FN void write_strip(const BlendInput<T>& in, const BlendOutput<T>& out, const TileFrame& frame,
                        const ForwardScratch<L, T>& scratch, int s) {
  const Image& image = in.image;
  const int64_t plane = int64_t(image.width) * image.height;
  const Strip<L, T> strip = strip_at<L, T>(s);
  const PixelSums<L>& sums = scratch.sums[s];
  const auto put = [&](T* pixels, L value) { store_pixels(pixels, image, frame, strip, value); };
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
  store_pixels(out.state.end, image, frame, strip, scratch.end[s]);
}

template <class L, class T>
void blend_tile(const BlendInput<T>& in, const BlendOutput<T>& out, int tile, void* memory) {
  ForwardScratch<L, T>& scratch = *static_cast<ForwardScratch<L, T>*>(memory);
  const TileFrame frame = tile_frame(in.image, in.ranges, tile);
  int living = 0;
  for (int s = 0; s < strips<L>(); ++s) {
    const int inside = lanes_inside(frame, strip_at<L, T>(s));
    scratch.sums[s] = empty_pixel<L>();
    scratch.limit[s] = select(lane_numbers<L>() < L(T(inside)), L(in.alpha_min), L(T(2)));
    scratch.end[s] = L(T(frame.end - frame.begin));
    scratch.alive[s] = inside > 0;
    living += scratch.alive[s];
  }
  for (int first = frame.begin; first < frame.end && living > 0; first += BATCH) {
    const int count = frame.end - first < BATCH ? frame.end - first : BATCH;
    gather(in, frame, first, count, scratch.batch);
    list_by_strip(scratch, count);
    for (int s = 0; s < strips<L>(); ++s)
      if (scratch.alive[s] && !blend_strip(in, scratch, s, first - frame.begin)) {
        scratch.alive[s] = false;
        --living;
      }
  }
  for (int s = 0; s < strips<L>(); ++s) write_strip(in, out, frame, scratch, s);
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
  PixelCotangent<L> v[strips<L>()];
  PixelWalk<L> walk[strips<L>()];
  L end[strips<L>()];
};

// Loads what the pixels know at their end; returns how many ids the longest of them saw.
template <class L, class T>
GSR_FN int load_pixels_backward(const BlendInput<T>& in, const BlendCotangents<T>& v, const TileFrame& frame, int tile,
                                BackwardScratch<L, T>& scratch) {
  const int64_t plane = int64_t(in.image.width) * in.image.height;
  const L zero = L(T(0));
  L longest = zero;
  L v_background[3] = {zero, zero, zero};
  for (int s = 0; s < strips<L>(); ++s) {
    const Strip<L, T> strip = strip_at<L, T>(s);
    const auto pixels = [&](const auto* p) { return load_pixels<L, T>(p, in.image, frame, strip); };
    const PixelCotangent<L> c = {pixels(v.v_color),     pixels(v.v_color + plane), pixels(v.v_color + 2 * plane),
                                 pixels(v.v_inv_depth), pixels(v.v_depth),         pixels(v.v_distortion)};
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

// The twelve sums over lanes, W of them at a time.
template <class L, class T>
GSR_FN SplatSums<T> sum_lanes(const SplatSums<L>& sums) {
  constexpr int W = L::width, COUNT = 12, ROUNDS = (COUNT + W - 1) / W;
  const L all[COUNT] = {sums.red,      sums.green,    sums.blue, sums.depth,  sums.total, sums.slant,
                        sums.slant_dx, sums.slant_dy, sums.row,  sums.row_dy, sums.abs_u, sums.abs_v};
  T total[ROUNDS * W];
  for (int round = 0; round < ROUNDS; ++round) {
    L some[W];
    for (int i = 0; i < W; ++i) some[i] = round * W + i < COUNT ? all[round * W + i] : L(T(0));
    sums_of(some).store(total + round * W);
  }
  return {total[0], total[1], total[2], total[3], total[4],  total[5],
          total[6], total[7], total[8], total[9], total[10], total[11]};
}

template <class L, class T>
GSR_FN void backward_record(const BlendInput<T>& in, BackwardScratch<L, T>& scratch, int i, int position, T* slot) {
  const Record<T>& q = scratch.batch.records[i];
  const PixelSplat<L> splat = broadcast<L>(q);
  const L zero = L(T(0));
  SplatSums<L> sums = {zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero};
  bool touched = false;
  for (int row = scratch.batch.first_row[i]; row <= scratch.batch.last_row[i]; ++row)
    for (int c = 0; c < strips_per_row<L>(); ++c) {
      if (!scratch.batch.touches[i][c][row]) continue;
      const int s = row * strips_per_row<L>() + c;
      const StripPair<L> pair = pair_at(q, strip_at<L, T>(s));
      const CountedAlpha<L> a = counted_alpha(in, q, pair.falloff, position, scratch.end[s]);
      if (!a.any) continue;
      touched = true;
      const PairCotangent<L> v = blend_vjp(scratch.walk[s], splat, a.alpha, a.free, scratch.v[s]);
      add_pair(sums, splat, v, pair.falloff.slant, pair.dx, pair.dy, scratch.v[s]);
    }
  for (int k = 0; k < SLOT; ++k) slot[k] = T(0);
  if (!touched) return;
  const SplatSums<T> total = sum_lanes<L, T>(sums);
  const SplatCotangent<T> v = finish(total, broadcast<T>(q));
  slot[U] = v.u;
  slot[V] = v.v;
  slot[ABS_U] = v.abs_u;
  slot[ABS_V] = v.abs_v;
  slot[XX] = v.xx;
  slot[XY] = v.xy;
  slot[YY] = v.yy;
  slot[OPACITY] = v.opacity;
  slot[RED] = total.red;
  slot[GREEN] = total.green;
  slot[BLUE] = total.blue;
  slot[DEPTH] = total.depth;
}

template <class L, class T>
void blend_tile_backward(const BlendInput<T>& in, const BlendCotangents<T>& v, int tile, void* memory) {
  BackwardScratch<L, T>& scratch = *static_cast<BackwardScratch<L, T>*>(memory);
  const TileFrame frame = tile_frame(in.image, in.ranges, tile);
  const int last = frame.begin + load_pixels_backward(in, v, frame, tile, scratch);
  for (int id = last; id < frame.end; ++id)  // behind every pixel's end
    for (int k = 0; k < SLOT; ++k) v.gradients[int64_t(v.slots[id]) * SLOT + k] = T(0);
  for (int stop = last; stop > frame.begin;) {
    const int first = stop - BATCH > frame.begin ? stop - BATCH : frame.begin;
    gather(in, frame, first, stop - first, scratch.batch);
    for (int i = stop - first - 1; i >= 0; --i)
      backward_record(in, scratch, i, first - frame.begin + i, v.gradients + int64_t(v.slots[first + i]) * SLOT);
    stop = first;
  }
}

// ---- statistics

template <class L, class T>
struct StatisticsScratch {
  Gathered<L, T> batch;
  L transmittance[strips<L>()], reference[strips<L>()], factor[strips<L>()], offset[strips<L>()], end[strips<L>()];
};

template <class L, class T>
GSR_FN void measure_record(const BlendInput<T>& in, StatisticsScratch<L, T>& scratch, int i, int position, T* slot) {
  const Record<T>& q = scratch.batch.records[i];
  L weight = L(T(0)), most = weight, share = weight;
  for (int row = scratch.batch.first_row[i]; row <= scratch.batch.last_row[i]; ++row)
    for (int c = 0; c < strips_per_row<L>(); ++c) {
      if (!scratch.batch.touches[i][c][row]) continue;
      const int s = row * strips_per_row<L>() + c;
      const CountedAlpha<L> a = counted_alpha(in, q, pair_at(q, strip_at<L, T>(s)).falloff, position, scratch.end[s]);
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
  for (int s = 0; s < strips<L>(); ++s) {
    const Strip<L, T> strip = strip_at<L, T>(s);
    const auto pixels = [&](const auto* p) { return load_pixels<L, T>(p, in.image, frame, strip); };
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

// A tile forward, block by block.
#pragma once
#include "blend_tile.h"

GSR_NAMESPACE_BEGIN

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

GSR_NAMESPACE_END

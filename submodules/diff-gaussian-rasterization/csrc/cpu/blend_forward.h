// A tile forward, block by block.
#pragma once
#include "bit_matrix.h"
#include "blend_tile.h"

DGR_NAMESPACE_BEGIN

template <class L, class T, int C>
struct ForwardScratch {
  Gathered<L, T, C> batch;
  PixelSums<L, C> sums[blocks<L>()];
  PixelSurfaces<L> surfaces[blocks<L>()];    // with Depths::Surfaces
  L limit[blocks<L>()];                      // alpha from which a splat counts: alpha_min while the pixel lasts
  L end[blocks<L>()];                        // where in the tile's list the pixel ended
  uint64_t list[blocks<L>()][BATCH / WORD];  // bit i of word w: record 64·w + i may touch the block
  bool alive[blocks<L>()];
};

// The blocks' lists of the batch's records that may touch them: what the records know of the blocks, turned over.
template <class L, class T, int C>
DGR_FN void list_by_block(ForwardScratch<L, T, C>& s, int count) {
  for (int first = 0; first < count; first += WORD) {
    uint64_t rows[WORD];
    for (int i = 0; i < WORD; ++i) rows[i] = first + i < count ? s.batch.touches[first + i] : 0;
    transpose_bits(rows);
    for (int b = 0; b < blocks<L>(); ++b) s.list[b][first / WORD] = rows[b * block_rows<L>()];
  }
}

// Blends one block's list; returns whether any of its pixels goes on. Pixels end at random splats, which no branch
// predictor can know: so their end is a select, and only now and then is it asked whether all have ended.
template <Depths D, class L, class T, int C>
DGR_FN bool blend_block(const BlendInput<T>& in, ForwardScratch<L, T, C>& scratch, int s, int batch_start, int words) {
  constexpr int ROUND = 8;
  const Block<L> block = block_at<L>(s);
  const L alpha_max = L(in.alpha_max), transmittance_min = L(in.transmittance_min), zero = L(T(0));
  PixelSums<L, C> sums = scratch.sums[s];
  L limit = scratch.limit[s], end = scratch.end[s];
  bool alive = true;
  for (int word = 0; word < words && alive; ++word)
    for (uint64_t set = scratch.list[s][word]; set != 0 && alive;) {
      for (int i = 0; i < ROUND && set != 0; ++i, set &= set - 1) {
        const int index = WORD * word + __builtin_ctzll(set);
        const PixelSplat<T, C>& q = scratch.batch.records[index].splat;
        const Pair<L> pair = pair_at(q, block);
        const L alpha = pair_alpha(L(q.opacity), pair.falloff.weight, limit, alpha_max).counted;
        const Passage<L> light = pass(sums.transmittance, alpha, transmittance_min);
        limit = select(light.ends, ended<L>(), limit);
        end = select(light.ends, L(T(batch_start + index)), end);
        const PairDepth<L> at = depth_at<D>(q, pair.dx, pair.dy, in.inverse_distortion);
        const L weight = select(light.ends, zero, light.weight);
        const L left = select(light.ends, sums.transmittance, light.transmittance);
        if constexpr (D == Depths::Surfaces)
          blend_surface(sums, scratch.surfaces[s], broadcast<L>(q), at, weight, left, L(in.distortion_gap),
                        L(T(batch_start + index)));
        else
          blend<D>(sums, broadcast<L>(q), at, weight, left);
      }
      alive = any(limit < ended<L>());
    }
  scratch.sums[s] = sums;
  scratch.limit[s] = limit;
  scratch.end[s] = end;
  return alive;
}

template <Depths D, class L, class T, int C>
DGR_FN void write_block(const BlendInput<T>& in, const BlendOutput<T>& out, const TileFrame& frame,
                        ForwardScratch<L, T, C>& scratch, int s) {
  const Block<L> block = block_at<L>(s);
  write_pixel<D>(in, out, scratch.sums[s], scratch.surfaces[s], scratch.end[s],
                 [&](auto* plane, L value) { store_pixels(plane, in.image, frame, block, value); });
}

template <class L, class T, int C, Depths D>
void blend_tile(const BlendInput<T>& in, const BlendOutput<T>& out, int tile, void* memory) {
  ForwardScratch<L, T, C>& scratch = *static_cast<ForwardScratch<L, T, C>*>(memory);
  const TileFrame frame = tile_frame(in.image, in.tile_ranges, tile);
  int living = 0;
  for (int s = 0; s < blocks<L>(); ++s) {
    const Block<L> block = block_at<L>(s);
    const Inside part = inside(frame, block);
    const auto exists = (lane_columns<L>() < L(T(part.columns))) & (lane_rows<L>() < L(T(part.rows)));
    scratch.sums[s] =
        first_pixel<L, C>(in, [&](const auto* plane) { return load_pixels<L, T>(plane, in.image, frame, block); });
    if constexpr (D == Depths::Surfaces) scratch.surfaces[s] = no_surfaces<L>();
    scratch.limit[s] = select(exists, L(in.alpha_min), ended<L>());
    scratch.end[s] = L(T(frame.end - frame.begin));
    scratch.alive[s] = any(exists);
    living += scratch.alive[s];
  }
  for (int first = frame.begin; first < frame.end && living > 0; first += BATCH) {
    const int count = frame.end - first < BATCH ? frame.end - first : BATCH;
    gather(in, frame, first, count, scratch.batch);
    list_by_block(scratch, count);
    const int words = (count + WORD - 1) / WORD;
    for (int s = 0; s < blocks<L>(); ++s)
      if (scratch.alive[s] && !blend_block<D>(in, scratch, s, first - frame.begin, words)) {
        scratch.alive[s] = false;
        --living;
      }
  }
  for (int s = 0; s < blocks<L>(); ++s) write_block<D>(in, out, frame, scratch, s);
}

DGR_NAMESPACE_END

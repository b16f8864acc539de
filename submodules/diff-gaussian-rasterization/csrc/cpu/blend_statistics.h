// What each splat of a tile weighs, and how much of the distortion is its.
#pragma once
#include "blend_tile.h"

DGR_NAMESPACE_BEGIN

template <class L, class T>
struct StatisticsScratch {
  Gathered<L, T, 0> batch;
  PixelMeasure<L> pixel[blocks<L>()];
  L end[blocks<L>()];
  SurfaceTable<L> surfaces[blocks<L>()];  // with Depths::Surfaces: the pixels' surfaces,
  L surface_end[blocks<L>()];             // and where that at which the walk is ends
};

// The walk of a block comes to `position`, where each of its pixels is on some surface.
template <class L, class T>
DGR_FN void find_surfaces(const BlendInput<T>& in, StatisticsScratch<L, T>& scratch, int s, int position) {
  const L at = L(T(position));
  if (!any(at >= scratch.surface_end[s])) return;
  const Surface<L> surface = surface_at(scratch.surfaces[s], at);
  enter_surface(scratch.pixel[s], surface, in.inverse_distortion);
  scratch.surface_end[s] = surface.end;
}

template <Depths D, class L, class T>
DGR_FN void measure_record(const BlendInput<T>& in, StatisticsScratch<L, T>& scratch, int i, int position, T* slot) {
  const PixelSplat<T, 0>& q = scratch.batch.records[i].splat;
  L weight = L(T(0)), most = weight, share = weight;
  for (BlockSet set = scratch.batch.touches[i]; set != 0; set &= set - 1) {
    const int s = first_block<L>(set);
    const Pair<L> pair = pair_at(q, block_at<L>(s));
    const L alpha = pair_alpha(in, q, pair.falloff, position, scratch.end[s]).counted;
    if constexpr (D == Depths::Surfaces) find_surfaces(in, scratch, s, position);
    const PairShare<L> part = measure(scratch.pixel[s], depth_at<D>(q, pair.dx, pair.dy, in.inverse_distortion), alpha);
    weight += part.weight;
    most = maximum(most, part.weight);
    share += part.distortion;
  }
  slot[0] = sum(weight);
  slot[1] = T(0);
  for (int l = 0; l < L::width; ++l) slot[1] = most.v[l] > slot[1] ? T(most.v[l]) : slot[1];
  slot[2] = sum(share);
}

template <class L, class T, Depths D>
void tile_statistics(const BlendInput<T>& in, const BlendStatistics<T>& out, int tile, void* memory) {
  StatisticsScratch<L, T>& scratch = *static_cast<StatisticsScratch<L, T>*>(memory);
  const TileFrame frame = tile_frame(in.image, in.tile_ranges, tile);
  for (int s = 0; s < blocks<L>(); ++s) {
    const Block<L> block = block_at<L>(s);
    const auto pixels = [&](const auto* plane) { return load_pixels<L, T>(plane, in.image, frame, block); };
    scratch.pixel[s] = read_measure<L>(in, out.state, pixels);
    scratch.end[s] = pixels(out.state.end);
    if constexpr (D == Depths::Surfaces) {
      scratch.surfaces[s] = read_surfaces<L>(in, out.state, pixels);
      scratch.surface_end[s] = L(T(0));
    }
  }
  for (int first = frame.begin; first < frame.end; first += BATCH) {
    const int count = frame.end - first < BATCH ? frame.end - first : BATCH;
    gather(in, frame, first, count, scratch.batch);
    for (int i = 0; i < count; ++i)
      measure_record<D>(in, scratch, i, first - frame.begin + i,
                        out.statistics + int64_t(out.grad_slots[first + i]) * STATISTICS_SLOT);
  }
  for (int s = 0; s < blocks<L>(); ++s)
    store_pixels(out.median_depth, in.image, frame, block_at<L>(s), scratch.pixel[s].median);
}

DGR_NAMESPACE_END

// A tile backward, splat by splat, last first.
#pragma once
#include "blend_tile.h"

DGR_NAMESPACE_BEGIN

template <class L, class T, int C>
struct BackwardScratch {
  Gathered<L, T, C> batch;
  PixelCotangent<L, C> v[blocks<L>()];
  PixelWalk<L> walk[blocks<L>()];
  L end[blocks<L>()];
  SurfaceTable<L> surfaces[blocks<L>()];  // with Depths::Surfaces: the pixels' surfaces,
  L surface_begin[blocks<L>()];           // and where that at which the walk is begins
};

// Loads what the pixels know at their end; returns how many ids the longest of them saw.
template <Depths D, class L, class T, int C>
DGR_FN int load_pixels_backward(const BlendInput<T>& in, const BlendCotangents<T>& v, const TileFrame& frame, int tile,
                                BackwardScratch<L, T, C>& scratch) {
  const L zero = L(T(0));
  L longest = zero;
  L v_background[C];
  for (L& channel : v_background) channel = zero;
  for (int s = 0; s < blocks<L>(); ++s) {
    const Block<L> block = block_at<L>(s);
    const auto pixels = [&](const auto* plane) { return load_pixels<L, T>(plane, in.image, frame, block); };
    const PixelBackward<L, C> pixel = read_pixel<L, C>(in, v, pixels);
    scratch.v[s] = pixel.v;
    scratch.walk[s] = pixel.walk;
    scratch.end[s] = pixels(v.state.end);
    if constexpr (D == Depths::Surfaces) {
      scratch.surfaces[s] = read_surfaces<L>(in, v.state, pixels);
      scratch.surface_begin[s] = never<L>();
    }
    longest = maximum(longest, scratch.end[s]);
    for (int c = 0; c < C; ++c) v_background[c] += pixel.walk.transmittance * pixel.v.color.at[c];
  }
  for (int c = 0; c < C; ++c) v.v_background[C * tile + c] = sum(v_background[c]);
  T most = 0;
  for (int l = 0; l < L::width; ++l) most = longest.v[l] > most ? T(longest.v[l]) : most;
  return int(most);
}

// Writes the sums over lanes to a slot.
template <bool Absgrad, Depths D, class L, class T, int C>
DGR_FN void sum_lanes(const SplatSums<L, C>& sums, T* slot) {
  constexpr int W = L::width, COUNT = sum_count<C, Absgrad, D>(), ROUNDS = (COUNT + W - 1) / W;
  L all[COUNT];
  put_in_row<Absgrad, D>(sums, all);
  T total[ROUNDS * W];
  for (int round = 0; round < ROUNDS; ++round) {
    L some[W];
    for (int i = 0; i < W; ++i) some[i] = round * W + i < COUNT ? all[round * W + i] : L(T(0));
    sums_of(some).store(total + round * W);
  }
  __builtin_memcpy(slot, total, COUNT * sizeof(T));
}

// The walk of a block comes to `position`, where each of its pixels is on some surface.
template <class L, class T, int C>
DGR_FN void find_surfaces(const BlendInput<T>& in, BackwardScratch<L, T, C>& scratch, int s, int position) {
  const L at = L(T(position));
  if (!any(at < scratch.surface_begin[s])) return;
  const Surface<L> surface = surface_at(scratch.surfaces[s], at);
  enter_surface(scratch.walk[s], surface, in.inverse_distortion);
  scratch.surface_begin[s] = surface.begin;
}

template <bool Absgrad, Depths D, class L, class T, int C>
DGR_FN void backward_record(const BlendInput<T>& in, BackwardScratch<L, T, C>& scratch, int i, int position, T* slot) {
  const PixelSplat<T, C>& q = scratch.batch.records[i].splat;
  const PixelSplat<L, C> splat = broadcast<L>(q);
  const L zero = L(T(0));
  SplatSums<L, C> sums = no_sums<L, C>();
  bool touched = false;
  for (BlockSet set = scratch.batch.touches[i]; set != 0; set &= set - 1) {
    const int s = first_block<L>(set);
    const Pair<L> pair = pair_at(q, block_at<L>(s));
    const PairAlpha<L> alpha = pair_alpha(in, q, pair.falloff, position, scratch.end[s]);
    if (!any(alpha.counted > zero)) continue;
    touched = true;
    if constexpr (D == Depths::Surfaces) find_surfaces(in, scratch, s, position);
    const PairDepth<L> at = depth_at<D>(splat, pair.dx, pair.dy, in.inverse_distortion);
    const PairCotangent<L> v = blend_vjp<D>(scratch.walk[s], splat, at, alpha.counted, alpha.free, scratch.v[s]);
    add_pair<Absgrad, D>(sums, splat, v, pair.falloff.slant, pair.dx, pair.dy, scratch.v[s]);
  }
  if (touched)
    sum_lanes<Absgrad, D>(sums, slot);
  else
    for (int k = 0; k < sum_count<C, Absgrad, D>(); ++k) slot[k] = T(0);
}

template <bool Absgrad, Depths D, class L, class T, int C>
DGR_FN void walk_tile_backward(const BlendInput<T>& in, const BlendCotangents<T>& v, const TileFrame& frame, int last,
                               BackwardScratch<L, T, C>& scratch) {
  constexpr int COUNT = sum_count<C, Absgrad, D>();
  for (int stop = last; stop > frame.begin;) {
    const int first = stop - BATCH > frame.begin ? stop - BATCH : frame.begin;
    gather(in, frame, first, stop - first, scratch.batch);
    for (int i = stop - first - 1; i >= 0; --i)
      backward_record<Absgrad, D>(in, scratch, i, first - frame.begin + i,
                                  v.sums + int64_t(v.grad_slots[first + i]) * COUNT);
    stop = first;
  }
}

template <class L, class T, int C, bool Absgrad, Depths D>
void blend_tile_backward(const BlendInput<T>& in, const BlendCotangents<T>& v, int tile, void* memory) {
  BackwardScratch<L, T, C>& scratch = *static_cast<BackwardScratch<L, T, C>*>(memory);
  constexpr int COUNT = sum_count<C, Absgrad, D>();
  const TileFrame frame = tile_frame(in.image, in.tile_ranges, tile);
  const int last = frame.begin + load_pixels_backward<D>(in, v, frame, tile, scratch);
  for (int id = last; id < frame.end; ++id)  // behind every pixel's end
    for (int k = 0; k < COUNT; ++k) v.sums[int64_t(v.grad_slots[id]) * COUNT + k] = T(0);
  walk_tile_backward<Absgrad, D>(in, v, frame, last, scratch);
}

DGR_NAMESPACE_END

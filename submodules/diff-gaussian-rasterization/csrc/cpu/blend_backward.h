// A tile backward, splat by splat, last first.
#pragma once
#include "blend_tile.h"

DGR_NAMESPACE_BEGIN

template <class L, class T>
struct BackwardScratch {
  Gathered<L, T> batch;
  PixelCotangent<L> v[blocks<L>()];
  PixelWalk<L> walk[blocks<L>()];
  L end[blocks<L>()];
};

// Loads what the pixels know at their end; returns how many ids the longest of them saw.
template <class L, class T>
DGR_FN int load_pixels_backward(const BlendInput<T>& in, const BlendCotangents<T>& v, const TileFrame& frame, int tile,
                                BackwardScratch<L, T>& scratch) {
  const L zero = L(T(0));
  L longest = zero;
  L v_background[3] = {zero, zero, zero};
  for (int s = 0; s < blocks<L>(); ++s) {
    const Block<L> block = block_at<L>(s);
    const auto pixels = [&](const auto* plane) { return load_pixels<L, T>(plane, in.image, frame, block); };
    const PixelBackward<L> pixel = read_pixel<L>(in, v, pixels);
    scratch.v[s] = pixel.v;
    scratch.walk[s] = pixel.walk;
    scratch.end[s] = pixels(v.state.end);
    longest = maximum(longest, scratch.end[s]);
    v_background[0] += pixel.walk.transmittance * pixel.v.r;
    v_background[1] += pixel.walk.transmittance * pixel.v.g;
    v_background[2] += pixel.walk.transmittance * pixel.v.b;
  }
  for (int c = 0; c < 3; ++c) v.v_background[3 * tile + c] = sum(v_background[c]);
  T most = 0;
  for (int l = 0; l < L::width; ++l) most = longest.v[l] > most ? T(longest.v[l]) : most;
  return int(most);
}

// Writes the twelve sums over lanes to a slot.
template <class L, class T>
DGR_FN void sum_lanes(const SplatSums<L>& sums, T* slot) {
  constexpr int W = L::width, ROUNDS = (SLOT + W - 1) / W;
  L all[SLOT];
  put_in_row(sums, all);
  T total[ROUNDS * W];
  for (int round = 0; round < ROUNDS; ++round) {
    L some[W];
    for (int i = 0; i < W; ++i) some[i] = round * W + i < SLOT ? all[round * W + i] : L(T(0));
    sums_of(some).store(total + round * W);
  }
  __builtin_memcpy(slot, total, SLOT * sizeof(T));
}

template <bool Depths, class L, class T>
DGR_FN void backward_record(const BlendInput<T>& in, BackwardScratch<L, T>& scratch, int i, int position, T* slot) {
  const PixelSplat<T>& q = scratch.batch.records[i].splat;
  const PixelSplat<L> splat = broadcast<L>(q);
  const L zero = L(T(0));
  SplatSums<L> sums = {zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero};
  bool touched = false;
  for (BlockSet set = scratch.batch.touches[i]; set != 0; set &= set - 1) {
    const int s = first_block<L>(set);
    const Pair<L> pair = pair_at(q, block_at<L>(s));
    const PairAlpha<L> alpha = pair_alpha(in, q, pair.falloff, position, scratch.end[s]);
    if (!any(alpha.counted > zero)) continue;
    touched = true;
    const PairCotangent<L> v = blend_vjp<Depths>(scratch.walk[s], splat, alpha.counted, alpha.free, scratch.v[s]);
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
      backward_record<Depths>(in, scratch, i, first - frame.begin + i,
                              v.sums + int64_t(v.grad_slots[first + i]) * SLOT);
    stop = first;
  }
}

template <class L, class T>
void blend_tile_backward(const BlendInput<T>& in, const BlendCotangents<T>& v, int tile, void* memory) {
  BackwardScratch<L, T>& scratch = *static_cast<BackwardScratch<L, T>*>(memory);
  const TileFrame frame = tile_frame(in.image, in.tile_ranges, tile);
  const int last = frame.begin + load_pixels_backward(in, v, frame, tile, scratch);
  for (int id = last; id < frame.end; ++id)  // behind every pixel's end
    for (int k = 0; k < SLOT; ++k) v.sums[int64_t(v.grad_slots[id]) * SLOT + k] = T(0);
  if (v.v_inv_depth != nullptr || v.v_depth != nullptr || v.v_distortion != nullptr)
    walk_tile_backward<true>(in, v, frame, last, scratch);
  else
    walk_tile_backward<false>(in, v, frame, last, scratch);
}

DGR_NAMESPACE_END

// What needles cost, W Gaussians at a time.
#pragma once
#include "../math/effective_rank.h"
#include "columns.h"
#include "weighted_sums.h"

DGR_NAMESPACE_BEGIN

template <class L, class T>
DGR_FN RankParts<L> load_rank(const RankInput<T>& in, int64_t first, int64_t end) {
  return rank_parts<L>({load_column<L>(in.log_scales, 3, 0, first, end),
                        load_column<L>(in.log_scales, 3, 1, first, end),
                        load_column<L>(in.log_scales, 3, 2, first, end)});
}
// 1 for what is visible, 0 for the others and for lanes beyond the end.
template <class L, class T>
DGR_FN L load_visible(const RankInput<T>& in, int64_t first, int64_t count) {
  L weight = L(T(0));
  for (int64_t l = 0; l < L::width && l < count; ++l) weight.v[l] = in.visible[first + l] ? T(1) : T(0);
  return weight;
}

template <class L, class T>
void effective_rank_cost_piece(const RankInput<T>& in, int64_t begin, int64_t end, T* out) {
  const L zero = L(T(0));
  const T min_rank = T(in.min_rank);
  WeightedSums<L> sums = {zero, zero};
  for_each_lanes<L>(begin, end, [&](int64_t first, int64_t count) {
    const L weight = load_visible<L>(in, first, count);
    add_weighted(sums, weight > zero, weight, effective_rank_cost(load_rank<L>(in, first, end), min_rank));
  });
  write_sums(sums, out);
}

template <class L, class T>
void effective_rank_cost_backward_piece(const RankInput<T>& in, const MeanCotangent<T>& v, T* v_log_scales,
                                        int64_t begin, int64_t end) {
  const L zero = L(T(0)), v_sum = L(*v.value * *v.share);
  for_each_lanes<L>(begin, end, [&](int64_t first, int64_t count) {
    const Mask<L> counted = load_visible<L>(in, first, count) > zero;
    const Vec3<L> gradient = effective_rank_cost_vjp(load_rank<L>(in, first, end), T(in.min_rank), v_sum);
    const L columns[3] = {select(counted, gradient.x, zero), select(counted, gradient.y, zero),
                          select(counted, gradient.z, zero)};
    const int rows = int(count < L::width ? count : L::width);
    for (int c = 0; c < 3; ++c) store_column(v_log_scales, 3, c, first, rows, columns[c]);
  });
}

DGR_NAMESPACE_END

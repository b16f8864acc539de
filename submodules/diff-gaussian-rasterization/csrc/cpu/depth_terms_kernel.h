// Pieces of images for the depth terms, W pixels at a time.
#pragma once
#include "../math/depth_terms.h"
#include "weighted_sums.h"

DGR_NAMESPACE_BEGIN

// ---- inverse depth

// Lanes beyond the image have alpha 0, by which they do not count.
template <class L, class T>
DGR_FN InvDepthPixel<L> load_pixels(const InvDepthInput<T>& in, int64_t first, int64_t count) {
  L weight = load_weights<L>(in.weight, first, count);
  if (in.valid != nullptr)
    for (int64_t l = 0; l < L::width && l < count; ++l) weight.v[l] = in.valid[first + l] ? T(weight.v[l]) : T(0);
  return {load_some<L>(in.inv_depth + first, count), load_some<L>(in.alpha + first, count),
          load_some<L>(in.target + first, count), weight};
}

template <class L, class T>
void inv_depth_l1_piece(const InvDepthSettings& s, const InvDepthInput<T>& in, int64_t begin, int64_t end, T* out) {
  const T unit = T(s.unit), depth_max = T(s.depth_max);
  WeightedSums<L> sums = {L(T(0)), L(T(0))};
  for_each_lanes<L>(begin, end, [&](int64_t first, int64_t count) {
    const InvDepthPixel<L> pixel = load_pixels<L>(in, first, count);
    add_weighted(sums, counts(pixel, unit, depth_max), pixel.weight, absolute(inv_depth_error(pixel, unit)));
  });
  write_sums(sums, out);
}

template <class L, class T>
void inv_depth_l1_backward_piece(const InvDepthSettings& s, const InvDepthInput<T>& in, const MeanCotangent<T>& v,
                                 const InvDepthGradients<T>& out, int64_t begin, int64_t end) {
  const T unit = T(s.unit), depth_max = T(s.depth_max);
  const L v_sum = L(*v.value * *v.share);
  for_each_lanes<L>(begin, end, [&](int64_t first, int64_t count) {
    const auto gradient = inv_depth_error_vjp(load_pixels<L>(in, first, count), unit, depth_max, v_sum);
    store_some(out.inv_depth + first, count, gradient.inv_depth);
    store_some(out.alpha + first, count, gradient.alpha);
  });
}

// ---- distortion

template <class L, class T>
DGR_FN DistortionPixel<L> load_pixels(const DistortionInput<T>& in, int64_t first, int64_t count) {
  return {load_some<L>(in.distortion + first, count), load_some<L>(in.alpha + first, count),
          load_weights<L>(in.mask, first, count)};
}

template <class L, class T>
void mean_distortion_piece(const DistortionSettings& s, const DistortionInput<T>& in, int64_t begin, int64_t end,
                           T* out) {
  const DistortionRule<T> rule = distortion_rule<T>(s);
  WeightedSums<L> sums = {L(T(0)), L(T(0))};
  for_each_lanes<L>(begin, end, [&](int64_t first, int64_t count) {
    const DistortionPixel<L> pixel = load_pixels<L>(in, first, count);
    add_weighted(sums, counts(pixel), pixel.weight, robust_distortion(pixel, rule));
  });
  write_sums(sums, out);
}

template <class L, class T>
void mean_distortion_backward_piece(const DistortionSettings& s, const DistortionInput<T>& in,
                                    const MeanCotangent<T>& v, T* v_distortion, int64_t begin, int64_t end) {
  const DistortionRule<T> rule = distortion_rule<T>(s);
  const L v_sum = L(*v.value * *v.share);
  for_each_lanes<L>(begin, end, [&](int64_t first, int64_t count) {
    store_some(v_distortion + first, count, robust_distortion_vjp(load_pixels<L>(in, first, count), rule, v_sum));
  });
}

DGR_NAMESPACE_END

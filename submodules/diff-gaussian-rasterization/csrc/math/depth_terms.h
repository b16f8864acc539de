// What a pixel adds to two terms of the trainer's loss, of which weighted means are taken: how far the rendered inverse
// depth is from a depth map, and how far apart the depths are that the pixel sees.
//
// A pixel where nothing is rendered, or that has no weight, adds exactly 0 and has a gradient of exactly 0, whatever stands
// there. In the others nothing is hidden: what is not a number makes the mean not a number.
#pragma once
#include "../params.h"
#include "real.h"
#include "weighted_mean.h"

DGR_NAMESPACE_BEGIN

// ---- |1/Z − 1/Z*|, with 1/Z = Σ(w/z)/Σw

template <class V>
struct InvDepthPixel {
  V inv_depth;  // Σ(w/z), 1/world units
  V alpha;      // Σw
  V target;     // Z*, world units
  V weight;
};
template <class V>
DGR_FN Mask<V> counts(const InvDepthPixel<V>& p, Scalar<V> unit, Scalar<V> depth_max) {
  const V zero = V(Scalar<V>(0)), target = p.target / V(unit);
  return (p.alpha > zero) & (target > zero) & (target < V(depth_max)) & !(p.weight == zero);
}
// 1/Z − 1/Z*, 1/unit.
template <class V>
DGR_FN V inv_depth_error(const InvDepthPixel<V>& p, Scalar<V> unit) {
  return p.inv_depth / p.alpha * V(unit) - V(Scalar<V>(1)) / (p.target / V(unit));
}

template <class V>
struct InvDepthCotangent {
  V inv_depth, alpha;
};
// `v` is the cotangent of Σ w·|1/Z − 1/Z*|. Where both are equal that of |·| is 0, as torch has it.
template <class V>
DGR_FN InvDepthCotangent<V> inv_depth_error_vjp(const InvDepthPixel<V>& p, Scalar<V> unit, Scalar<V> depth_max, V v) {
  const V zero = V(Scalar<V>(0)), error = inv_depth_error(p, unit), size = p.weight * v;
  const V slope = select(error > zero, size, select(error < zero, -size, zero)) * V(unit) / p.alpha;
  const Mask<V> counted = counts(p, unit, depth_max);
  return {select(counted, slope, zero), select(counted, -slope * (p.inv_depth / p.alpha), zero)};
}

// ---- the distortion D, or s²·ln(1 + D/s²)

template <class V>
struct DistortionPixel {
  V distortion;  // D, world units²
  V alpha;       // Σw
  V weight;
};
template <class S>
struct DistortionRule {
  S square_unit, square_scale;
  bool is_log;
};
template <class S>
DGR_FN DistortionRule<S> distortion_rule(const DistortionSettings& s) {
  return {S(s.unit * s.unit), S(s.scale * s.scale), s.scale > 0};
}

template <class V>
DGR_FN Mask<V> counts(const DistortionPixel<V>& p) {
  const V zero = V(Scalar<V>(0));
  return (p.alpha > zero) & (p.weight > zero);
}
// The logarithm (Cauchy's, α = 0 of the general robust loss, Barron 2019, eq. 1) is D where that is small.
template <class V>
DGR_FN V robust_distortion(const DistortionPixel<V>& p, const DistortionRule<Scalar<V>>& rule) {
  const V value = p.distortion / V(rule.square_unit), square = V(rule.square_scale);
  return rule.is_log ? square * logarithm1p(value / square) : value;
}
// By D; `v` is the cotangent of Σ w·robust_distortion.
template <class V>
DGR_FN V robust_distortion_vjp(const DistortionPixel<V>& p, const DistortionRule<Scalar<V>>& rule, V v) {
  const V one = V(Scalar<V>(1)), zero = V(Scalar<V>(0));
  const V plain = p.weight * v / V(rule.square_unit);
  const V value = p.distortion / V(rule.square_unit) / V(rule.square_scale);
  return select(counts(p), rule.is_log ? plain / (one + value) : plain, zero);
}

DGR_NAMESPACE_END

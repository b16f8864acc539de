// max(ln((r₀ − 1 + ε)/(r − 1 + ε)), 0), r = exp(H) the effective rank of a Gaussian's covariance, H = −Σ q·ln q the
// entropy of the shares q = s²/Σs² of its variances, ε = 10⁻⁵: of Gaussians whose rank is under r₀ (Hyung et al. 2024,
// eq. 9, has r₀ = 2).
//
// From the logarithms of the scales, of which only differences matter. With d = 2·(the largest − each) the shares are
// q = exp(−d)/Z, Z = Σ exp(−d); with D = Σ q·d the entropy is ln Z + D, and r − 1 = (Z − 1) + Z·(exp(D) − 1). Z − 1 is the
// sum of the two smaller exponentials. So nothing is the difference of what is nearly equal, and a needle, whose r is
// nearly 1, has its digits.
#pragma once
#include "linalg.h"
#include "real.h"

DGR_NAMESPACE_BEGIN

constexpr double RANK_EPSILON = 1e-5;
constexpr double LARGEST_BELOW = 170;  // of d: an axis that is thinner, or of no length, has a share of 0

template <class V>
struct RankParts {
  Vec3<V> below;   // d
  Vec3<V> shares;  // q
  V mean_below;    // D
  V rank_minus_1;  // r − 1
};
template <class V>
DGR_FN RankParts<V> rank_parts(Vec3<V> log_scales) {
  using S = Scalar<V>;
  const V largest = maximum(maximum(log_scales.x, log_scales.y), log_scales.z);
  const auto below_of = [&](V each) { return minimum(V(S(LARGEST_BELOW)), (largest - each) * V(S(2))); };
  const Vec3<V> below = {below_of(log_scales.x), below_of(log_scales.y), below_of(log_scales.z)};
  const auto part_of = [](V d) { return exponential2(d * V(S(-1.4426950408889634))); };  // 1/ln 2
  const Vec3<V> parts = {part_of(below.x), part_of(below.y), part_of(below.z)};
  const V smaller = minimum(parts.x, parts.y), larger = maximum(parts.x, parts.y);
  const V others = minimum(smaller, parts.z) + maximum(smaller, minimum(larger, parts.z));
  const V inverse = V(S(1)) / (V(S(1)) + others);
  const Vec3<V> shares = {parts.x * inverse, parts.y * inverse, parts.z * inverse};
  const V mean_below = shares.x * below.x + shares.y * below.y + shares.z * below.z;
  return {below, shares, mean_below, others + (V(S(1)) + others) * exponential_minus_1(mean_below)};
}

// Not "costs": what is not a number is to be seen.
template <class V>
DGR_FN Mask<V> costs_nothing(const RankParts<V>& p, Scalar<V> min_rank) {
  return p.rank_minus_1 >= V(min_rank - Scalar<V>(1));
}
template <class V>
DGR_FN V effective_rank_cost(const RankParts<V>& p, Scalar<V> min_rank) {
  using S = Scalar<V>;
  const V least = V(min_rank - S(1) + S(RANK_EPSILON));
  return select(costs_nothing(p, min_rank), V(S(0)), logarithm(least / (p.rank_minus_1 + V(S(RANK_EPSILON)))));
}
// By the logarithms of the scales; `v` is the cotangent of the cost. dr/dH = r, and dH by a logarithm is 2q·(d − D).
template <class V>
DGR_FN Vec3<V> effective_rank_cost_vjp(const RankParts<V>& p, Scalar<V> min_rank, V v) {
  using S = Scalar<V>;
  const V by_entropy = (V(S(1)) + p.rank_minus_1) / (p.rank_minus_1 + V(S(RANK_EPSILON)));
  const V slope = select(costs_nothing(p, min_rank), V(S(0)), by_entropy * v * V(S(-2)));
  const auto by_axis = [&](V share, V below) { return slope * share * (below - p.mean_below); };
  return {by_axis(p.shares.x, p.below.x), by_axis(p.shares.y, p.below.y), by_axis(p.shares.z, p.below.z)};
}

DGR_NAMESPACE_END

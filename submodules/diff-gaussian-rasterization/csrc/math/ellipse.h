// Where a splat can reach α ≥ alpha_min: the ellipse (xx·dx + xy·dy)² + (yy·dy)² ≤ 2·ln(opacity/alpha_min), and its
// bounds. They only decide where to look; a pixel decides for itself. So each bound may be too wide but never too narrow,
// and is widened by more than the rounding of float32.
#pragma once
#include "real.h"

DGR_NAMESPACE_BEGIN

template <class V>
struct Ellipse {
  V xx, xy, yy;               // triangular factor of the inverse covariance, 1/pixels
  V radius;                   // in standard deviations; may be infinite
  V half_width, half_height;  // of the box around it, pixels
};

template <class V>
struct Interval {
  V low, high;
};

// How many standard deviations away a splat can still count; not a number where opacity < alpha_min: nowhere.
template <class V>
DGR_FN V cutoff_sigmas(V opacity, Scalar<V> alpha_min) {
  using S = Scalar<V>;
  return square_root(S(2) * logarithm(opacity / V(alpha_min))) * S(1.0001) + S(0.0001);
}

template <class V>
DGR_FN Ellipse<V> ellipse(V xx, V xy, V yy, V radius) {
  using S = Scalar<V>;
  const V slant = xy / yy;
  return {xx, xy, yy, radius, radius * square_root(S(1) + slant * slant) / xx, radius / yy};
}

// Whether the ellipse reaches into a piece of a row: offsets dx in [low, high] from the center, at height dy. The slant
// xx·dx + xy·dy is smallest in size where it is nearest to 0.
template <class V>
DGR_FN Mask<V> reaches_row(const Ellipse<V>& e, V low, V high, V dy) {
  const V shift = e.xy * dy, rise = e.yy * dy;
  const V slant = clamp(V(Scalar<V>(0)), e.xx * low + shift, e.xx * high + shift);
  return slant * slant + rise * rise <= e.radius * e.radius;
}

// The ellipse's extent in x over the rows with centers in [top, bottom], relative to its center row. The right-hand
// boundary is concave in dy, with its summit at dy*; over an interval it is highest at dy* or at the end nearest to it.
// Empty (low > high) where no row meets the ellipse.
template <class V>
DGR_FN Interval<V> extent_over_rows(const Ellipse<V>& e, V top, V bottom) {
  using S = Scalar<V>;
  const V low = maximum(top, -e.half_height), high = minimum(bottom, e.half_height);
  const V summit = -e.xy * e.half_height / square_root(e.xy * e.xy + e.yy * e.yy);
  const V right_row = clamp(summit, low, high), left_row = clamp(-summit, low, high);
  const V right_rise = e.yy * right_row, left_rise = e.yy * left_row;
  const V margin = V(S(1e-3)), r2 = e.radius * e.radius, zero = V(S(0));
  const V right = (square_root(maximum(r2 - right_rise * right_rise, zero)) - e.xy * right_row) / e.xx + margin;
  const V left = (-square_root(maximum(r2 - left_rise * left_rise, zero)) - e.xy * left_row) / e.xx - margin;
  const Mask<V> empty = low > high;
  return {select(empty, V(S(1)), left), select(empty, V(S(-1)), right)};
}

DGR_NAMESPACE_END

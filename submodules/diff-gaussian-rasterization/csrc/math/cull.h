// Which Gaussians are drawn.
#pragma once
#include "ellipse.h"
#include "pixels.h"
#include "splat.h"

DGR_NAMESPACE_BEGIN

// Of the image and of a pixel's rules, what culling needs to know.
template <class S>
struct CullRules {
  int width, height;  // pixels
  S near;             // world units: Gaussians at z ≤ near are culled
  S alpha_min;
};

template <class V>
struct Visibility {
  Ellipse<V> ellipse;  // where the splat's alpha reaches alpha_min
  Mask<V> finite;      // all that is given and made of it; behind the camera only what is given
  Mask<V> visible;     // it may touch a pixel
};

// A sum is finite only if its terms are; terms too large for their sum are not worth distinguishing. `color_sum` is that of
// the channels.
template <class V>
DGR_FN Mask<V> all_finite(const Gaussian<V>& g, V color_sum) {
  return is_finite(g.mean.x + g.mean.y + g.mean.z + g.scale.x + g.scale.y + g.scale.z + g.quat.w + g.quat.x + g.quat.y +
                   g.quat.z + g.opacity + color_sum);
}
template <class V>
DGR_FN Mask<V> all_finite(const Splat<V>& s) {
  return is_finite(s.u + s.v + s.xx + s.xy + s.yy + s.opacity + s.slope.x + s.slope.y);
}

// Whether the box around the ellipse at (u, v) holds a pixel.
template <class V>
DGR_FN Mask<V> meets_pixels(const Ellipse<V>& e, V u, V v, int width, int height) {
  const PixelRange<V> columns = pixels_within(u - e.half_width, u + e.half_width, width);
  const PixelRange<V> rows = pixels_within(v - e.half_height, v + e.half_height, height);
  return (columns.first <= columns.last) & (rows.first <= rows.last);
}

template <class V>
DGR_FN Visibility<V> visibility(const CullRules<Scalar<V>>& rules, const Gaussian<V>& g, V color_sum,
                                const Splat<V>& s) {
  const Ellipse<V> e = ellipse(s.xx, s.xy, s.yy, cutoff_sigmas(s.opacity, rules.alpha_min));
  const Mask<V> in_front = s.depth > V(rules.near), opaque = s.opacity >= V(rules.alpha_min);
  const Mask<V> finite = all_finite(g, color_sum) & (all_finite(s) | !in_front);
  const Mask<V> visible = finite & in_front & opaque & meets_pixels(e, s.u, s.v, rules.width, rules.height);
  return {e, finite, visible};
}

// The splat's reach in whole pixels.
template <class V>
DGR_FN V splat_radius(const Ellipse<V>& e) {
  return round_up(minimum(maximum(e.half_width, e.half_height), V(Scalar<V>(1 << 30))));
}

DGR_NAMESPACE_END

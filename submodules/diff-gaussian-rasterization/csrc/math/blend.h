// One splat at one pixel: its alpha, what it adds to the pixel's outputs, and the derivative of both.
#pragma once
#include <limits>

#include "../params.h"
#include "real.h"

DGR_NAMESPACE_BEGIN

// Which depth a splat has at a pixel: its center's, or that along the pixel's ray (DepthSlope in footprint.h). None: no image
// of depths has a gradient. Surfaces: along rays, and the distortion is that of each surface of a pixel apart (PixelSurfaces).
enum class Depths { None, Center, Ray, Surfaces };

template <Depths D>
constexpr bool along_rays() {
  return D == Depths::Ray || D == Depths::Surfaces;
}
// The sums of a splat's gradients know nothing of surfaces.
template <Depths D>
constexpr Depths summed() {
  return D == Depths::Surfaces ? Depths::Ray : D;
}

// What a splat, a pixel or a sum has for each of C channels. (C++ has no arrays of no elements.)
template <class V, int C>
struct Channels {
  V at[C > 0 ? C : 1];
};

// A splat of C channels as the pixels see it. The triangular factor is scaled by √(½·log₂e), so that the falloff is a
// power of two.
template <class V, int C>
struct PixelSplat {
  V u, v;        // center, pixels
  V xx, xy, yy;  // scaled
  V opacity;
  Channels<V, C> color;
  V depth, inverse_depth;  // the center's
  V slope_x, slope_y;      // of the inverse depth over the pixels
  V measure_factor;  // the center's, 1 if the distortion measures z, 1/z if it measures 1/z: see measure_difference
};

template <class S>
constexpr S falloff_scale() {
  return S(0.8493218002880191);  // √(½·log₂e)
}

// From a splat's place among the pixels, its factor as project gives it, opacity, color (C), depth and slope.
template <int C, class V>
DGR_FN PixelSplat<V, C> pixel_splat(V u, V v, V xx, V xy, V yy, V opacity, const V* color, V depth, V slope_x,
                                    V slope_y, bool inverse_distortion) {
  using S = Scalar<V>;
  const V scale = V(falloff_scale<S>()), inverse_depth = S(1) / depth;
  const V measure_factor = inverse_distortion ? inverse_depth : V(S(1));
  PixelSplat<V, C> s = {u,  v,     scale * xx,    scale * xy, scale * yy, opacity,
                        {}, depth, inverse_depth, slope_x,    slope_y,    measure_factor};
  for (int c = 0; c < C; ++c) s.color.at[c] = color[c];
  return s;
}

// exp(−½·dᵀ·Σ₂⁻¹·d), and the part of it that its derivatives need.
template <class V>
struct Falloff {
  V slant;  // xx·dx + xy·dy, scaled
  V weight;
};
// All pixels of a row share xy·dy and (yy·dy)².
template <class V>
DGR_FN Falloff<V> falloff(V xx, V dx, V row_slant, V row_square) {
  const V slant = xx * dx + row_slant;
  return {slant, exponential2(-(slant * slant + row_square))};
}

// A splat and a pixel: the offset from the pixel to the splat's center, and the falloff there.
template <class V>
struct Pair {
  V dx, dy;
  Falloff<V> falloff;
};
template <class V, class Splat>
DGR_FN Pair<V> pair_at(const Splat& s, V dx, V dy) {
  const V rise = V(s.yy) * dy;
  return {dx, dy, falloff(V(s.xx), dx, V(s.xy) * dy, rise * rise)};
}

// A pair's depth, and the factor of its measure.
template <class V>
struct PairDepth {
  V depth, inverse, factor;
};
// Where a splat counts, its inverse depth is more than half of the center's (footprint.h). The bound holds only where it does
// not count, and nothing is made of the depth there but a product with 0.
template <Depths D, class V, class Splat>
DGR_FN PairDepth<V> depth_at(const Splat& s, V dx, V dy, bool inverse_distortion) {
  using S = Scalar<V>;
  if constexpr (!along_rays<D>()) return {V(s.depth), V(s.inverse_depth), V(s.measure_factor)};
  const V along_ray = V(s.inverse_depth) - (V(s.slope_x) * dx + V(s.slope_y) * dy);
  const V inverse = maximum(along_ray, V(S(0.25) * s.inverse_depth));
  return {S(1) / inverse, inverse, inverse_distortion ? inverse : V(S(1))};
}

// A pair's alpha, which counts from `limit` on and is 0 below; `free` is 0 also where it is held at alpha_max. The limit is
// alpha_min, and for a pixel that has ended `ended()`, more than any alpha.
template <class V>
struct PairAlpha {
  V counted, free;
};
template <class V>
DGR_FN PairAlpha<V> pair_alpha(V opacity, V weight, V limit, V alpha_max) {
  const V zero = V(Scalar<V>(0)), raw = opacity * weight, alpha = minimum(raw, alpha_max);
  const V counted = select(alpha >= limit, alpha, zero);
  return {counted, select(raw > alpha_max, zero, counted)};
}
template <class V>
DGR_FN constexpr V ended() {
  return V(Scalar<V>(2));
}

// The light that a splat takes and the light that it leaves. A pixel ends before the splat that would leave less than
// transmittance_min.
template <class V>
struct Passage {
  V weight, transmittance;
  Mask<V> ends;
};
template <class V>
DGR_FN Passage<V> pass(V transmittance, V alpha, V transmittance_min) {
  const V weight = alpha * transmittance, next = transmittance - weight;
  return {weight, next, next < transmittance_min};
}

// m − m₀ for the measure m = z, or m = −1/z, whose distortion is that of 1/z. Both are (z − z₀)·f·f₀ with factors f of 1 or of
// 1/z: so far away, where all 1/z look alike in float32, their difference keeps the digits of z.
template <class V>
DGR_FN V measure_difference(V depth, V factor, V depth0, V factor0) {
  return (depth - depth0) * (factor * factor0);
}

// The factor of a pixel's reference, whose depth is 0 where nothing was hit: so is the factor then.
template <class V>
DGR_FN V reference_factor(V reference, bool inverse_distortion) {
  const V zero = V(Scalar<V>(0)), one = V(Scalar<V>(1));
  return select(reference > zero, inverse_distortion ? one / reference : one, zero);
}

// A pixel's sums while its splats pass, near ones first. The distortion is Σw·(m − M)² about the mean M or, where a sensor
// measured the depth, Σw·min((m − M)², limit) about M of that depth. Its moments are taken about that or about the measure m₀ of
// the first splat that counts. With weight w₀ ≥ alpha_min there, Σw·δ² ≤ (1 + A/w₀)·D for any layers behind, so the final subtraction
// loses at most 8 bits, wherever the scene lies.
template <class V, int C>
struct PixelSums {
  V transmittance;                 // T
  Channels<V, C> color;            // Σw·c
  V inverse_depth, depth, weight;  // Σw/z, Σw·z, Σw
  V reference, reference_factor;   // z and factor of m₀
  V limit;                         // of (m − M)²: infinite where M is the mean
  V first, second;                 // Σw·δ, Σw·δ², δ = m − m₀
};
template <class V>
DGR_FN V unlimited() {
  return V(std::numeric_limits<Scalar<V>>::infinity());
}
template <class V, int C>
DGR_FN PixelSums<V, C> empty_pixel() {
  const V zero = V(Scalar<V>(0));
  PixelSums<V, C> sums = {V(Scalar<V>(1)), {}, zero, zero, zero, zero, zero, unlimited<V>(), zero, zero};
  for (int c = 0; c < C; ++c) sums.color.at[c] = zero;
  return sums;
}
// The same where a sensor measured `depth`, 0 where it did not.
template <class V, int C>
DGR_FN PixelSums<V, C> measured_pixel(V depth, V limit, bool inverse_distortion) {
  PixelSums<V, C> sums = empty_pixel<V, C>();
  sums.reference = depth;
  sums.reference_factor = reference_factor(depth, inverse_distortion);
  sums.limit = limit;
  return sums;
}
// What of the distortion a splat at the distance δ counts.
template <class V>
DGR_FN V limited_square(V delta, V limit) {
  return minimum(delta * delta, limit);
}
template <class V, int C>
DGR_FN void blend_light(PixelSums<V, C>& sums, const PixelSplat<V, C>& s, const PairDepth<V>& at, V w,
                        V transmittance) {
  sums.transmittance = transmittance;
  DGR_UNROLL for (int c = 0; c < C; ++c) sums.color.at[c] += w * s.color.at[c];
  sums.inverse_depth += w * at.inverse;
  sums.depth += w * at.depth;
}
// The moments of what has had the weight `before` so far: the pixel, or its last surface.
template <Depths D, class V, int C>
DGR_FN void add_moments(PixelSums<V, C>& sums, const PairDepth<V>& at, V w, V before) {
  Mask<V> first = before == V(Scalar<V>(0));
  if constexpr (along_rays<D>()) first = first & (sums.limit == unlimited<V>());
  sums.reference = select(first, at.depth, sums.reference);
  sums.reference_factor = select(first, at.factor, sums.reference_factor);
  const V delta = measure_difference(at.depth, at.factor, sums.reference, sums.reference_factor);
  const V moment = w * delta;
  sums.first += moment;
  sums.second += along_rays<D>() ? w * limited_square(delta, sums.limit) : moment * delta;
}
template <Depths D, class V, int C>
DGR_FN void blend(PixelSums<V, C>& sums, const PixelSplat<V, C>& s, const PairDepth<V>& at, V w, V transmittance) {
  blend_light(sums, s, at, w, transmittance);
  add_moments<D>(sums, at, w, sums.weight);
  sums.weight += w;
}
// M − m₀, the mean measure relative to the reference, of what weighs `weight`; 0 where nothing was hit, or where M is m₀.
template <class V, int C>
DGR_FN V mean_offset(const PixelSums<V, C>& sums, V weight) {
  const V zero = V(Scalar<V>(0));
  return select((weight > zero) & (sums.limit == unlimited<V>()), sums.first / weight, zero);
}
// Σw·(m − M)² of what weighs `weight`.
template <class V, int C>
DGR_FN V distortion(const PixelSums<V, C>& sums, V weight) {
  return maximum(sums.second - sums.first * mean_offset(sums, weight), V(Scalar<V>(0)));
}

// A pixel's surfaces, near ones first: reference and M − m₀ of each, and where in the pixel's list it ends. Those that a pixel
// does not have are as its last one, and end never.
template <class V>
struct SurfaceTable {
  V reference[SURFACES], offset[SURFACES], end[SURFACES - 1];
};
template <class V>
DGR_FN V never() {
  return V(Scalar<V>(1 << 30));
}

// What a pixel knows of its surfaces while its splats pass. A splat farther than the gap from the mean of the surface before it
// begins another, the last of SURFACES excepted. PixelSums' reference and moments are the last surface's.
template <class V>
struct PixelSurfaces {
  V weight;               // Σw of the last surface
  V distortion;           // Σw·(m − M)² of those before it
  V index;                // how many are before it
  SurfaceTable<V> table;  // of those before it
};
template <class V>
DGR_FN PixelSurfaces<V> no_surfaces() {
  const V zero = V(Scalar<V>(0));
  PixelSurfaces<V> surfaces = {zero, zero, zero, {}};
  for (int c = 0; c < SURFACES; ++c) surfaces.table.reference[c] = surfaces.table.offset[c] = zero;
  for (int c = 0; c + 1 < SURFACES; ++c) surfaces.table.end[c] = never<V>();
  return surfaces;
}
// Whether a splat of weight w begins another surface. `gap` is relative to the measure of the last surface's first splat. About
// a sensor's depth there is one surface.
template <class V, int C>
DGR_FN Mask<V> begins_surface(const PixelSums<V, C>& sums, const PixelSurfaces<V>& surfaces, const PairDepth<V>& at,
                              V w, V gap) {
  using S = Scalar<V>;
  const V delta = measure_difference(at.depth, at.factor, sums.reference, sums.reference_factor);
  const V limit = gap * (sums.reference * sums.reference_factor * sums.reference_factor);
  const V weight = surfaces.weight;  // 0 before the first splat
  return (w > V(S(0))) & (absolute(weight * delta - sums.first) > weight * limit) &
         (surfaces.index < V(S(SURFACES - 1))) & (sums.limit == unlimited<V>());
}
// The last surface into the table, which then is as write_pixel writes it.
template <class V, int C>
DGR_FN void put_in_table(const PixelSums<V, C>& sums, PixelSurfaces<V>& surfaces) {
  const V offset = mean_offset(sums, surfaces.weight);
  for (int c = 0; c < SURFACES; ++c) {
    const Mask<V> before = V(Scalar<V>(c)) < surfaces.index;
    surfaces.table.reference[c] = select(before, surfaces.table.reference[c], sums.reference);
    surfaces.table.offset[c] = select(before, surfaces.table.offset[c], offset);
  }
}
// `where` the last surface ends before the splat at `position`.
template <class V, int C>
DGR_FN void end_surface(PixelSums<V, C>& sums, PixelSurfaces<V>& surfaces, Mask<V> where, V position) {
  using S = Scalar<V>;
  const V zero = V(S(0));
  put_in_table(sums, surfaces);
  for (int c = 0; c + 1 < SURFACES; ++c) {
    V& end = surfaces.table.end[c];
    end = select(where & (surfaces.index == V(S(c))), position, end);
  }
  surfaces.distortion += select(where, distortion(sums, surfaces.weight), zero);
  surfaces.index += select(where, V(S(1)), zero);
  surfaces.weight = select(where, zero, surfaces.weight);
  sums.first = select(where, zero, sums.first);
  sums.second = select(where, zero, sums.second);
}
// blend, of a pixel's surfaces; `position` is the splat's in the pixel's list.
template <class V, int C>
DGR_FN void blend_surface(PixelSums<V, C>& sums, PixelSurfaces<V>& surfaces, const PixelSplat<V, C>& s,
                          const PairDepth<V>& at, V w, V transmittance, V gap, V position) {
  const Mask<V> begins = begins_surface(sums, surfaces, at, w, gap);
  if (any(begins)) end_surface(sums, surfaces, begins, position);
  blend_light(sums, s, at, w, transmittance);
  add_moments<Depths::Surfaces>(sums, at, w, surfaces.weight);
  sums.weight += w;
  surfaces.weight += w;
}

// The surface of the splat at a position in the pixel's list, which is that of all positions in [begin, end).
template <class V>
struct Surface {
  V reference, offset, begin, end;
};
template <class V>
DGR_FN Surface<V> surface_at(const SurfaceTable<V>& t, V position) {
  Surface<V> s = {t.reference[SURFACES - 1], t.offset[SURFACES - 1], t.end[SURFACES - 2], never<V>()};
  for (int c = SURFACES - 2; c >= 0; --c) {
    const Mask<V> here = position < t.end[c];
    s.reference = select(here, t.reference[c], s.reference);
    s.offset = select(here, t.offset[c], s.offset);
    s.begin = select(here, c == 0 ? V(Scalar<V>(0)) : t.end[c - 1], s.begin);
    s.end = select(here, t.end[c], s.end);
  }
  return s;
}
// A walk or a measure arrives at a surface.
template <class V, class Pixel>
DGR_FN void enter_surface(Pixel& pixel, const Surface<V>& surface, bool inverse_distortion) {
  pixel.reference = surface.reference;
  pixel.reference_factor = reference_factor(surface.reference, inverse_distortion);
  pixel.offset = surface.offset;
}

// A pixel's light and mean measure, while its splats pass once more for what each of them did.
template <class V>
struct PixelMeasure {
  V transmittance, reference, reference_factor, limit, offset;
  V median;  // z of the splat with which half of the light is taken
};
// w and w·(m − M)² of a splat.
template <class V>
struct PairShare {
  V weight, distortion;
};
template <class V>
DGR_FN PairShare<V> measure(PixelMeasure<V>& pixel, const PairDepth<V>& at, V alpha) {
  const V half = V(Scalar<V>(0.5)), weight = alpha * pixel.transmittance, next = pixel.transmittance - weight;
  const V delta = measure_difference(at.depth, at.factor, pixel.reference, pixel.reference_factor) - pixel.offset;
  pixel.median = select((pixel.transmittance > half) & (next <= half), at.depth, pixel.median);
  pixel.transmittance = next;
  return {weight, weight * limited_square(delta, pixel.limit)};
}

// Incoming gradients at a pixel. That of alpha = Σw = 1 − T_end is not among them: it acts as a background of −g_A would, and
// as such keeps its digits where alpha is close to 1.
template <class V, int C>
struct PixelCotangent {
  Channels<V, C> color;
  V inverse_depth, depth, distortion;
};

// What the backward pass knows of a pixel while it walks from the last splat to the first. `behind` is what lies behind the
// current splat as that splat sees it: b_i = (Σ_{k>i} w_k·q_k + T_end·(g_C·background − g_A))/T_{i+1}, which obeys
// b_{i−1} = α_i·q_i + (1 − α_i)·b_i. No difference of large sums appears.
template <class V>
struct PixelWalk {
  V transmittance;
  V behind;
  V reference, reference_factor;
  V limit, offset;  // M lies `offset` from the reference's measure
};

// Cotangents of one splat at one pixel.
template <class V>
struct PairCotangent {
  V weight;    // w, for v_color = w·g_C
  V depth;     // of z, along the ray of 1/z, by depth, inverse depth and distortion; not by the weight
  V exponent;  // of the logarithm of alpha: ∂L/∂α·α, 0 where alpha is clamped
};

// q_i = ∂L/∂w_i but for g_A; ∂L/∂α_i = T_i·(q_i − b_i). `alpha` is 0 where the splat does not count, `alpha_free` moreover
// where it is held at alpha_max. dm/dz is the square of the measure's factor, dz/d(1/z) is −z². Without Depths no gradient comes
// by inverse depth, depth or distortion, without Distortion none by it alone: their terms, all 0, are not computed.
template <Depths D, bool Distortion = D != Depths::None, class V, int C>
DGR_FN PairCotangent<V> blend_vjp(PixelWalk<V>& walk, const PixelSplat<V, C>& s, const PairDepth<V>& at, V alpha,
                                  V alpha_free, const PixelCotangent<V, C>& v) {
  using S = Scalar<V>;
  walk.transmittance = walk.transmittance / (S(1) - alpha);
  const V weight = alpha * walk.transmittance;
  V q = v.color.at[0] * s.color.at[0], v_depth = V(S(0));
  for (int c = 1; c < C; ++c) q += v.color.at[c] * s.color.at[c];
  if constexpr (D != Depths::None) q += v.inverse_depth * at.inverse + v.depth * at.depth;
  if constexpr (D == Depths::Center) v_depth = v.depth - v.inverse_depth * (at.inverse * at.inverse);
  if constexpr (along_rays<D>()) v_depth = v.inverse_depth - v.depth * (at.depth * at.depth);
  if constexpr (Distortion) {
    const V delta = measure_difference(at.depth, at.factor, walk.reference, walk.reference_factor) - walk.offset;
    const V v_delta = v.distortion * delta;
    if constexpr (along_rays<D>()) {
      const V square = delta * delta, rate = at.factor * at.depth;
      q += v.distortion * minimum(square, walk.limit);
      v_depth = v_depth - select(square < walk.limit, v_delta, V(S(0))) * (S(2) * rate * rate);
    } else {
      q += v_delta * delta;
      v_depth += v_delta * (S(2) * at.factor * at.factor);
    }
  }
  const V ahead = q - walk.behind;
  const V v_exponent = alpha_free * walk.transmittance * ahead;
  walk.behind += alpha * ahead;
  return {weight, weight * v_depth, v_exponent};
}

// A splat's pair cotangents added up over pixels: moments of the exponent's cotangent p, from which those of its parameters
// follow once, after the sums. With s = xx·dx + xy·dy (scaled) and the exponent −½(s² + (yy·dy)²), all derivatives are sums
// of p, p·s, p·s·dx, p·s·dy, p·dy and p·dy².
template <class V, int C>
struct SplatSums {
  Channels<V, C> color;
  V depth, depth_dx, depth_dy;  // Σv, Σv·dx, Σv·dy of the depth's cotangents v, the last two along rays only
  V total;                      // Σp
  V slant, slant_dx, slant_dy;  // Σp·s, Σp·s·dx, Σp·s·dy
  V row, row_dy;                // Σp·dy, Σp·dy²
  V abs_u, abs_v;  // Σ|∂L/∂u| and Σ|∂L/∂v|, up to the factors that finish() knows; where Absgrad asks for them
};
template <class V, int C>
DGR_FN SplatSums<V, C> no_sums() {
  const V zero = V(Scalar<V>(0));
  SplatSums<V, C> sums = {{}, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero};
  for (int c = 0; c < C; ++c) sums.color.at[c] = zero;
  return sums;
}
template <bool Absgrad, Depths D, class V, int C>
DGR_FN void add_pair(SplatSums<V, C>& sums, const PixelSplat<V, C>& s, const PairCotangent<V>& pair, V slant, V dx,
                     V dy, const PixelCotangent<V, C>& v) {
  for (int c = 0; c < C; ++c) sums.color.at[c] += pair.weight * v.color.at[c];
  if constexpr (D != Depths::None) sums.depth += pair.depth;
  if constexpr (along_rays<D>()) {
    sums.depth_dx += pair.depth * dx;
    sums.depth_dy += pair.depth * dy;
  }
  const V p_slant = pair.exponent * slant, p_row = pair.exponent * dy;
  sums.total += pair.exponent;
  sums.slant += p_slant;
  sums.slant_dx += p_slant * dx;
  sums.slant_dy += p_slant * dy;
  sums.row += p_row;
  sums.row_dy += p_row * dy;
  if constexpr (Absgrad) {
    sums.abs_u += absolute(p_slant);
    sums.abs_v += absolute(s.xy * p_slant + s.yy * s.yy * p_row);
  }
}

// The sums as a row of numbers, which a slot is, and back.
constexpr int SUMS = 7;  // besides the channels' and those of rays and absgrad
template <int C, bool Absgrad, Depths D>
constexpr int sum_count() {
  return C + SUMS + (along_rays<D>() ? 2 : 0) + (Absgrad ? 2 : 0);
}
template <bool Absgrad, Depths D, class V, int C>
DGR_FN void put_in_row(const SplatSums<V, C>& s, V* row) {
  for (int c = 0; c < C; ++c) row[c] = s.color.at[c];
  const V sums[SUMS] = {s.depth, s.total, s.slant, s.slant_dx, s.slant_dy, s.row, s.row_dy};
  for (int k = 0; k < SUMS; ++k) row[C + k] = sums[k];
  if constexpr (along_rays<D>()) {
    row[C + SUMS] = s.depth_dx;
    row[C + SUMS + 1] = s.depth_dy;
  }
  if constexpr (Absgrad) {
    row[sum_count<C, Absgrad, D>() - 2] = s.abs_u;
    row[sum_count<C, Absgrad, D>() - 1] = s.abs_v;
  }
}
template <int C, bool Absgrad, Depths D, class V>
DGR_FN SplatSums<V, C> sums_in_row(const V* row) {
  const V *r = row + C, *last = row + sum_count<C, Absgrad, D>() - 1, zero = V(Scalar<V>(0));
  constexpr bool Ray = along_rays<D>();
  SplatSums<V, C> s = {{},   r[0], Ray ? r[SUMS] : zero,      Ray ? r[SUMS + 1] : zero, r[1], r[2], r[3], r[4],
                       r[5], r[6], Absgrad ? last[-1] : zero, Absgrad ? last[0] : zero};
  for (int c = 0; c < C; ++c) s.color.at[c] = row[c];
  return s;
}

template <class V>
struct SplatCotangent {
  V u, v, abs_u, abs_v, xx, xy, yy, opacity;
};
// From scaled moments, summed over all pixels, to the cotangents of a splat with the factor xx, xy, yy (not scaled).
// alpha = opacity·weight, so Σp/opacity is ∂L/∂opacity.
template <class V, int C>
DGR_FN SplatCotangent<V> finish(const SplatSums<V, C>& sums, V xx, V xy, V yy, V opacity) {
  using S = Scalar<V>;
  const S once = S(1) / falloff_scale<S>();
  return {-once * xx * sums.slant, -(once * xy * sums.slant + yy * yy * sums.row),
          once * xx * sums.abs_u,  once * once * sums.abs_v,
          -once * sums.slant_dx,   -once * sums.slant_dy,
          -yy * sums.row_dy,       sums.total / opacity};
}

template <class V>
struct DepthCotangent {
  V u, v, depth, slope_x, slope_y;
};
// Those of a splat at `depth` with these slopes. Along rays the sums are of ∂L/∂(1/z_i), 1/z_i = 1/z − slope·d, d from the pixel
// to the center.
template <Depths D, class V, int C>
DGR_FN DepthCotangent<V> finish_depth(const SplatSums<V, C>& sums, V depth, V slope_x, V slope_y) {
  const V zero = V(Scalar<V>(0));
  if constexpr (!along_rays<D>()) return {zero, zero, sums.depth, zero, zero};
  return {-slope_x * sums.depth, -slope_y * sums.depth, -sums.depth / (depth * depth), -sums.depth_dx, -sums.depth_dy};
}

DGR_NAMESPACE_END

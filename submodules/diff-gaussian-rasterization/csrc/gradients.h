// The sums of a splat's slots become its gradients.
#pragma once
#include "blend_pixel.h"

DGR_NAMESPACE_BEGIN

// The depths that a backward pass needs.
template <class T>
Depths depths_of(const BlendInput<T>& in, const BlendCotangents<T>& v) {
  if (v.v_inv_depth == nullptr && v.v_depth == nullptr && v.v_distortion == nullptr) return Depths::None;
  if (v.v_distortion == nullptr) return in.depth_slopes == nullptr ? Depths::Center : Depths::Ray;
  return depths_of(in);
}
// f(D) with D a constant of the program; what f returns.
template <class F>
auto with_depths(Depths depths, const F& f) {
  if (depths == Depths::None) return f(std::integral_constant<Depths, Depths::None>());
  if (depths == Depths::Center) return f(std::integral_constant<Depths, Depths::Center>());
  if (depths == Depths::Ray) return f(std::integral_constant<Depths, Depths::Ray>());
  return f(std::integral_constant<Depths, Depths::Surfaces>());
}

// `sums` are the slots of splat i added up. Where it has none they are 0, and so are its gradients, though its opacity, by
// which one of them is divided, may be 0 as well.
template <int C, bool Absgrad, Depths D, class T>
DGR_FN void write_gradients(const BlendInput<T>& in, int64_t i, bool has_slots, const T* sums,
                            const SplatGradients<T>& out) {
  const T* factor = in.inv_cov_factor + 3 * i;
  const SplatSums<T, C> total = sums_in_row<C, Absgrad, D>(sums);
  SplatCotangent<T> v = {};
  DepthCotangent<T> v_depth = {};
  if (has_slots) {
    const DepthSlope<T> slope = slope_of(in, i);
    v = finish(total, factor[0], factor[1], factor[2], in.opacities[i]);
    v_depth = finish_depth<D>(total, in.depths[i], slope.x, slope.y);
  }
  out.means2d[2 * i] = v.u + v_depth.u;
  out.means2d[2 * i + 1] = v.v + v_depth.v;
  if constexpr (Absgrad) {
    out.absgrad[2 * i] = v.abs_u;
    out.absgrad[2 * i + 1] = v.abs_v;
  }
  out.inv_cov_factor[3 * i] = v.xx;
  out.inv_cov_factor[3 * i + 1] = v.xy;
  out.inv_cov_factor[3 * i + 2] = v.yy;
  out.opacities2d[i] = v.opacity;
  for (int c = 0; c < C; ++c) out.colors[C * i + c] = total.color.at[c];
  out.depths[i] = v_depth.depth;
  if (out.depth_slopes != nullptr) {
    out.depth_slopes[2 * i] = v_depth.slope_x;
    out.depth_slopes[2 * i + 1] = v_depth.slope_y;
  }
}

DGR_NAMESPACE_END

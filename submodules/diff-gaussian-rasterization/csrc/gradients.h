// The sums of a splat's slots become its gradients.
#pragma once
#include "math/blend.h"
#include "params.h"

DGR_NAMESPACE_BEGIN

// `sums` are the slots of splat i added up. Where it has none they are 0, and so are its gradients, though its opacity, by
// which one of them is divided, may be 0 as well.
template <int C, bool Absgrad, class T>
DGR_FN void write_gradients(const BlendInput<T>& in, int64_t i, bool has_slots, const T* sums,
                            const SplatGradients<T>& out) {
  const T* factor = in.inv_cov_factor + 3 * i;
  const SplatSums<T, C> total = sums_in_row<C, Absgrad>(sums);
  SplatCotangent<T> v = {};
  if (has_slots) v = finish(total, factor[0], factor[1], factor[2], in.opacities[i]);
  out.means2d[2 * i] = v.u;
  out.means2d[2 * i + 1] = v.v;
  if constexpr (Absgrad) {
    out.absgrad[2 * i] = v.abs_u;
    out.absgrad[2 * i + 1] = v.abs_v;
  }
  out.inv_cov_factor[3 * i] = v.xx;
  out.inv_cov_factor[3 * i + 1] = v.xy;
  out.inv_cov_factor[3 * i + 2] = v.yy;
  out.opacities2d[i] = v.opacity;
  for (int c = 0; c < C; ++c) out.colors[C * i + c] = total.color.at[c];
  out.depths[i] = total.depth;
}

DGR_NAMESPACE_END

// The sums of a splat's slots become its gradients.
#pragma once
#include "math/blend.h"
#include "params.h"

DGR_NAMESPACE_BEGIN

// `sums` are the slots of splat i added up. Where it has none they are 0, and so are its gradients, though its opacity, by
// which one of them is divided, may be 0 as well.
template <class T>
DGR_FN void write_gradients(const BlendInput<T>& in, int64_t i, bool has_slots, const T (&sums)[SLOT],
                            const SplatGradients<T>& out) {
  const SplatSums<T> total = sums_in_row(sums);
  SplatCotangent<T> v = {};
  if (has_slots)
    v = finish(total, in.inv_cov_factor[3 * i], in.inv_cov_factor[3 * i + 1], in.inv_cov_factor[3 * i + 2],
               in.opacities[i]);
  out.means2d[2 * i] = v.u;
  out.means2d[2 * i + 1] = v.v;
  out.absgrad[2 * i] = v.abs_u;
  out.absgrad[2 * i + 1] = v.abs_v;
  out.inv_cov_factor[3 * i] = v.xx;
  out.inv_cov_factor[3 * i + 1] = v.xy;
  out.inv_cov_factor[3 * i + 2] = v.yy;
  out.opacities2d[i] = v.opacity;
  out.colors[3 * i] = total.red;
  out.colors[3 * i + 1] = total.green;
  out.colors[3 * i + 2] = total.blue;
  out.depths[i] = total.depth;
}

DGR_NAMESPACE_END

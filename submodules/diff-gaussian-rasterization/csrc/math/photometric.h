// How two images x and y differ at a pixel: |x − y| and 1 − ssim, of which means are taken with weights w in [0,1].
//
// Where w = 0, x and y are taken as 0, whatever is there: what is masked out then has no part in the windows either.
#pragma once
#include "ssim.h"

DGR_NAMESPACE_BEGIN

// A product with the weight would keep NaN and infinity.
template <class V>
DGR_FN V masked(V value, V weight) {
  return select(weight > V(Scalar<V>(0)), value, V(Scalar<V>(0)));
}

template <class V>
struct PhotometricSums {
  V l1, dssim, weight;
};
template <class V>
DGR_FN void add_difference(PhotometricSums<V>& sums, V x, V y, V weight, V similarity) {
  sums.l1 += weight * absolute(x - y);
  sums.dssim += weight * (Scalar<V>(1) - similarity);
  sums.weight += weight;
}

// The gradient by x. `windows` is what x receives from the similarities around it, by pixel_vjp, if Σ w·(1 − ssim) has the
// cotangent 1. Where x = y that of |x − y| is 0, as torch has it.
template <class V>
DGR_FN V difference_vjp(V x, V y, V weight, V windows, V v_l1, V v_dssim) {
  const V zero = V(Scalar<V>(0)), v = weight * v_l1;
  return masked(v_dssim * windows + select(x > y, v, select(x < y, -v, zero)), weight);
}

DGR_NAMESPACE_END

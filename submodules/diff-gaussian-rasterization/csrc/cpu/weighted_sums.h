// The sums of a weighted mean out of the lanes.
#pragma once
#include "../math/weighted_mean.h"
#include "simd.h"

DGR_NAMESPACE_BEGIN

template <class L, class T>
DGR_FN void write_sums(const WeightedSums<L>& sums, T* out) {
  out[0] = sum(sums.values);
  out[1] = sum(sums.weights);
}

DGR_NAMESPACE_END

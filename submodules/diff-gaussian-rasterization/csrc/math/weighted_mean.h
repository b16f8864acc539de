// A weighted mean over pixels or Gaussians, of which some do not count.
#pragma once
#include "real.h"

DGR_NAMESPACE_BEGIN

// Σ w·f and Σ w.
template <class V>
struct WeightedSums {
  V values, weights;
};
template <class V>
DGR_FN void add_weighted(WeightedSums<V>& sums, Mask<V> counted, V weight, V value) {
  const V zero = V(Scalar<V>(0));
  sums.values += select(counted, weight * value, zero);
  sums.weights += select(counted, weight, zero);
}

DGR_NAMESPACE_END

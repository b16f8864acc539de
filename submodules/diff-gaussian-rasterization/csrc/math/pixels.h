// Which pixels' centers lie in an interval: where to look for a splat, not what is seen there.
#pragma once
#include "real.h"

DGR_NAMESPACE_BEGIN

// Pixels first..last of an axis, whole numbers; none if first > last.
template <class V>
struct PixelRange {
  V first, last;
};
// Those with centers in [low, high], on an axis of `size` pixels. None if a bound is not a number: `minimum` and `maximum`
// return their second argument then.
template <class V>
DGR_FN PixelRange<V> pixels_within(V low, V high, int size) {
  using S = Scalar<V>;
  const V half = V(S(0.5)), end = V(S(size)), last = V(S(size - 1)), before = V(S(-1));
  return {round_up(minimum(maximum(V(S(0)), low - half), end)),
          round_down(maximum(minimum(last, high - half), before))};
}

DGR_NAMESPACE_END

// Which pixels' centres lie in an interval: where to look for a splat, not what is seen there.
#pragma once
#include "device.cuh"

namespace gsr {
namespace cuda {

// Pixels first..last of an axis; none if first > last.
struct PixelRange {
  int first, last;
};
// Those with centres in [low, high], on an axis of `size` pixels. None if a bound is not a number.
template <class T>
__device__ __forceinline__ PixelRange pixels_within(T low, T high, int size) {
  if (!(low <= T(size) && high >= T(0))) return {1, 0};
  const int first = low > T(0.5) ? int(ceil(low - T(0.5))) : 0;
  const int last = high < T(size) - T(0.5) ? int(floor(high - T(0.5))) : size - 1;
  return {first, last};
}

}  // namespace cuda
}  // namespace gsr

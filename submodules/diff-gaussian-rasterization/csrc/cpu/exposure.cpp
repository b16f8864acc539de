// expose and expose_backward on the CPU: chunks of pixels in parallel, whose sums are added up in their order.
#include "../math/exposure.h"
#include "kernels.h"
#include "launch.h"
#include "parallel.h"

namespace dgr {
namespace cpu {

constexpr int64_t CHUNK = 8192;  // pixels

template <class T>
int expose(const ExposureInput<T>& in, T* shown, void*) {
  const Kernels<T>& table = kernels<T>();
  for_each_chunk(in.pixels, CHUNK, [&](int64_t begin, int64_t end, int64_t) { table.expose(in, shown, begin, end); });
  return 0;
}

template <class T>
int expose_backward(const ExposureInput<T>& in, const T* v_shown, T* v_color, T* v_exposure, const Allocator&, void*) {
  const Kernels<T>& table = kernels<T>();
  std::vector<T> sums((in.pixels + CHUNK - 1) / CHUNK * EXPOSURE);
  for_each_chunk(in.pixels, CHUNK, [&](int64_t begin, int64_t end, int64_t chunk) {
    table.expose_backward(in, v_shown, v_color, begin, end, &sums[chunk * EXPOSURE]);
  });
  double totals[EXPOSURE] = {};
  for (size_t i = 0; i < sums.size(); ++i) totals[i % EXPOSURE] += sums[i];
  for (int i = 0; i < EXPOSURE; ++i) v_exposure[i] = T(totals[i]);
  return 0;
}

DGR_INSTANTIATE_EXPOSURE(float)
DGR_INSTANTIATE_EXPOSURE(double)

}  // namespace cpu
}  // namespace dgr

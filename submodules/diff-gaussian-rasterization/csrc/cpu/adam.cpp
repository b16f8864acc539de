// adam on the CPU: the rows of all parameters dealt to the threads together.
#include "kernels.h"
#include "launch.h"
#include "parallel.h"

namespace dgr {
namespace cpu {

constexpr int64_t CHUNK = 2048;  // rows

// Calls f(begin, end) for the runs of rows in [begin, end) that are visible.
template <class F>
static void for_each_run(const bool* visible, int64_t begin, int64_t end, const F& f) {
  if (visible == nullptr) return f(begin, end);
  for (int64_t row = begin; row < end;) {
    while (row < end && !visible[row]) ++row;
    const int64_t first = row;
    while (row < end && visible[row]) ++row;
    if (first < row) f(first, row);
  }
}

template <class T>
int adam(const AdamSettings& settings, const AdamArrays<T>* parameters, int count, const AdamRows& rows, void*) {
  if (rows.finite != nullptr && !*rows.finite) return 0;
  const Kernels<T>& table =
      kernels<T>();  // chosen here: an error of the choice would lose its words inside the threads
  const int64_t chunks = (rows.count + CHUNK - 1) / CHUNK;
  for_each_task(chunks * count, [&](int64_t task) {
    const AdamArrays<T>& arrays = parameters[task / chunks];
    const int64_t begin = task % chunks * CHUNK, end = begin + CHUNK < rows.count ? begin + CHUNK : rows.count;
    for_each_run(rows.visible, begin, end, [&](int64_t first, int64_t last) {
      table.adam(settings, arrays, first * arrays.columns, last * arrays.columns);
    });
  });
  return 0;
}
DGR_INSTANTIATE_ADAM(float)
DGR_INSTANTIATE_ADAM(double)

}  // namespace cpu
}  // namespace dgr

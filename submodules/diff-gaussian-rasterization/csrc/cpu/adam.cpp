// adam on the CPU: the rows of all parameters dealt to the threads together.
#include "kernels.h"
#include "tensors.h"

namespace gsr {

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
static void run_adam(const AdamSettings& settings, const std::vector<AdamArrays<T>>& parameters, int64_t rows,
                     const bool* visible) {
  const int64_t chunks = (rows + CHUNK - 1) / CHUNK;
  for_each_task(chunks * int64_t(parameters.size()), [&](int64_t task, int64_t) {
    const AdamArrays<T>& arrays = parameters[task / chunks];
    const int64_t begin = task % chunks * CHUNK, end = begin + CHUNK < rows ? begin + CHUNK : rows;
    for_each_run(visible, begin, end, [&](int64_t first, int64_t last) {
      kernels<T>().adam(settings, arrays, first * arrays.columns, last * arrays.columns);
    });
  });
}

template <class T>
static std::vector<AdamArrays<T>> arrays_of(std::vector<Tensor>& values, const std::vector<Tensor>& gradients,
                                            std::vector<Tensor>& firsts, std::vector<Tensor>& seconds,
                                            const std::vector<double>& rates) {
  std::vector<AdamArrays<T>> arrays;
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t rows = values[i].size(0);
    arrays.push_back({rows == 0 ? 0 : values[i].numel() / rows, write<T>(values[i]), read<T>(gradients[i]),
                      write<T>(firsts[i]), write<T>(seconds[i]), rates[i]});
  }
  return arrays;
}

static void adam_all(std::vector<Tensor> values, std::vector<Tensor> gradients, std::vector<Tensor> firsts,
                     std::vector<Tensor> seconds, std::vector<double> rates, std::optional<Tensor> visible,
                     int64_t step, double beta1, double beta2, double epsilon) {
  if (values.empty()) return;
  const AdamSettings settings = {step, beta1, beta2, epsilon};
  const int64_t rows = values[0].size(0);
  const bool* seen = visible ? visible->const_data_ptr<bool>() : nullptr;
  if (is_double(values[0]))
    run_adam(settings, arrays_of<double>(values, gradients, firsts, seconds, rates), rows, seen);
  else
    run_adam(settings, arrays_of<float>(values, gradients, firsts, seconds, rates), rows, seen);
}

}  // namespace gsr

STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CPU, m) { m.impl("adam", TORCH_BOX(&gsr::adam_all)); }

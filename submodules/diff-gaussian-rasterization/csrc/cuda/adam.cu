// adam on CUDA: one launch for all parameters, a thread for each of their numbers.
#include "../math/adam.h"
#include "device.cuh"

namespace dgr {
namespace cuda {

constexpr int ADAM_THREADS = 256;
constexpr int ADAM_ROWS = 128;      // of a block
constexpr int ADAM_PARAMETERS = 8;  // of a launch

template <class T>
struct AdamTable {
  AdamArrays<T> at[ADAM_PARAMETERS];
};

// blockIdx.y is the parameter.
template <class T>
__global__ void __launch_bounds__(ADAM_THREADS, 4)
    adam_kernel(AdamStep<T> step, const __grid_constant__ AdamTable<T> table, AdamRows rows) {
  if (rows.finite != nullptr && !*rows.finite) return;
  const AdamArrays<T>& a = table.at[blockIdx.y];
  const T rate = T(a.rate);
  const int64_t first_row = int64_t(blockIdx.x) * ADAM_ROWS, first = first_row * a.columns;
  const unsigned left = unsigned(rows.count - first_row < ADAM_ROWS ? rows.count - first_row : ADAM_ROWS);
  const unsigned columns = unsigned(a.columns), count = left * columns;
  for (unsigned number = threadIdx.x; number < count; number += ADAM_THREADS) {
    if (rows.visible != nullptr && !rows.visible[first_row + number / columns]) continue;
    const int64_t i = first + number;
    const T gradient = a.gradients[i];
    T value = a.values[i], mean = a.firsts[i], square = a.seconds[i];  // all four on their way before one is used
    dgr::adam(step, rate, value, gradient, mean, square);
    a.values[i] = value;
    a.firsts[i] = mean;
    a.seconds[i] = square;
  }
}

template <class T>
int adam(const AdamSettings& s, const AdamArrays<T>* parameters, int count, const AdamRows& rows, void* stream) {
  const AdamStep<T> step = adam_step<T>(s.beta1, s.beta2, s.epsilon, double(s.step));
  for (int first = 0; first < count; first += ADAM_PARAMETERS) {
    AdamTable<T> table = {};
    const int some = count - first < ADAM_PARAMETERS ? count - first : ADAM_PARAMETERS;
    for (int i = 0; i < some; ++i) table.at[i] = parameters[first + i];
    const dim3 blocks(blocks_for(rows.count, ADAM_ROWS), unsigned(some));
    DGR_TRY(launch(adam_kernel<T>, blocks, ADAM_THREADS, stream, step, table, rows));
  }
  return 0;
}

DGR_INSTANTIATE_ADAM(float)
DGR_INSTANTIATE_ADAM(double)

}  // namespace cuda
}  // namespace dgr

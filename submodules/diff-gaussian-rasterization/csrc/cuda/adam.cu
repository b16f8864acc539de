// adam on CUDA: a launch for each parameter, a thread for each of its numbers.
#include "../math/adam.h"
#include "device.cuh"

namespace dgr {
namespace cuda {

constexpr int ADAM_THREADS = 256;
constexpr int ADAM_ROWS = 128;  // of a block

template <class T>
__global__ void __launch_bounds__(ADAM_THREADS, 4)
    adam_kernel(AdamStep<T> step, AdamArrays<T> a, T rate, int64_t rows, const bool* visible) {
  const int64_t first_row = int64_t(blockIdx.x) * ADAM_ROWS, first = first_row * a.columns;
  const unsigned left = unsigned(rows - first_row < ADAM_ROWS ? rows - first_row : ADAM_ROWS);
  const unsigned columns = unsigned(a.columns), count = left * columns;
  for (unsigned number = threadIdx.x; number < count; number += ADAM_THREADS) {
    if (visible != nullptr && !visible[first_row + number / columns]) continue;
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
int adam(const AdamSettings& s, const AdamArrays<T>* parameters, int count, int64_t rows, const bool* visible,
         void* stream) {
  const AdamStep<T> step = adam_step<T>(s.beta1, s.beta2, s.epsilon, double(s.step));
  for (int i = 0; i < count; ++i)
    DGR_TRY(launch(adam_kernel<T>, blocks_for(rows, ADAM_ROWS), ADAM_THREADS, stream, step, parameters[i],
                   T(parameters[i].rate), rows, visible));
  return 0;
}

DGR_INSTANTIATE_ADAM(float)
DGR_INSTANTIATE_ADAM(double)

}  // namespace cuda
}  // namespace dgr

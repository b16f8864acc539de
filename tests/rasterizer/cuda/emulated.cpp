// csrc/cuda compiled for the CPU, every file but isect_sort.cu and device.cu, which it stands in for.
#include "emulated.h"

#include "emulator.h"

#include "cuda/adam.cu"
#include "cuda/blend.cu"
#include "cuda/blend_backward.cu"
#include "cuda/isect_tiles.cu"
#include "cuda/photometric.cu"
#include "cuda/project.cu"
#include "cuda/statistics.cu"

namespace dgr {
namespace cuda {

// ---- isect_sort.cuh, as plain as can be

int exclusive_sums(const int32_t* counts, int32_t* sums, int64_t count, const Allocator&, void*) {
  int32_t total = 0;
  for (int64_t i = 0; i < count; ++i) {
    sums[i] = total;
    total += counts[i];
  }
  return 0;
}

template <class Key>
int sort_by_key(const Key* keys, Key* sorted_keys, const int32_t* values, int32_t* sorted_values, int64_t count,
                int bits, const Allocator&, void*) {
  const Key mask = bits < int(8 * sizeof(Key)) ? (Key(1) << bits) - 1 : ~Key(0);
  std::vector<int64_t> order(count);
  for (int64_t i = 0; i < count; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return (keys[a] & mask) < (keys[b] & mask); });
  for (int64_t i = 0; i < count; ++i) {
    sorted_keys[i] = keys[order[i]];
    sorted_values[i] = values[order[i]];
  }
  return 0;
}
template int sort_by_key<uint32_t>(const uint32_t*, uint32_t*, const int32_t*, int32_t*, int64_t, int, const Allocator&,
                                   void*);
template int sort_by_key<uint64_t>(const uint64_t*, uint64_t*, const int32_t*, int32_t*, int64_t, int, const Allocator&,
                                   void*);

int HostTotal::begin(const int32_t* counts, int64_t count, const Allocator& allocator, void*) {
  total_ = scratch<int64_t>(allocator, 1);
  *total_ = 0;
  for (int64_t i = 0; i < count; ++i) *total_ += counts[i];
  return 0;
}
int HostTotal::wait(int64_t& total) {
  total = *total_;
  return 0;
}
HostTotal::~HostTotal() = default;

const char* error_text(int) { return "an error that the emulator does not know"; }

}  // namespace cuda
}  // namespace dgr

// ---- what Python calls besides the operators

void seed(int64_t seed) { emulator::Scheduler::the().seed = unsigned(seed); }

// ---- kernels with faults, which the emulator must find

static void kernel_that_leaves(int* out) {
  if (threadIdx.x >= 40) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}
static void kernel_that_parts(int* out) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads_and(1);
  out[threadIdx.x] = 1;
}
static void kernel_with_a_wrong_mask(int* out) {
  if (threadIdx.x % 2 == 0) out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 2);
}
// Reads what another warp writes, without a barrier between.
static void kernel_with_a_race(int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = int(threadIdx.x + 100 * blockIdx.x);
  out[threadIdx.x] = values[63 - threadIdx.x];
}
static void kernel_beyond_its_memory(int* out) {
  __shared__ int values[64];
  values[threadIdx.x + out[0]] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}

void fault(int64_t which, int* out) {
  void (*const kernels[])(int*) = {kernel_that_leaves, kernel_that_parts, kernel_with_a_wrong_mask, kernel_with_a_race,
                                   kernel_beyond_its_memory};
  emulator::launch(kernels[which], 1, 64, nullptr, out);
}

// csrc/cuda compiled for the CPU, every file but isect_sort.cu and device.cu, which it stands in for.
#include "emulated.h"

#include <algorithm>
#include <map>

#include "emulator.h"

#include "cuda/adam.cu"
#include "cuda/blend.cu"
#include "cuda/blend_backward.cu"
#include "cuda/depth_terms.cu"
#include "cuda/effective_rank.cu"
#include "cuda/exposure.cu"
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

void schedule(int64_t seed, int64_t residents) {
  emulator::Turns& turns = emulator::Device::the().turns;
  turns.seed = unsigned(seed);
  turns.residents = unsigned(residents);
}
void delete_barrier(const std::string& place) { emulator::Block::deleted = place; }
void fill_shared(int64_t byte) { emulator::Device::the().shared_byte = int(byte); }

// ---- kernels with faults, which the emulator must find, and one without

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
static void kernel_beyond_its_memory(int* out) {
  __shared__ int values[64];
  values[threadIdx.x + out[0]] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}
static void kernel_that_reads_what_nobody_wrote(int* out) {
  __shared__ int values[64];
  out[threadIdx.x] = values[threadIdx.x];
  values[threadIdx.x] = 1;
}
// Reads what another warp writes, without a barrier between.
static void kernel_without_a_barrier(int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = int(threadIdx.x + 100 * blockIdx.x);
  out[threadIdx.x] = values[63 - threadIdx.x];
}
// Reads what its neighbor in the warp writes: a vote has them both there, but does not order their memory.
static void kernel_with_a_vote_for_a_barrier(int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = int(threadIdx.x);
  if (__any_sync(0xffffffffu, 1)) out[threadIdx.x] = values[threadIdx.x ^ 1];
}
// Overwrites what another warp may still read.
static void kernel_that_comes_around_too_soon(int* out) {
  __shared__ int values[64];
  for (int round = 0; round < 2; ++round) {
    values[threadIdx.x] = round;
    __syncthreads();
    out[threadIdx.x] = values[63 - threadIdx.x];
  }
}
// Two blocks add to the same number, each by itself.
static void kernel_that_counts_blocks(int* out) {
  int before = 0;
  if (threadIdx.x == 0) before = out[0];
  __syncthreads();
  if (threadIdx.x == 0) out[0] = before + 1;
}
static void kernel_without_a_fault(int* out) {
  __shared__ int values[64], others[64];
  values[threadIdx.x] = int(threadIdx.x);
  others[threadIdx.x] = 1;
  __syncwarp();
  const int neighbor = values[threadIdx.x ^ 1];
  __syncthreads();
  values[threadIdx.x] = neighbor + others[63 - threadIdx.x];
  __syncthreads();
  out[64 * blockIdx.x + threadIdx.x] = values[63 - threadIdx.x];
  if (threadIdx.x == 0) atomicAdd(&out[128], 1);
}

void fault(const std::string& kernel, int blocks, int* out) {
  static const std::map<std::string, void (*)(int*)> kernels = {
      {"leaves", kernel_that_leaves},
      {"parts", kernel_that_parts},
      {"wrong_mask", kernel_with_a_wrong_mask},
      {"beyond_its_memory", kernel_beyond_its_memory},
      {"what_nobody_wrote", kernel_that_reads_what_nobody_wrote},
      {"without_a_barrier", kernel_without_a_barrier},
      {"vote_for_a_barrier", kernel_with_a_vote_for_a_barrier},
      {"too_soon", kernel_that_comes_around_too_soon},
      {"counts_blocks", kernel_that_counts_blocks},
      {"without_a_fault", kernel_without_a_fault},
  };
  emulator::launch(kernels.at(kernel), unsigned(blocks), 64, nullptr, out);
}

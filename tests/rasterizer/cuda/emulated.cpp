// csrc/cuda compiled for the CPU, every file but bin_sort.cu, as functions that Python can call.
//
// Each takes the structs of params.h, of which Python has mirrors, and returns a cudaError_t, or FAILED with
// `emulated_failure` saying why. `real` is sizeof(float) or sizeof(double).
#include "emulator.h"

#include "cuda/adam.cu"
#include "cuda/bin.cu"
#include "cuda/blend.cu"
#include "cuda/blend_backward.cu"
#include "cuda/project.cu"
#include "cuda/ssim.cu"
#include "cuda/statistics.cu"

namespace gsr {
namespace cuda {

// ---- bin_sort.cuh, as plain as can be

int exclusive_sums(const int32_t* counts, int32_t* sums, int64_t count, const Memory&, void*) {
  int32_t total = 0;
  for (int64_t i = 0; i < count; ++i) {
    sums[i] = total;
    total += counts[i];
  }
  return 0;
}

template <class Key>
int sort_by_key(const Key* keys, Key* sorted_keys, const int32_t* values, int32_t* sorted_values, int64_t count,
                int bits, const Memory&, void*) {
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
template int sort_by_key<uint32_t>(const uint32_t*, uint32_t*, const int32_t*, int32_t*, int64_t, int, const Memory&,
                                   void*);
template int sort_by_key<uint64_t>(const uint64_t*, uint64_t*, const int32_t*, int32_t*, int64_t, int, const Memory&,
                                   void*);

int HostTotal::begin(const int32_t* counts, int64_t count, const Memory& memory, void*) {
  total_ = scratch<int64_t>(memory, 1);
  if (total_ == nullptr) return OUT_OF_MEMORY;
  *total_ = 0;
  for (int64_t i = 0; i < count; ++i) *total_ += counts[i];
  return 0;
}
int HostTotal::wait(int64_t& total) {
  total = *total_;
  return 0;
}
HostTotal::~HostTotal() = default;

}  // namespace cuda
}  // namespace gsr

// ---- what Python calls

using namespace gsr;

constexpr int FAILED = 1000;
static std::string failure;

template <class F>
static int guarded(const F& f) {
  try {
    return f();
  } catch (const std::exception& error) {
    failure = error.what();
    return FAILED;
  }
}

// A float or double version of a struct that Python passed by its address.
template <class Struct>
static const Struct& as(const void* address) {
  return *static_cast<const Struct*>(address);
}
// Calls f(T()) with the type whose size is `real`.
template <class F>
static int with_real(int real, const F& f) {
  return guarded([&] { return real == sizeof(double) ? f(double()) : f(float()); });
}

extern "C" {

const char* emulated_failure() { return failure.c_str(); }
void emulated_seed(unsigned seed) { emulator::Scheduler::the().seed = seed; }

int emulated_project(int real, const ProjectSettings* settings, const void* gaussians, const void* splats,
                     int64_t* num_nonfinite) {
  return with_real(real, [&](auto t) {
    using T = decltype(t);
    return cuda::project<T>(*settings, as<GaussianArrays<T>>(gaussians), as<SplatArrays<T>>(splats), num_nonfinite,
                            nullptr);
  });
}

int emulated_project_backward(int real, const ProjectSettings* settings, const void* gaussians, const void* cotangents,
                              void* v_viewmat, const cuda::Memory* memory) {
  return with_real(real, [&](auto t) {
    using T = decltype(t);
    return cuda::project_backward<T>(*settings, as<GaussianArrays<T>>(gaussians), as<GaussianCotangents<T>>(cotangents),
                                     static_cast<T*>(v_viewmat), *memory, nullptr);
  });
}

int emulated_bin(int real, const Image* image, const void* splats, int64_t n, int32_t* offsets, int32_t* ranges,
                 const cuda::Memory* memory) {
  return with_real(real, [&](auto t) {
    using T = decltype(t);
    return cuda::bin<T>(*image, as<SplatInput<T>>(splats), n, offsets, ranges, *memory, nullptr);
  });
}

int emulated_blend(int real, const void* in, int64_t n, const void* out, const cuda::Memory* memory) {
  return with_real(real, [&](auto t) {
    using T = decltype(t);
    return cuda::blend<T>(as<BlendInput<T>>(in), n, as<BlendOutput<T>>(out), *memory, nullptr);
  });
}

int emulated_blend_backward(int real, const void* in, int64_t n, const int32_t* offsets, int64_t intersections,
                            const void* cotangents, const void* gradients, const cuda::Memory* memory) {
  return with_real(real, [&](auto t) {
    using T = decltype(t);
    return cuda::blend_backward<T>(as<BlendInput<T>>(in), n, offsets, intersections, as<BlendCotangents<T>>(cotangents),
                                   as<cuda::SplatGradients<T>>(gradients), *memory, nullptr);
  });
}

int emulated_blend_statistics(int real, const void* in, int64_t n, const int32_t* offsets, int64_t intersections,
                              const void* statistics, const void* gathered, const cuda::Memory* memory) {
  return with_real(real, [&](auto t) {
    using T = decltype(t);
    return cuda::blend_statistics<T>(as<BlendInput<T>>(in), n, offsets, intersections,
                                     as<BlendStatistics<T>>(statistics), as<cuda::SplatStatistics<T>>(gathered),
                                     *memory, nullptr);
  });
}

int emulated_ssim(int real, const SsimShape* shape, const void* x, const void* y, const void* out) {
  return with_real(real, [&](auto t) {
    using T = decltype(t);
    return cuda::ssim<T>(*shape, static_cast<const T*>(x), static_cast<const T*>(y), as<SsimOutput<T>>(out), nullptr);
  });
}

int emulated_ssim_backward(int real, const SsimShape* shape, const void* cotangents, void* v_image) {
  return with_real(real, [&](auto t) {
    using T = decltype(t);
    return cuda::ssim_backward<T>(*shape, as<SsimCotangents<T>>(cotangents), static_cast<T*>(v_image), nullptr);
  });
}

int emulated_adam(int real, const AdamSettings* settings, const void* parameters, int count, int64_t rows,
                  const bool* visible) {
  return with_real(real, [&](auto t) {
    using T = decltype(t);
    return cuda::adam<T>(*settings, static_cast<const AdamArrays<T>*>(parameters), count, rows, visible, nullptr);
  });
}

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

int emulated_fault(int which, int* out) {
  void (*const kernels[])(int*) = {kernel_that_leaves, kernel_that_parts, kernel_with_a_wrong_mask, kernel_with_a_race,
                                   kernel_beyond_its_memory};
  return guarded([&] { return emulator::launch(kernels[which], 1, 64, nullptr, out); });
}
}

// What kernels use of CUDA, and how they are launched. Without nvcc it is the tests' emulator, which they put on the
// path.
#pragma once
#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "emulator.h"
#endif

#include "launch.h"

namespace dgr {
namespace cuda {

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// Queues a kernel and returns what went wrong, if anything. Without blocks there is nothing to do.
template <class... Parameters, class... Arguments>
int launch(void (*kernel)(Parameters...), dim3 blocks, int threads, void* stream, const Arguments&... arguments) {
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return 0;
#if defined(__CUDACC__)
  kernel<<<blocks, threads, 0, static_cast<cudaStream_t>(stream)>>>(arguments...);
  return cudaGetLastError();
#else
  return emulator::launch(kernel, blocks, threads, stream, arguments...);
#endif
}

inline unsigned blocks_for(int64_t count, int64_t per_block) { return unsigned((count + per_block - 1) / per_block); }

// The first thing that went wrong among some steps, of which later ones are not begun.
#define DGR_TRY(step) \
  if (const int failure = (step)) return failure

}  // namespace cuda
}  // namespace dgr

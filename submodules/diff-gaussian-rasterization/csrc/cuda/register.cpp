// The operators on CUDA.
#include "device_guard.h"

#include "../operators.h"

STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CUDA, m) { dgr::cuda::implement(m); }

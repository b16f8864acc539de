// The operators on CUDA.
#include "place.h"

#include "../operators.h"

STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CUDA, m) { gsr::cuda::implement(m); }

// The operators on the CPU.
#include "device_guard.h"

#include "../operators.h"

STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CPU, m) { dgr::cpu::implement(m); }

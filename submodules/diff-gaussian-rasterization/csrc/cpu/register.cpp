// The operators on the CPU.
#include "place.h"

#include "../operators.h"

STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CPU, m) { gsr::cpu::implement(m); }

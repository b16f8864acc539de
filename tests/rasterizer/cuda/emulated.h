// What Python can ask of the emulator.
#pragma once
#include <cstdint>

// Another order of blocks, warps and lanes for each seed but 0, which is the natural one.
void seed(int64_t seed);
// Runs a kernel with a fault on 64 threads; out: (64).
void fault(int64_t which, int* out);

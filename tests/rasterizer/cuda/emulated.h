// What Python can ask of the emulator.
#pragma once
#include <cstdint>
#include <string>

// Another order of blocks, warps and lanes for each seed but 0, which is the natural one; and how many blocks are on the
// card together.
void schedule(int64_t seed, int64_t residents);
// Takes a barrier out of the kernels, that at a place as "blend.cu:24"; with "" all are there.
void delete_barrier(const std::string& place);
// The byte of which shared memory is full before a block.
void fill_shared(int64_t byte);
// Runs a kernel, with a fault or without, on blocks of 64 threads; out: (129).
void fault(const std::string& kernel, int blocks, int* out);

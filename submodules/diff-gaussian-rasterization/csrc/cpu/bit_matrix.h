// A matrix of 64×64 bits, a word a row.
#pragma once
#include <cstdint>

#include "../math/real.h"

DGR_NAMESPACE_BEGIN

constexpr int WORD = 64;  // bits

// Bit j of row i <-> bit i of row j, in 6 steps; a step swaps the off-diagonal blocks of size×size.
DGR_FN void transpose_bits(uint64_t (&rows)[WORD]) {
  uint64_t low = ~uint64_t(0);  // the first half of the columns of each block of 2·size
  for (int size = WORD / 2; size > 0; size /= 2) {
    low ^= low << size;
    for (int first = 0; first < WORD; first += 2 * size)
      for (int i = first; i < first + size; ++i) {
        const uint64_t differ = ((rows[i] >> size) ^ rows[i + size]) & low;
        rows[i] ^= differ << size;
        rows[i + size] ^= differ;
      }
  }
}

DGR_NAMESPACE_END

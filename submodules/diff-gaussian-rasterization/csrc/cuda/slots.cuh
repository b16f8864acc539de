// A tile's sums for each of its splats, from the warps to the splats' slots, and the slots' sums for each Gaussian.
//
// No atomics: the warps of a tile put their sums side by side, a slot receives them in the order of the warps, and a
// Gaussian its slots in an order that never changes. So the result is the same bits in every run.
#pragma once
#include "reduce.cuh"
#include "tile.cuh"

namespace dgr {
namespace cuda {

// A slot: what a tile's pixels say to one of its splats.
template <class T, int COLUMNS>
struct alignas(COLUMNS % 4 == 0   ? 16
               : COLUMNS % 2 == 0 ? 8
                                  : alignof(T)) Slot {
  T at[COLUMNS];
};

// What the warps of a tile sum up over their pixels for each splat of a batch.
template <class T, int SIZE, int COLUMNS>
struct WarpSums {
  T at[TILE_WARPS][SIZE][COLUMNS];
  unsigned marked[TILE_WARPS][(SIZE + WARP - 1) /
                              WARP];  // 32 in each, the records for which a warp has sums; others' are not written
};

// Writes the slots of records [0, count) with a thread for each number; `add` is how a column's values become one.
template <class T, int SIZE, int COLUMNS, class Add>
__device__ __forceinline__ void write_slots(const WarpSums<T, SIZE, COLUMNS>& sums, const int32_t* slots, int count,
                                            T* out, const Add& add) {
  for (int number = threadIdx.x; number < count * COLUMNS; number += TILE_THREADS) {
    const int i = number / COLUMNS, column = number % COLUMNS;
    T total = T(0);
#pragma unroll
    for (int warp = 0; warp < TILE_WARPS; ++warp)
      if (sums.marked[warp][i / WARP] >> (i % WARP) & 1) total = add(column, total, sums.at[warp][i][column]);
    out[int64_t(slots[i]) * COLUMNS + column] = total;
  }
}
// The slots of records that no pixel saw.
template <int COLUMNS, class T>
__device__ __forceinline__ void clear_slots(const int32_t* slots, int count, T* out) {
  for (int number = threadIdx.x; number < count * COLUMNS; number += TILE_THREADS)
    out[int64_t(slots[number / COLUMNS]) * COLUMNS + number % COLUMNS] = T(0);
}

constexpr int REDUCE_THREADS = 256;
constexpr int REDUCE_GROUP = 8;  // lanes that share a Gaussian, a slot each

// Slots [begin, end) in one: each lane of the group returns it.
template <int COLUMNS, class T, class Add>
__device__ __forceinline__ Slot<T, COLUMNS> reduce_slots(const Slot<T, COLUMNS>* slots, int32_t begin, int32_t end,
                                                         const Add& add) {
  const unsigned mask = ((1u << REDUCE_GROUP) - 1) << (threadIdx.x % WARP / REDUCE_GROUP * REDUCE_GROUP);
  Slot<T, COLUMNS> total = {};
#pragma unroll 2
  for (int64_t slot = begin + int(threadIdx.x % REDUCE_GROUP); slot < end; slot += REDUCE_GROUP) {
    const Slot<T, COLUMNS> one = slots[slot];
#pragma unroll
    for (int c = 0; c < COLUMNS; ++c) total.at[c] = add(c, total.at[c], one.at[c]);
  }
#pragma unroll
  for (int distance = REDUCE_GROUP / 2; distance > 0; distance /= 2)
#pragma unroll
    for (int c = 0; c < COLUMNS; ++c) total.at[c] = add(c, total.at[c], __shfl_xor_sync(mask, total.at[c], distance));
  return total;
}

}  // namespace cuda
}  // namespace dgr

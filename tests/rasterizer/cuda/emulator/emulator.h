// Runs CUDA kernels on a CPU, for tests: what csrc/cuda uses of CUDA, and no more.
//
// Blocks run one after the other, or a few at a time that take turns. With a seed other than 0, blocks, warps and lanes run
// in an order that the seed shuffles, warps anew after each barrier: results that depend on it are a race. Built with
// ThreadSanitizer, it finds races in any order: barriers and __syncwarp order memory, shuffles and votes do not. Shared
// memory is full of 0xFF before each block. Barriers that threads reach at different places, or not all of them, are errors
// that name the file and line. What it cannot show: memory that is visible late, speed, registers.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "block.h"

#define __global__
#define __grid_constant__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)

using cudaStream_t = void*;
inline int cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  std::memset(memory, value, bytes);
  return 0;
}

namespace emulator {

// The card, as it were.
class Device {
 public:
  static Device& the() {
    static Device device;
    return device;
  }

  Turns turns;
  int shared_byte = 0xff;  // of which shared memory is full before a block

  void run(dim3 blocks, unsigned threads, const std::function<void()>& kernel) {
    if (threads == 0 || threads > MAX_THREADS) throw std::runtime_error("a block of " + std::to_string(threads));
    const Unwatched unwatched;
    turns.begin();
    blockDim = dim3(threads);
    gridDim = blocks;
    std::vector<unsigned> order(size_t(blocks.x) * blocks.y * blocks.z);
    for (size_t i = 0; i < order.size(); ++i) order[i] = unsigned(i);
    turns.shuffle(order);
    while (residents_.size() < turns.residents) residents_.push_back(std::make_unique<Block>(turns));
    size_t next = 0;
    turns.share([&](unsigned resident) {
      while (next < order.size()) {
        const unsigned i = order[next++];
        const uint3 index = {i % blocks.x, i / blocks.x % blocks.y, i / blocks.x / blocks.y};
        residents_[resident]->run(index, threads, kernel, shared_byte);
      }
    });
  }

 private:
  std::vector<std::unique_ptr<Block>> residents_;
};

template <class... Parameters, class... Arguments>
int launch(void (*kernel)(Parameters...), dim3 blocks, int threads, void*, const Arguments&... arguments) {
  Device::the().run(blocks, unsigned(threads), [&] { kernel(arguments...); });
  return 0;
}

template <class T>
T shuffle(unsigned mask, T value, int source, const char* file, int line) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves 8 bytes at most");
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  word = Block::running->exchange(mask, Exchange::Shuffle, word, source, file, line);
  std::memcpy(&value, &word, sizeof value);
  return value;
}

}  // namespace emulator

// ---- CUDA's functions. The last two arguments are the caller's place.

#define EMULATOR_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(EMULATOR_PLACE) { emulator::Block::running->barrier(false, true, file, line); }
inline int __syncthreads_and(int predicate, EMULATOR_PLACE) {
  return emulator::Block::running->barrier(predicate != 0, true, file, line);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATOR_PLACE) {
  emulator::Block::running->exchange(mask, emulator::Exchange::Sync, 0, 0, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATOR_PLACE) {
  const uint64_t word = predicate != 0;
  return unsigned(emulator::Block::running->exchange(mask, emulator::Exchange::Vote, word, 0, file, line));
}
inline int __any_sync(unsigned mask, int predicate, EMULATOR_PLACE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, EMULATOR_PLACE) {
  return __ballot_sync(mask, predicate, file, line) == mask;
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width, EMULATOR_PLACE) {
  const int lane = int(emulator::Block::running->lane());
  return emulator::shuffle(mask, value, lane / width * width + source, file, line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance, EMULATOR_PLACE) {
  return emulator::shuffle(mask, value, int(emulator::Block::running->lane()) ^ distance, file, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int distance, int width, EMULATOR_PLACE) {
  const int lane = int(emulator::Block::running->lane());
  return emulator::shuffle(mask, value, lane % width < distance ? lane : lane - distance, file, line);
}
// Atomics order nothing but themselves.
template <class T>
T atomicAdd(T* place, T value) {
  return __atomic_fetch_add(place, value, __ATOMIC_RELAXED);
}
inline int atomicMax(int* place, int value) {
  int old = __atomic_load_n(place, __ATOMIC_RELAXED);
  while (old < value && !__atomic_compare_exchange_n(place, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }

// Runs CUDA kernels on a CPU, for tests: what csrc/cuda uses of CUDA, and no more.
//
// Blocks run one after the other. Every CUDA thread is a fiber with a stack of its own, which runs until it must wait:
// at __syncthreads for its block, at a shuffle or a vote for the lanes that the mask names. With a seed other than 0,
// blocks, warps and lanes run in an order that the seed shuffles, warps anew after each barrier: results that depend on
// it are a race. Barriers that threads reach at different places, or not all of them, are errors that name the file and
// line. What it cannot show: memory that is visible late, speed, registers.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define EMULATOR_OWN_SWITCH 1
#else
#define EMULATOR_OWN_SWITCH 0
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after the other, so one copy is enough

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

using cudaStream_t = void*;
inline int cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  std::memset(memory, value, bytes);
  return 0;
}

namespace emulator {

constexpr unsigned WARP = 32, MAX_THREADS = 1024;

// ---- fibers: saved registers on a stack of their own

#if EMULATOR_OWN_SWITCH
// Saves the registers that a function must preserve on this stack, and goes on with those of the other.
extern "C" void emulator_switch(void** from, void* to);
asm(R"(
.text
.type emulator_switch,@function
emulator_switch:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret
.size emulator_switch,.-emulator_switch
)");
using Context = void*;
#else
using Context = ucontext_t;
#endif

constexpr size_t STACK = size_t(1) << 17;  // bytes; touched pages alone cost memory
constexpr uint64_t CANARY = 0x9e3779b97f4a7c15;

enum class State { Runs, AtBarrier, AtWarp, Left };

struct Thread {
  Context context;
  char* stack;
  State state;
  unsigned rank;
  uint3 index;
  const char* file;  // where it waits
  int line;
  unsigned mask;          // at a warp's operation: its lanes,
  int source;             // the lane whose word is wanted, or −1 for a vote
  uint64_t word, result;  // what this lane gives and gets
  bool predicate;         // at a barrier
};

class Scheduler {
 public:
  static Scheduler& the() {
    static Scheduler scheduler;
    return scheduler;
  }

  unsigned seed = 0;

  void run(dim3 blocks, unsigned threads, const std::function<void()>& kernel) {
    if (threads == 0 || threads > MAX_THREADS) throw std::runtime_error("a block of " + std::to_string(threads));
    kernel_ = &kernel;
    random_.seed(seed);
    blockDim = dim3(threads);
    gridDim = blocks;
    std::vector<unsigned> order(size_t(blocks.x) * blocks.y * blocks.z);
    for (size_t i = 0; i < order.size(); ++i) order[i] = unsigned(i);
    shuffle(order);
    for (unsigned block : order) {
      blockIdx = {block % blocks.x, block / blocks.x % blocks.y, block / blocks.x / blocks.y};
      run_block(threads);
    }
  }

  // ---- what a kernel calls

  bool barrier(bool predicate, bool all, const char* file, int line) {
    current_->predicate = predicate;
    wait(State::AtBarrier, file, line);
    return all ? all_ : any_;
  }
  uint64_t exchange(unsigned mask, uint64_t word, int source, const char* file, int line) {
    Thread& me = *current_;
    if (!(mask >> me.rank % WARP & 1)) fail(file, line, "a lane that the mask does not name");
    me.mask = mask;
    me.word = word;
    me.source = source;
    wait(State::AtWarp, file, line);
    return me.result;
  }
  unsigned lane() const { return current_->rank % WARP; }

 private:
  std::vector<Thread> threads_;
  std::vector<char> stacks_;
  std::vector<unsigned> lanes_, warps_;
  std::mt19937 random_;
  const std::function<void()>* kernel_ = nullptr;
  Thread* current_ = nullptr;
  Context main_{};
  std::string failure_;
  bool all_ = false, any_ = false;
#if defined(__SANITIZE_ADDRESS__)
  const void* main_stack_ = nullptr;
  size_t main_stack_size_ = 0;
#endif

  void shuffle(std::vector<unsigned>& order) {
    if (seed != 0) std::shuffle(order.begin(), order.end(), random_);
  }

  // ---- switching

  void resume(Thread& thread) {
    current_ = &thread;
    threadIdx = thread.index;
#if EMULATOR_OWN_SWITCH
    emulator_switch(&main_, thread.context);
#else
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, thread.stack, STACK);
#endif
    swapcontext(&main_, &thread.context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
#endif
  }
  void leave() {
    Thread& me = *current_;
#if EMULATOR_OWN_SWITCH
    emulator_switch(&me.context, main_);
#else
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, main_stack_, main_stack_size_);
#endif
    swapcontext(&me.context, &main_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, &main_stack_, &main_stack_size_);
#endif
#endif
  }
  static void entry() {
    Scheduler& scheduler = the();
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler.main_stack_, &scheduler.main_stack_size_);
#endif
    (*scheduler.kernel_)();
    scheduler.current_->state = State::Left;
    scheduler.leave();
    std::abort();  // nobody resumes a thread that has left
  }
  void wait(State state, const char* file, int line) {
    current_->state = state;
    current_->file = file;
    current_->line = line;
    leave();
  }
  // From inside a thread, which never goes on.
  void fail(const char* file, int line, const std::string& message) {
    failure_ = place(file, line) + ": " + message;
    for (;;) leave();
  }

  void prepare(Thread& thread, unsigned rank) {
    char* stack = &stacks_[rank * STACK];
    thread = {};
    thread.stack = stack;
    thread.rank = rank;
    thread.index = {rank, 0, 0};
    std::memcpy(stack, &CANARY, sizeof CANARY);
#if EMULATOR_OWN_SWITCH
    // As emulator_switch leaves a stack: six registers, the address to return to; entry() finds it aligned as after a
    // call.
    uintptr_t top = (reinterpret_cast<uintptr_t>(stack) + STACK) / 16 * 16;
    void** words = reinterpret_cast<void**>(top) - 8;
    for (int i = 0; i < 8; ++i) words[i] = nullptr;
    words[6] = reinterpret_cast<void*>(&entry);
    thread.context = words;
#else
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = stack;
    thread.context.uc_stack.ss_size = STACK;
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, &entry, 0);
#endif
  }

  // ---- a block

  static std::string place(const char* file, int line) {
    const std::string path = file;
    return path.substr(path.rfind('/') + 1) + ":" + std::to_string(line);
  }
  [[noreturn]] void report(const std::string& message) {
    throw std::runtime_error("block (" + std::to_string(blockIdx.x) + "," + std::to_string(blockIdx.y) + "," +
                             std::to_string(blockIdx.z) + "): " + message);
  }

  void run_block(unsigned count) {
    failure_.clear();
    threads_.resize(count);
    stacks_.resize(count * STACK);
    for (unsigned rank = 0; rank < count; ++rank) prepare(threads_[rank], rank);
    lanes_.resize(WARP);
    for (unsigned lane = 0; lane < WARP; ++lane) lanes_[lane] = lane;
    shuffle(lanes_);
    warps_.resize((count + WARP - 1) / WARP);
    for (unsigned warp = 0; warp < warps_.size(); ++warp) warps_[warp] = warp;
    do {
      shuffle(warps_);
      for (unsigned warp : warps_) run_warp(warp);
    } while (pass_barrier());
    for (const Thread& thread : threads_)
      if (std::memcmp(thread.stack, &CANARY, sizeof CANARY) != 0) report("a thread has overrun its stack");
  }

  // Until all its lanes wait at a barrier or have left.
  void run_warp(unsigned warp) {
    for (;;) {
      for (unsigned lane : lanes_) {
        const size_t rank = size_t(warp) * WARP + lane;
        if (rank >= threads_.size() || threads_[rank].state != State::Runs) continue;
        resume(threads_[rank]);
        if (!failure_.empty()) report(failure_);
      }
      if (!complete_operations(warp)) break;
    }
    for (size_t rank = size_t(warp) * WARP; rank < threads_.size() && rank < (warp + size_t(1)) * WARP; ++rank) {
      const Thread& thread = threads_[rank];
      if (thread.state == State::AtWarp)
        report(place(thread.file, thread.line) + ": lanes that the mask names are elsewhere or have left");
    }
  }

  // The operations of a warp for which all lanes of the mask are there, at the same place.
  bool complete_operations(unsigned warp) {
    bool completed = false;
    Thread* const lanes = &threads_[size_t(warp) * WARP];
    const unsigned count = unsigned(std::min<size_t>(WARP, threads_.size() - size_t(warp) * WARP));
    for (unsigned lane = 0; lane < count; ++lane) {
      const Thread& first = lanes[lane];
      if (first.state != State::AtWarp) continue;
      bool all = true;
      uint64_t votes = 0;
      for (unsigned l = 0; l < WARP; ++l) {
        if (!(first.mask >> l & 1)) continue;
        const bool there = l < count && lanes[l].state == State::AtWarp && lanes[l].mask == first.mask &&
                           lanes[l].file == first.file && lanes[l].line == first.line;
        all = all && there;
        if (there && lanes[l].word != 0) votes |= uint64_t(1) << l;
      }
      if (!all) continue;
      const unsigned mask = first.mask;
      for (unsigned l = 0; l < count; ++l) {
        if (!(mask >> l & 1)) continue;
        const int source = lanes[l].source;
        if (source >= 0 && !(mask >> source & 1))
          report(place(first.file, first.line) + ": a shuffle from a lane that the mask does not name");
        lanes[l].result = source < 0 ? votes : lanes[source].word;
        lanes[l].state = State::Runs;
      }
      completed = true;
    }
    return completed;
  }

  // Whether the block goes on: false once all threads have left.
  bool pass_barrier() {
    size_t left = 0;
    const Thread* first = nullptr;
    all_ = true;
    any_ = false;
    for (const Thread& thread : threads_) {
      if (thread.state == State::Left) {
        ++left;
        continue;
      }
      if (first == nullptr) first = &thread;
      if (thread.file != first->file || thread.line != first->line)
        report("threads wait at different barriers: " + place(first->file, first->line) + " and " +
               place(thread.file, thread.line));
      all_ = all_ && thread.predicate;
      any_ = any_ || thread.predicate;
    }
    if (left == threads_.size()) return false;
    if (left > 0)
      report(place(first->file, first->line) + ": " + std::to_string(left) + " of " + std::to_string(threads_.size()) +
             " threads left before this barrier");
    for (Thread& thread : threads_) thread.state = State::Runs;
    return true;
  }
};

template <class... Parameters, class... Arguments>
int launch(void (*kernel)(Parameters...), dim3 blocks, int threads, void*, const Arguments&... arguments) {
  Scheduler::the().run(blocks, unsigned(threads), [&] { kernel(arguments...); });
  return 0;
}

template <class T>
T shuffle(unsigned mask, T value, int source, const char* file, int line) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves 8 bytes at most");
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  word = Scheduler::the().exchange(mask, word, source, file, line);
  std::memcpy(&value, &word, sizeof value);
  return value;
}

}  // namespace emulator

// ---- CUDA's functions. The last two arguments are the caller's place.

#define EMULATOR_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(EMULATOR_PLACE) { emulator::Scheduler::the().barrier(false, true, file, line); }
inline int __syncthreads_and(int predicate, EMULATOR_PLACE) {
  return emulator::Scheduler::the().barrier(predicate != 0, true, file, line);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATOR_PLACE) {
  emulator::Scheduler::the().exchange(mask, 0, -1, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATOR_PLACE) {
  return unsigned(emulator::Scheduler::the().exchange(mask, predicate != 0, -1, file, line));
}
inline int __any_sync(unsigned mask, int predicate, EMULATOR_PLACE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, EMULATOR_PLACE) {
  return __ballot_sync(mask, predicate, file, line) == mask;
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width, EMULATOR_PLACE) {
  const int lane = int(emulator::Scheduler::the().lane());
  return emulator::shuffle(mask, value, lane / width * width + source, file, line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance, EMULATOR_PLACE) {
  return emulator::shuffle(mask, value, int(emulator::Scheduler::the().lane()) ^ distance, file, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int distance, int width, EMULATOR_PLACE) {
  const int lane = int(emulator::Scheduler::the().lane());
  return emulator::shuffle(mask, value, lane % width < distance ? lane : lane - distance, file, line);
}
template <class T>
T atomicAdd(T* place, T value) {
  const T old = *place;
  *place = old + value;
  return old;
}
inline int atomicMax(int* place, int value) {
  const int old = *place;
  *place = std::max(old, value);
  return old;
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }

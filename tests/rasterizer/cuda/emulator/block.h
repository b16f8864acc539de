// A block of CUDA threads. Each is a fiber, which runs until it must wait: at __syncthreads for its block, at a shuffle or
// a vote for the lanes that the mask names.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "fiber.h"
#include "shared_memory.h"
#include "turns.h"

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

namespace emulator {

constexpr unsigned WARP = 32, MAX_THREADS = 1024;

// What the lanes of a warp do together. A vote's word is a predicate; only Sync orders memory.
enum class Exchange { Shuffle, Vote, Sync };
enum class State { Runs, AtBarrier, AtWarp, Left };

struct Thread {
  Fiber fiber;
  State state;
  unsigned rank;
  const char* file;  // where it waits
  int line;
  unsigned mask;             // at a warp's operation: its lanes,
  Exchange exchange;         // what they do,
  int source;                // for a shuffle the lane whose word is wanted;
  uint64_t word, result;     // what this lane gives and gets
  bool predicate;            // at a barrier
  unsigned barriers, syncs;  // it has passed
};

class Block {
 public:
  explicit Block(Turns& turns) : turns_(turns) {}

  // The one that runs now.
  static inline Block* running = nullptr;
  // A barrier that is not there, as blend.cu:24; empty if all are.
  static inline std::string deleted;

  // Runs the block with this index to its end; `byte` is what shared memory is full of before.
  void run(uint3 index, unsigned count, const std::function<void()>& kernel, int byte) {
    index_ = index;
    kernel_ = &kernel;
    fill_shared_memory(byte);
    prepare(count);
    start_.release();
    try {
      do {
        turns_.shuffle(warps_);
        for (unsigned warp : warps_) run_warp(warp);
      } while (pass_barrier());
      for (unsigned rank = 0; rank < count_; ++rank)
        if (threads_[rank]->fiber.has_overrun()) report("a thread has overrun its stack");
    } catch (...) {  // threads that have not left never will
      for (const auto& thread : threads_) thread->fiber.forget();
      throw;
    }
    end_.acquire();
  }

  // ---- what a kernel calls

  bool barrier(bool predicate, bool all, const char* file, int line) {
    const Unwatched unwatched;
    if (is_deleted(file, line)) return false;
    Thread& me = *current_;
    Meeting& meeting = meetings_[me.barriers++ % 2];  // nobody is two barriers ahead of another
    me.predicate = predicate;
    meeting.release();
    wait(State::AtBarrier, file, line);
    meeting.acquire();
    return all ? all_ : any_;
  }
  uint64_t exchange(unsigned mask, Exchange what, uint64_t word, int source, const char* file, int line) {
    const Unwatched unwatched;
    if (is_deleted(file, line)) return 0;
    Thread& me = *current_;
    if (!(mask >> me.rank % WARP & 1)) fail(file, line, "a lane that the mask does not name");
    me.mask = mask;
    me.exchange = what;
    me.word = word;
    me.source = source;
    if (what != Exchange::Sync) {
      wait(State::AtWarp, file, line);
      return me.result;
    }
    Meeting& meeting = warp_meetings_[me.rank / WARP][me.syncs++ % 2];
    meeting.release();
    wait(State::AtWarp, file, line);
    meeting.acquire();
    return me.result;
  }
  unsigned lane() const { return current_->rank % WARP; }

 private:
  Turns& turns_;
  std::vector<std::unique_ptr<Thread>> threads_;
  unsigned count_ = 0;  // of this block
  std::vector<unsigned> lanes_, warps_;
  uint3 index_{};
  const std::function<void()>* kernel_ = nullptr;
  Thread* current_ = nullptr;
  std::string failure_;
  bool all_ = false, any_ = false;
  Meeting start_, end_, meetings_[2], warp_meetings_[MAX_THREADS / WARP][2];

  // ---- a thread

  // What its fiber does: a thread of one block, then of the next.
  static void live() {
    for (bool first = true;; first = false) {
      {
        const Unwatched unwatched;
        if (first) running->current_->fiber.arrive();
        running->start_.acquire();
      }
      (*running->kernel_)();
      Fiber* fiber;
      {
        const Unwatched unwatched;
        Thread& me = *running->current_;
        running->end_.release();
        me.state = State::Left;
        fiber = &me.fiber;
      }
      fiber->leave();
    }
  }
  void wait(State state, const char* file, int line) {
    Thread& me = *current_;
    me.state = state;
    me.file = file;
    me.line = line;
    me.fiber.leave();
  }
  // From inside a thread, which never goes on.
  void fail(const char* file, int line, const std::string& message) {
    failure_ = place(file, line) + ": " + message;
    for (;;) current_->fiber.leave();
  }
  void resume(Thread& thread) {
    running = this;
    current_ = &thread;
    blockIdx = index_;
    threadIdx = {thread.rank, 0, 0};
    thread.fiber.enter();
    if (!failure_.empty()) report(failure_);
  }

  // ---- all of them

  void prepare(unsigned count) {
    failure_.clear();
    count_ = count;
    while (threads_.size() < count) threads_.push_back(std::make_unique<Thread>());
    for (unsigned rank = 0; rank < count; ++rank) {
      Thread& thread = *threads_[rank];
      thread.state = State::Runs;
      thread.rank = rank;
      thread.barriers = thread.syncs = 0;
      if (!thread.fiber.is_started()) thread.fiber.start(&live);
    }
    lanes_.resize(WARP);
    for (unsigned lane = 0; lane < WARP; ++lane) lanes_[lane] = lane;
    turns_.shuffle(lanes_);
    warps_.resize((count + WARP - 1) / WARP);
    for (unsigned warp = 0; warp < warps_.size(); ++warp) warps_[warp] = warp;
  }

  static std::string place(const char* file, int line) {
    const std::string path = file;
    return path.substr(path.rfind('/') + 1) + ":" + std::to_string(line);
  }
  static bool is_deleted(const char* file, int line) { return !deleted.empty() && place(file, line) == deleted; }
  [[noreturn]] void report(const std::string& message) const {
    throw std::runtime_error("block (" + std::to_string(index_.x) + "," + std::to_string(index_.y) + "," +
                             std::to_string(index_.z) + "): " + message);
  }

  // Until all its lanes wait at a barrier or have left.
  void run_warp(unsigned warp) {
    const unsigned first = warp * WARP, end = std::min(first + WARP, count_);
    do {
      for (unsigned lane : lanes_) {
        if (first + lane >= end || threads_[first + lane]->state != State::Runs) continue;
        turns_.pass();
        resume(*threads_[first + lane]);
      }
    } while (complete_exchanges(first, end));
    for (unsigned rank = first; rank < end; ++rank) {
      const Thread& thread = *threads_[rank];
      if (thread.state == State::AtWarp)
        report(place(thread.file, thread.line) + ": lanes that the mask names are elsewhere or have left");
    }
  }

  // The operations of a warp for which all lanes of the mask are there, at the same place.
  bool complete_exchanges(unsigned begin, unsigned end) {
    bool completed = false;
    for (unsigned rank = begin; rank < end; ++rank) {
      const Thread& first = *threads_[rank];
      if (first.state != State::AtWarp) continue;
      bool all = true;
      uint64_t votes = 0;
      for (unsigned l = 0; l < WARP; ++l) {
        if (!(first.mask >> l & 1)) continue;
        const Thread* const other = begin + l < end ? threads_[begin + l].get() : nullptr;
        const bool there = other != nullptr && other->state == State::AtWarp && other->mask == first.mask &&
                           other->file == first.file && other->line == first.line;
        all = all && there;
        if (there && other->word != 0) votes |= uint64_t(1) << l;
      }
      if (!all) continue;
      complete(begin, end, first.mask, votes);
      completed = true;
    }
    return completed;
  }
  void complete(unsigned begin, unsigned end, unsigned mask, uint64_t votes) {
    for (unsigned rank = begin; rank < end; ++rank) {
      Thread& thread = *threads_[rank];
      if (!(mask >> (rank - begin) & 1)) continue;
      const bool shuffles = thread.exchange == Exchange::Shuffle;
      if (shuffles && !(mask >> thread.source & 1))
        report(place(thread.file, thread.line) + ": a shuffle from a lane that the mask does not name");
      thread.result = shuffles ? threads_[begin + thread.source]->word : votes;
      thread.state = State::Runs;
    }
  }

  // Whether the block goes on: false once all threads have left.
  bool pass_barrier() {
    unsigned left = 0;
    const Thread* first = nullptr;
    all_ = true;
    any_ = false;
    for (unsigned rank = 0; rank < count_; ++rank) {
      const Thread& thread = *threads_[rank];
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
    if (left == count_) return false;
    if (left > 0)
      report(place(first->file, first->line) + ": " + std::to_string(left) + " of " + std::to_string(count_) +
             " threads left before this barrier");
    for (unsigned rank = 0; rank < count_; ++rank) threads_[rank]->state = State::Runs;
    return true;
  }
};

}  // namespace emulator

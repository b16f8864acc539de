// OpenMP's threads spin for milliseconds between two operators, and at the end of one until the last has come: on a
// machine with other work they take the core from the very thread that they wait for. These spin for some tens of
// microseconds, which is what most gaps between operators take, and then sleep: a sleeping caller's core is free for a
// helper that has lost its own.
#include "thread_pool.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace dgr {
namespace {

constexpr std::chrono::microseconds SPIN{50};

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Whether `condition` has come true within SPIN.
template <class Condition>
bool spin_until(const Condition& condition) {
  constexpr int BETWEEN_CLOCKS = 32;
  const auto end = std::chrono::steady_clock::now() + SPIN;
  do {
    for (int i = 0; i < BETWEEN_CLOCKS; ++i) {
      if (condition()) return true;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < end);
  return condition();
}

class ThreadPool {
 public:
  // False, and nothing done, where another caller has the threads.
  bool try_run(int64_t workers, void (*work)(void*, int64_t), void* context) {
    if (taken_.exchange(true, std::memory_order_acquire)) return false;
    work_ = work;
    context_ = context;
    error_ = nullptr;
    invite(workers - 1);
    do_work(0);
    wait_for_helpers();
    const std::exception_ptr error = error_;
    taken_.store(false, std::memory_order_release);
    if (error) std::rethrow_exception(error);
    return true;
  }

  // Ends the threads; what runs goes on without them.
  void stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  // The state of a job is one word: how many seats are left for helpers, how many of them are inside, and whether the caller
  // sleeps until they have left. A helper that comes when the seats are gone, or taken away since all is done, stays out.
  static constexpr uint64_t INSIDE = 1, SEAT = uint64_t(1) << 24, CALLER_SLEEPS = uint64_t(1) << 48;
  static uint64_t seats(uint64_t state) { return (state >> 24) & 0xFFFFFF; }
  static uint64_t inside(uint64_t state) { return state & 0xFFFFFF; }

  void invite(int64_t helpers) {
    grow(helpers);
    given_ = helpers;
    state_.store(SEAT * uint64_t(helpers));
    const int64_t asleep = sleepers_.load();
    if (asleep == 0) return;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
    }  // who has looked and found nothing is asleep by now
    for (int64_t i = 0; i < asleep && i < helpers; ++i) wake_.notify_one();
  }

  // The system may refuse threads; there are fewer then.
  void grow(int64_t helpers) {
    const std::lock_guard<std::mutex> lock(mutex_);
    try {
      while (!stopping_ && int64_t(threads_.size()) < helpers) threads_.emplace_back([this] { help(); });
    } catch (const std::system_error&) {
    }
  }

  void do_work(int64_t worker) {
    try {
      work_(context_, worker);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  void wait_for_helpers() {
    uint64_t state = state_.load();
    while (!state_.compare_exchange_weak(state, inside(state))) {
    }
    const auto all_left = [&] { return inside(state_.load()) == 0; };
    if (spin_until(all_left)) return;
    state_.fetch_or(CALLER_SLEEPS);
    std::unique_lock<std::mutex> lock(mutex_);
    left_.wait(lock, all_left);
  }

  // ---- a helper's life

  void help() {
    while (true) {
      const int64_t worker = take_seat();
      if (worker > 0) {
        do_work(worker);
        leave();
      } else if (!spin_until([&] { return seats(state_.load()) > 0; }) && !sleep()) {
        return;
      }
    }
  }

  // The helper's number, from 1; 0 where there is no seat.
  int64_t take_seat() {
    uint64_t state = state_.load();
    while (seats(state) > 0)
      if (state_.compare_exchange_weak(state, state - SEAT + INSIDE)) return given_ - int64_t(seats(state)) + 1;
    return 0;
  }

  void leave() {
    const uint64_t before = state_.fetch_sub(INSIDE);
    if (inside(before) > 1 || !(before & CALLER_SLEEPS)) return;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
    }
    left_.notify_one();
  }

  // Until there is a seat; false at the end.
  bool sleep() {
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);
    wake_.wait(lock, [&] { return stopping_ || seats(state_.load()) > 0; });
    sleepers_.fetch_sub(1);
    return !stopping_;
  }

  std::atomic<bool> taken_{false};
  std::atomic<uint64_t> state_{0};
  std::atomic<int64_t> sleepers_{0};
  // Of the job: written by its caller while nobody is inside and there is no seat.
  void (*work_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  int64_t given_ = 0;
  std::exception_ptr error_;

  std::mutex mutex_;
  std::condition_variable wake_, left_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// One for the process, made when it is first needed. It is never deleted: a thread that is still in an operator when the
// process ends goes on using it. After a fork the child, which has none of the threads, makes its own.
std::atomic<ThreadPool*> the_pool{nullptr};

ThreadPool& pool() {
  ThreadPool* found = the_pool.load();
  if (found) return *found;
  static const int forks = pthread_atfork(nullptr, nullptr, [] { the_pool = nullptr; });
  (void)forks;
  ThreadPool* made = new ThreadPool;
  if (the_pool.compare_exchange_strong(found, made)) return *made;
  delete made;
  return *found;
}

struct AtExit {
  ~AtExit() {
    if (ThreadPool* found = the_pool.load()) found->stop();
  }
} at_exit;

}  // namespace

void run_on_threads(int64_t workers, void (*work)(void*, int64_t), void* context) {
  if (workers <= 1 || !pool().try_run(workers, work, context)) work(context, 0);
}

}  // namespace dgr

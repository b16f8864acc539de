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

using Clock = std::chrono::steady_clock;

constexpr std::chrono::microseconds SPIN{50};
// To wake a sleeper takes longer than this, so the caller of many small tasks first sees whether they are soon done.
constexpr std::chrono::microseconds WORTH_WAKING{10};
constexpr int64_t FEW_TASKS = 1;  // for each thread: so few may be large ones

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
  const auto end = Clock::now() + SPIN;
  do {
    for (int i = 0; i < BETWEEN_CLOCKS; ++i) {
      if (condition()) return true;
      pause_briefly();
    }
  } while (Clock::now() < end);
  return condition();
}

using Task = void (*)(void* context, int64_t task);

class ThreadPool {
 public:
  // False, and nothing done, where another caller has the threads.
  bool try_run(int64_t tasks, int64_t threads, Task run, void* context) {
    if (taken_.exchange(true, std::memory_order_acquire)) return false;
    tasks_ = tasks;
    next_ = 0;
    run_ = run;
    context_ = context;
    error_ = nullptr;
    helpers_ = (threads < tasks ? threads : tasks) - 1;
    grow();
    state_.store(SEAT * uint64_t(helpers_));  // who spins comes at once
    guarded([&] { lead(tasks <= FEW_TASKS * threads); });
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

  // The caller's part. Sleepers are woken at once, or when some time has gone by and there is more to do.
  void lead(bool wake_at_once) {
    if (wake_at_once) wake();
    bool woken = wake_at_once;
    const auto start = Clock::now();
    for (int64_t task = next_++; task < tasks_; task = next_++) {
      run_(context_, task);
      if (woken || Clock::now() - start < WORTH_WAKING) continue;
      woken = true;
      if (next_ < tasks_) wake();
    }
  }

  void wake() {
    const int64_t asleep = sleepers_.load();
    if (asleep == 0) return;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
    }  // who has looked and found nothing is asleep by now
    for (int64_t i = 0; i < asleep && i < helpers_; ++i) wake_.notify_one();
  }

  // The system may refuse threads; there are fewer then.
  void grow() {
    if (int64_t(threads_.size()) >= helpers_) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    try {
      while (!stopping_ && int64_t(threads_.size()) < helpers_) threads_.emplace_back([this] { help(); });
    } catch (const std::system_error&) {
    }
  }

  template <class F>
  void guarded(const F& f) {
    try {
      f();
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
      if (take_seat()) {
        guarded([&] {
          for (int64_t task = next_++; task < tasks_; task = next_++) run_(context_, task);
        });
        leave();
      } else if (!spin_until([&] { return seats(state_.load()) > 0; }) && !sleep()) {
        return;
      }
    }
  }

  // False where there is none.
  bool take_seat() {
    uint64_t state = state_.load();
    while (seats(state) > 0)
      if (state_.compare_exchange_weak(state, state - SEAT + INSIDE)) return true;
    return false;
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
  Task run_ = nullptr;
  void* context_ = nullptr;
  int64_t tasks_ = 0, helpers_ = 0;
  std::atomic<int64_t> next_{0};
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

void run_tasks(int64_t tasks, int64_t threads, Task run, void* context) {
  if (tasks > 1 && threads > 1 && pool().try_run(tasks, threads, run, context)) return;
  for (int64_t task = 0; task < tasks; ++task) run(context, task);
}

}  // namespace dgr

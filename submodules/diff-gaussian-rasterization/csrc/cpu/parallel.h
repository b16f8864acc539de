// Work dealt to threads.
#pragma once
#include <atomic>
#include <cstdint>
#include <vector>

#include "num_threads.h"
#include "thread_pool.h"

namespace dgr {

// Runs f(task, worker) for each task, each worker taking the next task when it is free. What a task computes must not depend
// on its worker, so that results do not depend on the number of threads, nor on who was late.
template <class F>
void for_each_task(int64_t tasks, const F& f) {
  struct Job {
    const F& f;
    int64_t tasks;
    std::atomic<int64_t> next{0};
  } job{f, tasks};
  const int64_t threads = num_threads();
  run_on_threads(
      threads < tasks ? threads : tasks,
      [](void* context, int64_t worker) {
        Job& job = *static_cast<Job*>(context);
        for (int64_t task = job.next++; task < job.tasks; task = job.next++) job.f(task, worker);
      },
      &job);
}

// Runs f(begin, end, chunk) over [0, count) in chunks of a fixed size.
template <class F>
void for_each_chunk(int64_t count, int64_t size, const F& f) {
  for_each_task((count + size - 1) / size, [&](int64_t chunk, int64_t) {
    const int64_t begin = chunk * size, end = begin + size < count ? begin + size : count;
    f(begin, end, chunk);
  });
}

// 64-byte aligned memory for each worker of for_each_task, for as long as this lives.
class WorkerScratch {
 public:
  explicit WorkerScratch(size_t bytes) : stride_((bytes + 63) / 64 * 64), memory_(stride_ * num_threads() + 64) {}
  void* of(int64_t worker) {
    const uintptr_t aligned = (reinterpret_cast<uintptr_t>(memory_.data()) + 63) / 64 * 64;
    return reinterpret_cast<void*>(aligned + stride_ * worker);
  }

 private:
  size_t stride_;
  std::vector<char> memory_;
};

}  // namespace dgr

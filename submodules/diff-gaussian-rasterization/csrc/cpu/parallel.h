// Work dealt to torch's threads.
#pragma once
#include <torch/csrc/stable/ops.h>

#include <atomic>
#include <cstdint>
#include <vector>

namespace dgr {

// Runs f(task, worker) for each task on torch's threads, each worker taking the next task when it is free. What a task
// computes must not depend on its worker, so that results do not depend on the number of threads.
template <class F>
void for_each_task(int64_t tasks, const F& f) {
  const int64_t threads = torch::stable::get_num_threads(), workers = threads < tasks ? threads : tasks;
  std::atomic<int64_t> next{0};
  torch::stable::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker)
      for (int64_t task = next++; task < tasks; task = next++) f(task, worker);
  });
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
  explicit WorkerScratch(size_t bytes)
      : stride_((bytes + 63) / 64 * 64), memory_(stride_ * torch::stable::get_num_threads() + 64) {}
  void* of(int64_t worker) {
    const uintptr_t aligned = (reinterpret_cast<uintptr_t>(memory_.data()) + 63) / 64 * 64;
    return reinterpret_cast<void*>(aligned + stride_ * worker);
  }

 private:
  size_t stride_;
  std::vector<char> memory_;
};

}  // namespace dgr

// Work dealt to threads.
#pragma once
#include <cstdint>
#include <vector>

#include "num_threads.h"
#include "thread_pool.h"

namespace dgr {

// Runs f(task) for each task, each thread taking the next task when it is free. What a task computes must not depend on
// its thread, so that results do not depend on the number of threads, nor on who was late.
template <class F>
void for_each_task(int64_t tasks, const F& f) {
  const auto run = [](void* context, int64_t task) { (*static_cast<const F*>(context))(task); };
  run_tasks(tasks, num_threads(), run, const_cast<F*>(&f));
}

// Runs f(begin, end, chunk) over [0, count) in chunks of a fixed size.
template <class F>
void for_each_chunk(int64_t count, int64_t size, const F& f) {
  for_each_task((count + size - 1) / size, [&](int64_t chunk) {
    const int64_t begin = chunk * size, end = begin + size < count ? begin + size : count;
    f(begin, end, chunk);
  });
}

// 64-byte aligned memory of the calling thread, for one task at a time. It is kept from one operator to the next: to be
// given new pages for each took as long as a small operator's work.
inline void* thread_scratch(size_t bytes) {
  thread_local std::vector<char> memory;
  if (memory.size() < bytes + 64) memory.resize(bytes + 64);
  const uintptr_t aligned = (reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64;
  return reinterpret_cast<void*>(aligned);
}

}  // namespace dgr

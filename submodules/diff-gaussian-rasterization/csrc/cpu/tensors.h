// Small conveniences over the LibTorch stable ABI for the CPU backend.
#pragma once
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace gsr {

using torch::stable::Tensor;
using ScalarType = torch::headeronly::ScalarType;

inline bool is_double(const Tensor& t) { return t.scalar_type() == ScalarType::Double; }

// Asks for huge pages under a large new tensor: a gradient of 200 MB would otherwise cost 50,000 page faults, half of the
// projection's backward pass.
inline void use_huge_pages([[maybe_unused]] Tensor& tensor, [[maybe_unused]] size_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t HUGE_PAGE = uintptr_t(2) << 20;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(tensor.mutable_data_ptr()), end = begin + bytes;
  const uintptr_t first = (begin + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE, last = end / HUGE_PAGE * HUGE_PAGE;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

// A new tensor of `like`'s dtype, not initialised.
inline Tensor empty(const Tensor& like, std::initializer_list<int64_t> shape) {
  Tensor tensor = torch::stable::new_empty(like, shape);
  use_huge_pages(tensor, tensor.numel() * (is_double(like) ? sizeof(double) : sizeof(float)));
  return tensor;
}
inline Tensor new_like(const Tensor& like) {
  Tensor tensor = torch::stable::empty_like(like);
  use_huge_pages(tensor, tensor.numel() * (is_double(like) ? sizeof(double) : sizeof(float)));
  return tensor;
}
inline Tensor empty_int32(const Tensor& like, std::initializer_list<int64_t> shape) {
  return torch::stable::new_empty(like, shape, ScalarType::Int);
}

template <class T>
const T* read(const Tensor& t) {
  return t.const_data_ptr<T>();
}
// The same, but null for a tensor without elements, which stands for one that is absent.
template <class T>
const T* read_if_any(const Tensor& t) {
  return t.numel() == 0 ? nullptr : read<T>(t);
}
template <class T>
T* write(Tensor& t) {
  return t.mutable_data_ptr<T>();
}

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

}  // namespace gsr

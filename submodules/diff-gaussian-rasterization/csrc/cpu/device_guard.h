// What operators.h asks of a place to work at: on the CPU there is only one.
#pragma once
#include <torch/csrc/stable/tensor.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdint>
#include <stdexcept>
#include <string>

#include "launch.h"

namespace dgr {
namespace cpu {

constexpr const char* OUT_OF_MEMORY = "out of memory";

struct DeviceGuard {
  explicit DeviceGuard(const torch::stable::Tensor&) {}
  void* stream() const { return nullptr; }
};

// Asks for huge pages under a large new tensor: a gradient of 200 MB would otherwise cost 50,000 page faults, half of the
// projection's backward pass.
inline void prepare([[maybe_unused]] torch::stable::Tensor& tensor) {
#if defined(__linux__)
  constexpr uintptr_t HUGE_PAGE = uintptr_t(2) << 20;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(tensor.mutable_data_ptr());
  const uintptr_t end = begin + tensor.numel() * tensor.element_size();
  const uintptr_t first = (begin + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE, last = end / HUGE_PAGE * HUGE_PAGE;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

// Throws if there is an error.
inline void check(const char* what, int error) {
  if (error == TOO_MANY_INTERSECTIONS) throw std::runtime_error(std::string(what) + ": " + TOO_MANY_INTERSECTIONS_TEXT);
}

}  // namespace cpu
}  // namespace dgr

// Where torch wants work on a tensor done, and how it hears of errors.
#pragma once
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/tensor.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "launch.h"

namespace dgr {
namespace cuda {

// Makes a tensor's card the current one for as long as this lives.
class DeviceGuard {
 public:
  explicit DeviceGuard(const torch::stable::Tensor&);
  void* stream() const { return stream_; }  // on which torch queues its own work

 private:
  std::unique_ptr<torch::stable::accelerator::DeviceGuard> guard_;
  void* stream_ = nullptr;
};

constexpr const char* OUT_OF_MEMORY = "CUDA out of memory";

inline void prepare(torch::stable::Tensor&) {}  // new memory can be used as it is

// Throws if there is an error.
inline void check(const char* what, int error) {
  if (error == 0) return;
  const char* const advice = error > 0 ? " (`python -m diff_gaussian_rasterization.doctor` looks for a cause)" : "";
  throw std::runtime_error(std::string(what) + " on CUDA: " + error_text(error) + advice);
}

}  // namespace cuda
}  // namespace dgr

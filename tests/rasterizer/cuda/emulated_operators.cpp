// The operators of csrc/cuda over the emulated kernels: the backend's own glue, for CPU tensors, in torch.ops.emulated.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include "cuda/device_guard.h"
#include "emulated.h"

#define diff_gaussian_rasterization emulated
#define CUDA CPU
#include "cuda/register.cpp"
#include "ops.cpp"

dgr::cuda::DeviceGuard::DeviceGuard(const torch::stable::Tensor&) {}

static void run_fault(std::string kernel, int64_t blocks, torch::stable::Tensor out) {
  fault(kernel, int(blocks), out.mutable_data_ptr<int32_t>());
}

static void remove_barrier(std::string place) { delete_barrier(place); }

STABLE_TORCH_LIBRARY_FRAGMENT(emulated, m) {
  m.def("schedule(int seed, int residents) -> ()");
  m.def("delete_barrier(str place) -> ()");
  m.def("fill_shared(int byte) -> ()");
  m.def("fault(str kernel, int blocks, Tensor(a!) out) -> ()");
}
STABLE_TORCH_LIBRARY_IMPL(emulated, CompositeExplicitAutograd, m) {
  m.impl("schedule", TORCH_BOX(&schedule));
  m.impl("delete_barrier", TORCH_BOX(&remove_barrier));
  m.impl("fill_shared", TORCH_BOX(&fill_shared));
  m.impl("fault", TORCH_BOX(&run_fault));
}

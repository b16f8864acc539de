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

static void run_fault(int64_t which, torch::stable::Tensor out) { fault(which, out.mutable_data_ptr<int32_t>()); }

STABLE_TORCH_LIBRARY_FRAGMENT(emulated, m) {
  m.def("seed(int seed) -> ()");
  m.def("fault(int which, Tensor(a!) out) -> ()");
}
STABLE_TORCH_LIBRARY_IMPL(emulated, CompositeExplicitAutograd, m) {
  m.impl("seed", TORCH_BOX(&seed));
  m.impl("fault", TORCH_BOX(&run_fault));
}

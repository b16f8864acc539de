// DeviceGuard, as torch's CUDA library tells it, if torch has loaded one; and what this backend was built for.
//
// A reference that the linker knows of would keep our library from loading under a torch without CUDA.
#include "device_guard.h"

#include <dlfcn.h>
#include <torch/csrc/stable/library.h>

namespace dgr {
namespace cuda {

using CurrentStream = int32_t (*)(int32_t device, void** stream);  // of torch's stable C interface

static CurrentStream find_current_stream() {
  void* const torch = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
  void* const function = torch == nullptr ? nullptr : dlsym(torch, "aoti_torch_get_current_cuda_stream");
  if (function == nullptr) throw std::runtime_error("torch has no libtorch_cuda.so that tells its current stream");
  return reinterpret_cast<CurrentStream>(function);
}

// Our CUDA runtime is not torch's, so it is told by itself. What both share, the driver's current context, torch's guard
// puts back.
DeviceGuard::DeviceGuard(const torch::stable::Tensor& tensor) {
  static const CurrentStream current_stream = find_current_stream();
  const int32_t device = tensor.get_device_index();
  guard_ = std::make_unique<torch::stable::accelerator::DeviceGuard>(device);
  check("choosing a device", use_device(device));
  if (current_stream(device, &stream_) != 0) throw std::runtime_error("torch does not tell its current stream");
}

}  // namespace cuda
}  // namespace dgr

// The toolkit's version and the architectures: "13.0 sm_90 compute_90". The build says it.
static std::string cuda_build() { return DGR_CUDA_BUILD; }

STABLE_TORCH_LIBRARY_FRAGMENT(diff_gaussian_rasterization, m) { m.def("cuda_build() -> str"); }
STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CompositeExplicitAutograd, m) {
  m.impl("cuda_build", TORCH_BOX(&cuda_build));
}

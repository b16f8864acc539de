// How many threads the operators use.
#include "num_threads.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <atomic>

namespace dgr {

static std::atomic<int64_t> chosen{0};

int64_t num_threads() {
  const int64_t count = chosen.load(std::memory_order_relaxed);
  return count > 0 ? count : int64_t(torch::stable::get_num_threads());
}

static void set_num_threads(int64_t count) { chosen = count; }

}  // namespace dgr

STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CompositeExplicitAutograd, m) {
  m.impl("get_num_threads", TORCH_BOX(&dgr::num_threads));
  m.impl("set_num_threads", TORCH_BOX(&dgr::set_num_threads));
}

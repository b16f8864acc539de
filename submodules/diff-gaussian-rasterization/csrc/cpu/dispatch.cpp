// Chooses the kernels for this processor, once.
#include <torch/csrc/stable/library.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "kernels.h"

namespace dgr {

#define DGR_DECLARE(isa)                         \
  const Kernels<float>& kernels_##isa##_float(); \
  const Kernels<double>& kernels_##isa##_double();

struct Choice {
  const char* name;
  const Kernels<float>& (*float_kernels)();
  const Kernels<double>& (*double_kernels)();
};

#if defined(__x86_64__)
DGR_DECLARE(v1)
DGR_DECLARE(v3)
DGR_DECLARE(v4)

static Choice choose() {
  const Choice v1 = {"v1", kernels_v1_float, kernels_v1_double}, v3 = {"v3", kernels_v3_float, kernels_v3_double},
               v4 = {"v4", kernels_v4_float, kernels_v4_double};
  __builtin_cpu_init();
  const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512cd");
  const char* asked = std::getenv("DGR_ISA");
  if (asked == nullptr || *asked == '\0') return has_v4 ? v4 : has_v3 ? v3 : v1;
  const std::string name = asked;
  if (name == "v1") return v1;
  if (name == "v3" && has_v3) return v3;
  if (name == "v4" && has_v4) return v4;
  throw std::runtime_error("DGR_ISA is \"" + name + "\"; this processor can do v1" + (has_v3 ? ", v3" : "") +
                           (has_v4 ? ", v4" : ""));
}
#else
DGR_DECLARE(portable)

static Choice choose() { return {"portable", kernels_portable_float, kernels_portable_double}; }
#endif

static const Choice& choice() {
  static const Choice chosen = choose();
  return chosen;
}

template <>
const Kernels<float>& kernels<float>() {
  return choice().float_kernels();
}
template <>
const Kernels<double>& kernels<double>() {
  return choice().double_kernels();
}

static std::string instruction_set() { return choice().name; }

}  // namespace dgr

STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CompositeExplicitAutograd, m) {
  m.impl("instruction_set", TORCH_BOX(&dgr::instruction_set));
}

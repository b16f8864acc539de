// How many threads the operators use.
#pragma once
#include <cstdint>

namespace dgr {

// What the operator set_num_threads was told, or as many as torch uses.
int64_t num_threads();

}  // namespace dgr

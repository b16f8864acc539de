// The CUDA backend: backend.h's functions, and what its operators need to know of the device.
#pragma once
#define DGR_BACKEND cuda
#include "../backend.h"

namespace dgr {
namespace cuda {

// Makes a card the current one of this thread.
int use_device(int index);
const char* error_text(int error);

}  // namespace cuda
}  // namespace dgr

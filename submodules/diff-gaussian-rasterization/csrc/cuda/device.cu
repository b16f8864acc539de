// Which card is in use, and what its errors mean.
#include "device.cuh"

namespace dgr {
namespace cuda {

int use_device(int index) { return cudaSetDevice(index); }

const char* error_text(int error) {
  if (error == TOO_MANY_INTERSECTIONS) return TOO_MANY_INTERSECTIONS_TEXT;
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

}  // namespace cuda
}  // namespace dgr

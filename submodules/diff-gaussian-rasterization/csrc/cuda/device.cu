// The cards of this machine.
#include "device.cuh"

namespace gsr {
namespace cuda {

int device_count(int& count) {
  count = 0;
  const int error = cudaGetDeviceCount(&count);  // which leaves `count` alone where there is no driver
  if (error != 0) count = 0;
  return error;
}

int describe_device(int index, Device& device) {
  cudaDeviceProp properties;
  GSR_TRY(cudaGetDeviceProperties(&properties, index));
  static_assert(sizeof device.name == sizeof properties.name, "a name is copied whole");
  for (size_t i = 0; i < sizeof device.name; ++i) device.name[i] = properties.name[i];
  device.major = properties.major;
  device.minor = properties.minor;
  device.memory = properties.totalGlobalMem;
  GSR_TRY(cudaDriverGetVersion(&device.driver));
  return cudaRuntimeGetVersion(&device.runtime);
}

int use_device(int index, int& before) {
  GSR_TRY(cudaGetDevice(&before));
  return before == index ? 0 : cudaSetDevice(index);
}

const char* error_text(int error) {
  if (error == TOO_MANY_INTERSECTIONS) return "over 2^31 splat-tile intersections; render a smaller image";
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

}  // namespace cuda
}  // namespace gsr

// project and project_backward on the CPU: in chunks, the camera's gradient added up in a fixed order.
#include <atomic>

#include "kernels.h"
#include "launch.h"
#include "parallel.h"

namespace dgr {
namespace cpu {

constexpr int64_t CHUNK = 2048;  // Gaussians

template <class T>
int project(const ProjectSettings& settings, const GaussianArrays<T>& gaussians, const SplatArrays<T>& splats,
            int64_t* num_nonfinite, void*) {
  const Kernels<T>& table =
      kernels<T>();  // chosen here: an error of the choice would lose its words inside the threads
  std::atomic<int64_t> nonfinite{0};
  for_each_chunk(gaussians.count, CHUNK, [&](int64_t begin, int64_t end, int64_t) {
    nonfinite += table.project(settings, gaussians, splats, begin, end);
  });
  *num_nonfinite = nonfinite;
  return 0;
}

template <class T>
int project_backward(const ProjectSettings& settings, const GaussianArrays<T>& gaussians,
                     const GaussianCotangents<T>& v, T* v_viewmat, const Allocator&, void*) {
  const Kernels<T>& table = kernels<T>();
  std::vector<T> pose(12 * ((gaussians.count + CHUNK - 1) / CHUNK));
  for_each_chunk(gaussians.count, CHUNK, [&](int64_t begin, int64_t end, int64_t chunk) {
    table.project_backward(settings, gaussians, v, begin, end, &pose[12 * chunk]);
  });
  for (int i = 0; i < 16; ++i) v_viewmat[i] = 0;  // the last row stays 0
  for (size_t first = 0; first < pose.size(); first += 12)
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 3; ++j) v_viewmat[4 * i + j] += pose[first + 3 * i + j];
      v_viewmat[4 * i + 3] += pose[first + 9 + i];
    }
  return 0;
}

DGR_INSTANTIATE_PROJECT(float)
DGR_INSTANTIATE_PROJECT(double)

}  // namespace cpu
}  // namespace dgr

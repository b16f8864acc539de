// project and project_backward on the CPU: allocate, split into chunks, reduce the camera's gradient in a fixed order.
#include "kernels.h"
#include "tensors.h"

namespace gsr {

static constexpr int64_t CHUNK = 2048;  // Gaussians

static ProjectSettings settings_of(const Tensor& features, int64_t width, int64_t height, double fx, double fy,
                                   double cx, double cy, double near, double scale_modifier, double alpha_min,
                                   int64_t sh_degree, bool antialiasing) {
  const int sh_count = features.dim() == 3 ? int(features.size(1)) : 1;
  return {{int(width), int(height)},
          fx,
          fy,
          cx,
          cy,
          near,
          scale_modifier,
          alpha_min,
          int(sh_degree),
          sh_count,
          antialiasing};
}

template <class T>
static GaussianArrays<T> arrays_of(const Tensor& means, const Tensor& scales, const Tensor& quats,
                                   const Tensor& opacities, const Tensor& features, const Tensor& viewmat) {
  return {means.size(0),      read<T>(means),    read<T>(scales), read<T>(quats),
          read<T>(opacities), read<T>(features), read<T>(viewmat)};
}

struct ProjectTensors {
  Tensor means2d, conics, opacities2d, colors, depths, reaches, radii, num_nonfinite;
};

template <class T>
static void run_project(const ProjectSettings& settings, const GaussianArrays<T>& gaussians, ProjectTensors& out) {
  const SplatArrays<T> splats = {write<T>(out.means2d),    write<T>(out.conics), write<T>(out.opacities2d),
                                 write<T>(out.colors),     write<T>(out.depths), write<T>(out.reaches),
                                 write<int32_t>(out.radii)};
  const Kernels<T>& chosen = kernels<T>();
  std::atomic<int64_t> nonfinite{0};
  for_each_chunk(gaussians.count, CHUNK, [&](int64_t begin, int64_t end, int64_t) {
    nonfinite += chosen.project(settings, gaussians, splats, begin, end);
  });
  *write<int64_t>(out.num_nonfinite) = nonfinite;
}

static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> project(
    Tensor means, Tensor scales, Tensor quats, Tensor opacities, Tensor features, Tensor viewmat, int64_t width,
    int64_t height, double fx, double fy, double cx, double cy, double near, double scale_modifier, double alpha_min,
    int64_t sh_degree, bool antialiasing) {
  const int64_t n = means.size(0);
  const ProjectSettings settings =
      settings_of(features, width, height, fx, fy, cx, cy, near, scale_modifier, alpha_min, sh_degree, antialiasing);
  ProjectTensors out = {empty(means, {n, 2}),    empty(means, {n, 3}),
                        empty(means, {n}),       empty(means, {n, 3}),
                        empty(means, {n}),       empty(means, {n}),
                        empty_int32(means, {n}), torch::stable::new_empty(means, {}, ScalarType::Long)};
  if (is_double(means))
    run_project<double>(settings, arrays_of<double>(means, scales, quats, opacities, features, viewmat), out);
  else
    run_project<float>(settings, arrays_of<float>(means, scales, quats, opacities, features, viewmat), out);
  return {out.means2d, out.conics, out.opacities2d, out.colors, out.depths, out.reaches, out.radii, out.num_nonfinite};
}

struct ProjectCotangentTensors {
  Tensor means, scales, quats, opacities, features, viewmat;
};

template <class T>
static void run_project_backward(const ProjectSettings& settings, const GaussianArrays<T>& gaussians,
                                 const Tensor& radii, const Tensor& v_means2d, const Tensor& v_conics,
                                 const Tensor& v_opacities2d, const Tensor& v_colors, const Tensor& v_depths,
                                 ProjectCotangentTensors& out) {
  const GaussianCotangents<T> v = {read<T>(v_means2d),      read<T>(v_conics),     read<T>(v_opacities2d),
                                   read<T>(v_colors),       read<T>(v_depths),     read<int32_t>(radii),
                                   write<T>(out.means),     write<T>(out.scales),  write<T>(out.quats),
                                   write<T>(out.opacities), write<T>(out.features)};
  const Kernels<T>& chosen = kernels<T>();
  std::vector<T> pose(12 * ((gaussians.count + CHUNK - 1) / CHUNK));
  for_each_chunk(gaussians.count, CHUNK, [&](int64_t begin, int64_t end, int64_t chunk) {
    chosen.project_backward(settings, gaussians, v, begin, end, &pose[12 * chunk]);
  });
  T* viewmat = write<T>(out.viewmat);  // (4, 4), its last row 0
  for (int i = 0; i < 16; ++i) viewmat[i] = 0;
  for (size_t first = 0; first < pose.size(); first += 12)
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 3; ++j) viewmat[4 * i + j] += pose[first + 3 * i + j];
      viewmat[4 * i + 3] += pose[first + 9 + i];
    }
}

static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> project_backward(
    Tensor means, Tensor scales, Tensor quats, Tensor opacities, Tensor features, Tensor viewmat, int64_t width,
    int64_t height, double fx, double fy, double cx, double cy, double near, double scale_modifier, double alpha_min,
    int64_t sh_degree, bool antialiasing, Tensor radii, Tensor v_means2d, Tensor v_conics, Tensor v_opacities2d,
    Tensor v_colors, Tensor v_depths) {
  const ProjectSettings settings =
      settings_of(features, width, height, fx, fy, cx, cy, near, scale_modifier, alpha_min, sh_degree, antialiasing);
  ProjectCotangentTensors out = {new_like(means),     new_like(scales),   new_like(quats),
                                 new_like(opacities), new_like(features), new_like(viewmat)};
  if (is_double(means))
    run_project_backward<double>(settings, arrays_of<double>(means, scales, quats, opacities, features, viewmat), radii,
                                 v_means2d, v_conics, v_opacities2d, v_colors, v_depths, out);
  else
    run_project_backward<float>(settings, arrays_of<float>(means, scales, quats, opacities, features, viewmat), radii,
                                v_means2d, v_conics, v_opacities2d, v_colors, v_depths, out);
  return {out.means, out.scales, out.quats, out.opacities, out.features, out.viewmat};
}

static std::string instruction_set_name() { return instruction_set(); }

}  // namespace gsr

STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CPU, m) {
  m.impl("project", TORCH_BOX(&gsr::project));
  m.impl("project_backward", TORCH_BOX(&gsr::project_backward));
}
STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CompositeExplicitAutograd, m) {
  m.impl("instruction_set", TORCH_BOX(&gsr::instruction_set_name));
}

// Projection of a block of Gaussians, W at a time: transpose rows into lanes, apply math/, transpose back.
#pragma once
#include "../project_constants.h"
#include "columns.h"

DGR_NAMESPACE_BEGIN

template <class L, class T>
DGR_FN Gaussian<L> load_gaussians(const ProjectConstants<T>& s, const GaussianArrays<T>& g, int64_t first,
                                  int64_t end) {
  const auto column = [&](const T* rows, int stride, int c) { return load_column<L>(rows, stride, c, first, end); };
  const L modifier = L(s.scale_modifier);
  return {{column(g.means, 3, 0), column(g.means, 3, 1), column(g.means, 3, 2)},
          {modifier * column(g.scales, 3, 0), modifier * column(g.scales, 3, 1), modifier * column(g.scales, 3, 2)},
          {column(g.quats, 4, 0), column(g.quats, 4, 1), column(g.quats, 4, 2), column(g.quats, 4, 3)},
          column(g.opacities, 1, 0)};
}

// Asks for the rows that the next block reads: rows in parts are too irregular for the hardware to foresee.
template <class T>
DGR_FN void prefetch_rows(const T* rows, int stride, int64_t first, int count) {
  const char* next = reinterpret_cast<const char*>(rows + first * stride);
  for (int byte = 0; byte < int(count * stride * sizeof(T)); byte += 64) __builtin_prefetch(next + byte);
}
// A block's SH coefficients, of which only those in use are loaded. They are most of what is read.
constexpr int MAX_FEATURES = 3 * SH_MAX_COUNT;
template <class L, class T>
DGR_FN void load_features(const ProjectConstants<T>& s, const GaussianArrays<T>& g, int64_t first, int64_t end,
                          L* features) {
  if (g.sh_rest == nullptr) {
    prefetch_rows(g.features, s.all(), first + L::width, L::width);
    load_columns(g.features, s.all(), s.used(), first, end, features);
    return;
  }
  const ShRows<const T*> rows = sh_rows(s, g.features, g.sh_rest);
  prefetch_rows(rows.rest, rows.rest_stride, first + L::width, L::width);
  load_columns(rows.first, rows.first_stride, SH_FIRST, first, end, features);
  load_columns(rows.rest, rows.rest_stride, s.used() - SH_FIRST, first, end, features + SH_FIRST);
}
// Stores them, and 0 for those not in use.
template <class L, class T>
DGR_FN void store_features(const ProjectConstants<T>& s, const GaussianCotangents<T>& v, int64_t first, int count,
                           const L* features) {
  const ShRows<T*> rows = sh_rows(s, v.v_features, v.v_sh_rest);
  const L zero = L(T(0));
  for (int c = s.used(); c < s.all(); ++c) store_column(rows.rest, rows.rest_stride, c - SH_FIRST, first, count, zero);
  if (v.v_sh_rest == nullptr) return store_columns(v.v_features, s.all(), s.used(), first, count, features);
  store_columns(rows.first, rows.first_stride, SH_FIRST, first, count, features);
  store_columns(rows.rest, rows.rest_stride, s.used() - SH_FIRST, first, count, features + SH_FIRST);
}

template <class L, class T>
DGR_FN Vec3<L> load_raw_color(const ProjectConstants<T>& s, const GaussianArrays<T>& g, const Pinhole<L>& camera,
                              Vec3<L> mean, int64_t first, int64_t end) {
  L features[MAX_FEATURES];
  load_features(s, g, first, end, features);
  return raw_color(s.sh_degree, camera, mean, features);
}

// Colors as they are: their sum, for culling, and where a Gaussian is visible the colors themselves, else 0.
template <class L, class T>
DGR_FN L sum_of_channels(const ProjectConstants<T>& s, const GaussianArrays<T>& g, int64_t first, int64_t end) {
  L total = L(T(0));
  for (int c = 0; c < s.channels; ++c) total += load_column<L>(g.features, s.channels, c, first, end);
  return total;
}
template <class L, class T>
DGR_FN void copy_channels(int channels, typename L::Mask visible, const T* from, int64_t first, int64_t end, int count,
                          T* to) {
  for (int c = 0; c < channels; ++c)
    store_column(to, channels, c, first, count,
                 select(visible, load_column<L>(from, channels, c, first, end), L(T(0))));
}

template <class L, class T>
int64_t project_block(const ProjectSettings& settings, const GaussianArrays<T>& g, const SplatArrays<T>& out,
                      int64_t begin, int64_t end) {
  const ProjectConstants<T> s = constants_of<T>(settings);
  const Pinhole<L> camera = camera_of<L>(s, g.viewmat);
  const L zero = L(T(0));
  int64_t nonfinite = 0;
  for (int64_t first = begin; first < end; first += L::width) {
    const int count = int(end - first < L::width ? end - first : L::width);
    const Gaussian<L> gaussian = load_gaussians<L>(s, g, first, end);
    const Splat<L> splat = project(camera, gaussian, s.splat_rules);
    const Vec3<L> raw =
        s.has_sh() ? load_raw_color(s, g, camera, gaussian.mean, first, end) : Vec3<L>{zero, zero, zero};
    const L color_sum = s.has_sh() ? raw.x + raw.y + raw.z : sum_of_channels<L>(s, g, first, end);
    const auto [e, finite, visible] = visibility(s.rules, gaussian, color_sum, splat);

    store_column(out.means2d, 2, 0, first, count, select(visible, splat.u, zero));
    store_column(out.means2d, 2, 1, first, count, select(visible, splat.v, zero));
    store_column(out.inv_cov_factor, 3, 0, first, count, select(visible, splat.xx, zero));
    store_column(out.inv_cov_factor, 3, 1, first, count, select(visible, splat.xy, zero));
    store_column(out.inv_cov_factor, 3, 2, first, count, select(visible, splat.yy, zero));
    store_column(out.opacities, 1, 0, first, count, select(visible, splat.opacity, zero));
    store_column(out.depths, 1, 0, first, count, select(visible, splat.depth, zero));
    if (s.splat_rules.has_slopes()) {
      store_column(out.depth_slopes, 2, 0, first, count, select(visible, splat.slope.x, zero));
      store_column(out.depth_slopes, 2, 1, first, count, select(visible, splat.slope.y, zero));
    }
    store_column(out.cutoff_sigmas, 1, 0, first, count, select(visible, e.radius, zero));
    if (s.has_sh()) {
      const Vec3<L> color = clamp_color(raw);
      store_column(out.colors, 3, 0, first, count, select(visible, color.x, zero));
      store_column(out.colors, 3, 1, first, count, select(visible, color.y, zero));
      store_column(out.colors, 3, 2, first, count, select(visible, color.z, zero));
    } else {
      copy_channels<L>(s.channels, visible, g.features, first, end, count, out.colors);
    }
    const L radius = splat_radius(e);
    for (int l = 0; l < count; ++l) {
      out.radii[first + l] = visible.m[l] ? int32_t(radius.v[l]) : 0;
      nonfinite += finite.m[l] ? 0 : 1;
    }
  }
  return nonfinite;
}

// d(color)/d(features) is the basis; d(color)/d(mean, pose) goes through the direction.
template <class L, class T>
DGR_FN void color_backward(const ProjectConstants<T>& s, const GaussianArrays<T>& g, const GaussianCotangents<T>& v,
                           const Pinhole<L>& camera, Vec3<L> mean, typename L::Mask visible, int64_t first, int64_t end,
                           int count, Vec3<L>& v_mean, PoseCotangent<L>& v_pose) {
  if (!s.has_sh()) {
    copy_channels<L>(s.channels, visible, v.v_colors, first, end, count, v.v_features);
    return;
  }
  const L zero = L(T(0));
  const auto cotangent = [&](int c) { return select(visible, load_column<L>(v.v_colors, 3, c, first, end), zero); };
  const Vec3<L> v_color = {cotangent(0), cotangent(1), cotangent(2)};
  L features[MAX_FEATURES];
  load_features(s, g, first, end, features);
  // Where nothing is seen the ray may be NaN, and the basis would be, which 0 does not silence.
  const Vec3<L> any_ray = view_ray(camera, mean),
                ray = {select(visible, any_ray.x, zero), select(visible, any_ray.y, zero),
                       select(visible, any_ray.z, zero)};
  color_vjp(s.sh_degree, camera, ray, v_color, features, v_mean, v_pose);
  store_features(s, v, first, count, features);
}

template <class L, class T>
void project_backward_block(const ProjectSettings& settings, const GaussianArrays<T>& g, const GaussianCotangents<T>& v,
                            int64_t begin, int64_t end, T* v_pose_out) {
  const ProjectConstants<T> s = constants_of<T>(settings);
  const Pinhole<L> camera = camera_of<L>(s, g.viewmat);
  const L zero = L(T(0));
  L pose[12];
  for (L& entry : pose) entry = zero;
  for (int64_t first = begin; first < end; first += L::width) {
    const int count = int(end - first < L::width ? end - first : L::width);
    typename L::Mask visible;
    for (int l = 0; l < L::width; ++l) visible.m[l] = l < count && v.radii[first + l] > 0 ? -1 : 0;

    const Gaussian<L> gaussian = load_gaussians<L>(s, g, first, end);
    const auto column = [&](const T* rows, int stride, int c) { return load_column<L>(rows, stride, c, first, end); };
    DepthSlope<L> v_slope = {zero, zero};
    if (s.splat_rules.has_slopes()) v_slope = {column(v.v_depth_slopes, 2, 0), column(v.v_depth_slopes, 2, 1)};
    const Splat<L> v_splat = {column(v.v_means2d, 2, 0),        column(v.v_means2d, 2, 1),
                              column(v.v_inv_cov_factor, 3, 0), column(v.v_inv_cov_factor, 3, 1),
                              column(v.v_inv_cov_factor, 3, 2), column(v.v_opacities2d, 1, 0),
                              column(v.v_depths, 1, 0),         v_slope};
    const Vec3<L> none = {zero, zero, zero};
    PoseCotangent<L> v_pose = {{{{zero, zero, zero}, {zero, zero, zero}, {zero, zero, zero}}}, none};
    Gaussian<L> v_gaussian = project_vjp(camera, gaussian, s.splat_rules, v_splat, v_pose);
    color_backward(s, g, v, camera, gaussian.mean, visible, first, end, count, v_gaussian.mean, v_pose);

    const L modifier = L(s.scale_modifier);
    const auto put = [&](T* rows, int stride, int c, L value) {
      store_column(rows, stride, c, first, count, select(visible, value, zero));
    };
    put(v.v_means, 3, 0, v_gaussian.mean.x);
    put(v.v_means, 3, 1, v_gaussian.mean.y);
    put(v.v_means, 3, 2, v_gaussian.mean.z);
    put(v.v_scales, 3, 0, modifier * v_gaussian.scale.x);
    put(v.v_scales, 3, 1, modifier * v_gaussian.scale.y);
    put(v.v_scales, 3, 2, modifier * v_gaussian.scale.z);
    put(v.v_quats, 4, 0, v_gaussian.quat.w);
    put(v.v_quats, 4, 1, v_gaussian.quat.x);
    put(v.v_quats, 4, 2, v_gaussian.quat.y);
    put(v.v_quats, 4, 3, v_gaussian.quat.z);
    put(v.v_opacities, 1, 0, v_gaussian.opacity);
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) pose[3 * i + j] += select(visible, v_pose.rotation.m[i][j], zero);
    pose[9] += select(visible, v_pose.translation.x, zero);
    pose[10] += select(visible, v_pose.translation.y, zero);
    pose[11] += select(visible, v_pose.translation.z, zero);
  }
  for (int i = 0; i < 12; ++i) v_pose_out[i] = sum(pose[i]);
}

DGR_NAMESPACE_END

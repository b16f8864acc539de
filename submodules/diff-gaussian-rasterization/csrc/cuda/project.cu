// project and project_backward on CUDA: a thread for each Gaussian.
//
// Features (SH coefficients) are most of what is read and written, up to 192 bytes in a row. A warp stages the rows of
// its 32 Gaussians in shared memory, so that it reads and writes them as whole lines.
#include "../project_constants.h"
#include "reduce.cuh"

namespace dgr {
namespace cuda {

template <class T>
__device__ __forceinline__ Vec3<T> load3(const T* rows, int64_t i) {
  return {rows[3 * i], rows[3 * i + 1], rows[3 * i + 2]};
}
template <class T>
__device__ __forceinline__ void store3(T* rows, int64_t i, Vec3<T> value) {
  rows[3 * i] = value.x;
  rows[3 * i + 1] = value.y;
  rows[3 * i + 2] = value.z;
}

template <class T>
__device__ __forceinline__ Gaussian<T> load_gaussian(const ProjectConstants<T>& s, const GaussianArrays<T>& g,
                                                     int64_t i) {
  return {load3(g.means, i),
          s.scale_modifier * load3(g.scales, i),
          {g.quats[4 * i], g.quats[4 * i + 1], g.quats[4 * i + 2], g.quats[4 * i + 3]},
          g.opacities[i]};
}

// ---- features of a warp's Gaussians

constexpr int MAX_FEATURES = 3 * SH_MAX_COUNT;
template <class T>
struct FeatureRows {
  T at[WARP][MAX_FEATURES + 1];  // an odd stride: lanes that read a column of it meet no other lane in a bank
};

// As many as fit in the 48 KiB that every card has: 25 KiB in both precisions.
template <class T>
constexpr int project_threads() {
  return 512 / sizeof(T);
}

// Loads the first s.used() features of those Gaussians first + lane that `wanted` has a bit for.
template <class T>
__device__ __forceinline__ void load_features(const ProjectConstants<T>& s, const GaussianArrays<T>& g, int64_t first,
                                              unsigned wanted, FeatureRows<T>& rows) {
  const int lane = threadIdx.x % WARP, used = s.used();
  const ShRows<const T*> from = sh_rows(s, g.features, g.sh_rest);
#pragma unroll 4
  for (int row = 0; row < WARP; ++row)
    if (wanted >> row & 1)
      for (int c = lane; c < used; c += WARP) rows.at[row][c] = *from.at(first + row, c);
  __syncwarp();
}
// Stores them, and 0 for those not in use, for Gaussians before `end`.
template <class T>
__device__ __forceinline__ void store_features(const ProjectConstants<T>& s, const FeatureRows<T>& rows, int64_t first,
                                               int64_t end, const GaussianCotangents<T>& v) {
  __syncwarp();
  const int lane = threadIdx.x % WARP, used = s.used(), all = s.all();
  const ShRows<T*> to = sh_rows(s, v.v_features, v.v_sh_rest);
  const int count = end - first < WARP ? int(end - first) : WARP;
  for (int row = 0; row < count; ++row)
    for (int c = lane; c < all; c += WARP) *to.at(first + row, c) = c < used ? rows.at[row][c] : T(0);
}

// ---- forward

// Without its color.
template <class T>
__device__ __forceinline__ void store_splat(const SplatArrays<T>& out, int64_t i, const Splat<T>& splat, T cutoff,
                                            int32_t radius) {
  out.means2d[2 * i] = splat.u;
  out.means2d[2 * i + 1] = splat.v;
  store3(out.inv_cov_factor, i, {splat.xx, splat.xy, splat.yy});
  out.opacities[i] = splat.opacity;
  out.depths[i] = splat.depth;
  if (out.depth_slopes != nullptr) {
    out.depth_slopes[2 * i] = splat.slope.x;
    out.depth_slopes[2 * i + 1] = splat.slope.y;
  }
  out.cutoff_sigmas[i] = cutoff;
  out.radii[i] = radius;
}

// Colors as they are: their sum, for culling, and where a Gaussian is visible the colors themselves, else 0.
template <class T>
__device__ __forceinline__ T sum_of_channels(int channels, const T* colors, int64_t i) {
  T total = T(0);
  for (int c = 0; c < channels; ++c) total += colors[channels * i + c];
  return total;
}
template <class T>
__device__ __forceinline__ void copy_channels(int channels, bool visible, const T* from, int64_t i, T* to) {
  for (int c = 0; c < channels; ++c) to[channels * i + c] = visible ? from[channels * i + c] : T(0);
}

// Registers for at least six blocks on a multiprocessor in float32.
template <class T>
__global__ void __launch_bounds__(project_threads<T>(), sizeof(T) == sizeof(float) ? 6 : 1)
    project_kernel(ProjectConstants<T> s, GaussianArrays<T> g, SplatArrays<T> out, unsigned long long* num_nonfinite) {
  __shared__ FeatureRows<T> staged[project_threads<T>() / WARP];
  const int64_t i = int64_t(blockIdx.x) * project_threads<T>() + threadIdx.x, first = i - threadIdx.x % WARP;
  if (first >= g.count) return;
  FeatureRows<T>& rows = staged[threadIdx.x / WARP];
  const bool exists = i < g.count;
  load_features(s, g, first, __ballot_sync(ALL_LANES, exists && s.has_sh()), rows);

  bool finite = true;
  if (exists) {
    const Pinhole<T> camera = camera_of<T>(s, g.viewmat);
    const Gaussian<T> gaussian = load_gaussian(s, g, i);
    const Vec3<T> raw =
        s.has_sh() ? raw_color(s.sh_degree, camera, gaussian.mean, rows.at[threadIdx.x % WARP]) : Vec3<T>{};
    const T color_sum = s.has_sh() ? raw.x + raw.y + raw.z : sum_of_channels(s.channels, g.features, i);
    const Splat<T> splat = dgr::project(camera, gaussian, s.splat_rules);
    const Visibility<T> seen = visibility(s.rules, gaussian, color_sum, splat);
    finite = seen.finite;
    if (seen.visible)
      store_splat(out, i, splat, seen.ellipse.radius, int32_t(splat_radius(seen.ellipse)));
    else
      store_splat(out, i, Splat<T>{}, T(0), 0);
    if (s.has_sh())
      store3(out.colors, i, seen.visible ? clamp_color(raw) : Vec3<T>{});
    else
      copy_channels(s.channels, seen.visible, g.features, i, out.colors);
  }
  const unsigned culled = __ballot_sync(ALL_LANES, !finite);
  if (culled != 0 && threadIdx.x % WARP == 0) atomicAdd(num_nonfinite, (unsigned long long)(__popc(culled)));
}

template <class T>
int project(const ProjectSettings& settings, const GaussianArrays<T>& gaussians, const SplatArrays<T>& splats,
            int64_t* num_nonfinite, void* stream) {
  DGR_TRY(cudaMemsetAsync(num_nonfinite, 0, sizeof *num_nonfinite, static_cast<cudaStream_t>(stream)));
  constexpr int THREADS = project_threads<T>();
  return launch(project_kernel<T>, blocks_for(gaussians.count, THREADS), THREADS, stream, constants_of<T>(settings),
                gaussians, splats, reinterpret_cast<unsigned long long*>(num_nonfinite));
}

// ---- backward

template <class T>
__device__ __forceinline__ void store_cotangent(const ProjectConstants<T>& s, const GaussianCotangents<T>& v, int64_t i,
                                                const Gaussian<T>& v_gaussian) {
  store3(v.v_means, i, v_gaussian.mean);
  store3(v.v_scales, i, s.scale_modifier * v_gaussian.scale);
  v.v_quats[4 * i] = v_gaussian.quat.w;
  v.v_quats[4 * i + 1] = v_gaussian.quat.x;
  v.v_quats[4 * i + 2] = v_gaussian.quat.y;
  v.v_quats[4 * i + 3] = v_gaussian.quat.z;
  v.v_opacities[i] = v_gaussian.opacity;
}

constexpr int POSE = 12;  // rotation row by row, then translation

template <class T>
__global__ void __launch_bounds__(project_threads<T>())
    project_backward_kernel(ProjectConstants<T> s, GaussianArrays<T> g, GaussianCotangents<T> v, T* poses) {
  constexpr int WARPS = project_threads<T>() / WARP;
  __shared__ FeatureRows<T> staged[WARPS];
  const int64_t i = int64_t(blockIdx.x) * project_threads<T>() + threadIdx.x, first = i - threadIdx.x % WARP;
  FeatureRows<T>& rows = staged[threadIdx.x / WARP];
  T* features = rows.at[threadIdx.x % WARP];
  const bool visible = i < g.count && v.radii[i] > 0;
  load_features(s, g, first, __ballot_sync(ALL_LANES, visible && s.has_sh()), rows);

  PoseCotangent<T> v_pose = {};
  Gaussian<T> v_gaussian = {};
  if (visible) {
    const Pinhole<T> camera = camera_of<T>(s, g.viewmat);
    const Gaussian<T> gaussian = load_gaussian(s, g, i);
    Vec3<T> v_mean = {};
    if (s.has_sh())
      color_vjp(s.sh_degree, camera, view_ray(camera, gaussian.mean), load3(v.v_colors, i), features, v_mean, v_pose);
    const Vec3<T> factor = load3(v.v_inv_cov_factor, i);
    DepthSlope<T> v_slope = {};
    if (s.splat_rules.has_slopes()) v_slope = {v.v_depth_slopes[2 * i], v.v_depth_slopes[2 * i + 1]};
    const Splat<T> v_splat = {v.v_means2d[2 * i], v.v_means2d[2 * i + 1], factor.x,      factor.y,
                              factor.z,           v.v_opacities2d[i],     v.v_depths[i], v_slope};
    v_gaussian = project_vjp(camera, gaussian, s.splat_rules, v_splat, v_pose);
    v_gaussian.mean = v_gaussian.mean + v_mean;
  } else if (s.has_sh()) {
    for (int c = 0; c < s.used(); ++c) features[c] = T(0);
  }
  if (i < g.count) store_cotangent(s, v, i, v_gaussian);
  if (s.has_sh() && first < g.count) store_features(s, rows, first, g.count, v);
  if (!s.has_sh() && i < g.count) copy_channels(s.channels, visible, v.v_colors, i, v.v_features);

  const auto& r = v_pose.rotation.m;
  const Vec3<T>& t = v_pose.translation;
  T pose[POSE] = {r[0][0], r[0][1], r[0][2], r[1][0], r[1][1], r[1][2], r[2][0], r[2][1], r[2][2], t.x, t.y, t.z};
  const T total = block_sum<POSE, WARPS>(pose);
  if (threadIdx.x < POSE) poses[int64_t(blockIdx.x) * POSE + threadIdx.x] = total;
}

// (12) -> (4, 4), whose last row is 0.
template <class T>
__global__ void write_viewmat(const T* pose, T* v_viewmat) {
  const int row = threadIdx.x / 4, column = threadIdx.x % 4;
  v_viewmat[threadIdx.x] = row == 3 ? T(0) : pose[column < 3 ? 3 * row + column : 9 + row];
}

template <class T>
int project_backward(const ProjectSettings& settings, const GaussianArrays<T>& gaussians,
                     const GaussianCotangents<T>& cotangents, T* v_viewmat, const Allocator& allocator, void* stream) {
  constexpr int THREADS = project_threads<T>();
  const int64_t blocks = blocks_for(gaussians.count, THREADS);
  T *poses = scratch<T>(allocator, blocks * POSE), *pose = scratch<T>(allocator, POSE);
  DGR_TRY(launch(project_backward_kernel<T>, unsigned(blocks), THREADS, stream, constants_of<T>(settings), gaussians,
                 cotangents, poses));
  DGR_TRY(launch(sum_rows<POSE, T>, 1, SUM_THREADS, stream, poses, blocks, pose));
  return launch(write_viewmat<T>, 1, 16, stream, pose, v_viewmat);
}

DGR_INSTANTIATE_PROJECT(float)
DGR_INSTANTIATE_PROJECT(double)

}  // namespace cuda
}  // namespace dgr

// ProjectSettings in a kernel's precision, the same for every backend.
#pragma once
#include "math/cull.h"
#include "params.h"

DGR_NAMESPACE_BEGIN

template <class T>
struct ProjectConstants {
  T fx, fy, cx, cy, limit_x, limit_y;
  CullRules<T> rules;
  SplatRules<T> splat_rules;
  T scale_modifier;
  int sh_degree, sh_count, channels;
  DGR_FN bool has_sh() const { return sh_degree >= 0; }
  // How many numbers of a Gaussian's SH are in use, and how many it has.
  DGR_FN int used() const { return 3 * dgr::sh_count(sh_degree); }
  DGR_FN int all() const { return 3 * sh_count; }
};
template <class T>
ProjectConstants<T> constants_of(const ProjectSettings& s) {
  return {T(s.fx),
          T(s.fy),
          T(s.cx),
          T(s.cy),
          T(slope_limit(s.image.width, s.fx)),
          T(slope_limit(s.image.height, s.fy)),
          {s.image.width, s.image.height, T(s.near), T(s.alpha_min)},
          {s.antialiasing, T(s.depth_reach)},
          T(s.scale_modifier),
          s.sh_degree,
          s.sh_count,
          s.channels};
}

// Where a Gaussian's SH coefficients lie: the first in one row, the others behind it or in another. P points to numbers.
constexpr int SH_FIRST = 3;  // numbers
template <class P>
struct ShRows {
  P first, rest;
  int first_stride, rest_stride;
  DGR_FN P at(int64_t i, int c) const {
    return c < SH_FIRST ? first + i * first_stride + c : rest + i * rest_stride + (c - SH_FIRST);
  }
};
template <class P, class T>
DGR_FN ShRows<P> sh_rows(const ProjectConstants<T>& s, P features, P rest) {
  const int all = s.all();
  if (rest == nullptr) return {features, features + SH_FIRST, all, all};
  return {features, rest, SH_FIRST, all - SH_FIRST};
}

template <class V, class T>
DGR_FN Pinhole<V> camera_of(const ProjectConstants<T>& s, const T* viewmat) {
  Pinhole<V> camera;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) camera.rotation.m[i][j] = V(viewmat[4 * i + j]);
  camera.translation = {V(viewmat[3]), V(viewmat[7]), V(viewmat[11])};
  camera.fx = V(s.fx);
  camera.fy = V(s.fy);
  camera.cx = V(s.cx);
  camera.cy = V(s.cy);
  camera.limit_x = V(s.limit_x);
  camera.limit_y = V(s.limit_y);
  return camera;
}

DGR_NAMESPACE_END

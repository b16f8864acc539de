// The pinhole camera: a point's pixel, and the Jacobian with which a Gaussian is projected.
#pragma once
#include "linalg.h"

DGR_NAMESPACE_BEGIN

// viewmat's rotation and translation, the intrinsics in pixels, and the bounds of x/z and y/z inside J.
template <class V>
struct Pinhole {
  Mat3<V> rotation;
  Vec3<V> translation;
  V fx, fy, cx, cy;
  V limit_x, limit_y;  // 1.3·W/(2·fx), 1.3·H/(2·fy)
};

// The slope x/z up to which J follows it, on an axis of `size` pixels.
inline double slope_limit(double size, double focal) { return 1.3 * size / (2 * focal); }

// p = R·mean + t
template <class V>
DGR_FN Vec3<V> to_camera(const Pinhole<V>& camera, Vec3<V> mean) {
  return multiply(camera.rotation, mean) + camera.translation;
}
template <class V>
DGR_FN void to_camera_vjp(const Pinhole<V>& camera, Vec3<V> mean, Vec3<V> v, Vec3<V>& v_mean, Mat3<V>& v_rotation,
                          Vec3<V>& v_translation) {
  v_mean = v_mean + multiply_transposed(camera.rotation, v);
  accumulate_outer(v, mean, v_rotation);
  v_translation = v_translation + v;
}

// A pixel and the four entries of J = ∂(pixel)/∂(p) that are not 0 by form: J = [xx 0 xz; 0 yy yz].
template <class V>
struct PixelAndJacobian {
  V u, v;
  V xx, xz, yy, yz;
};

// The slopes x/z and y/z are clamped in J alone, where a point far outside the image would make it explode.
template <class V>
DGR_FN PixelAndJacobian<V> pinhole(const Pinhole<V>& camera, Vec3<V> p) {
  using S = Scalar<V>;
  const V inverse_z = S(1) / p.z, slope_x = p.x * inverse_z, slope_y = p.y * inverse_z;
  const V clamped_x = clamp(slope_x, -camera.limit_x, camera.limit_x);
  const V clamped_y = clamp(slope_y, -camera.limit_y, camera.limit_y);
  return {camera.fx * slope_x + camera.cx,    camera.fy * slope_y + camera.cy, camera.fx * inverse_z,
          -camera.fx * clamped_x * inverse_z, camera.fy * inverse_z,           -camera.fy * clamped_y * inverse_z};
}
// With the slope clamped, xz = −fx·limit/z: it still depends on z, once, and no longer on x.
template <class V>
DGR_FN Vec3<V> pinhole_vjp(const Pinhole<V>& camera, Vec3<V> p, const PixelAndJacobian<V>& v) {
  using S = Scalar<V>;
  const V zero = V(S(0));
  const V inverse_z = S(1) / p.z, slope_x = p.x * inverse_z, slope_y = p.y * inverse_z;
  const V clamped_x = clamp(slope_x, -camera.limit_x, camera.limit_x);
  const V clamped_y = clamp(slope_y, -camera.limit_y, camera.limit_y);
  const V v_slope_x =
      camera.fx * v.u + select(absolute(slope_x) <= camera.limit_x, -camera.fx * inverse_z * v.xz, zero);
  const V v_slope_y =
      camera.fy * v.v + select(absolute(slope_y) <= camera.limit_y, -camera.fy * inverse_z * v.yz, zero);
  const V v_inverse_z =
      camera.fx * (v.xx - clamped_x * v.xz) + camera.fy * (v.yy - clamped_y * v.yz) + v_slope_x * p.x + v_slope_y * p.y;
  return {v_slope_x * inverse_z, v_slope_y * inverse_z, -v_inverse_z * inverse_z * inverse_z};
}

// From the camera's center −Rᵀt to the mean: the direction (not of unit length) in which SH are seen.
template <class V>
DGR_FN Vec3<V> view_ray(const Pinhole<V>& camera, Vec3<V> mean) {
  return mean + multiply_transposed(camera.rotation, camera.translation);
}
template <class V>
DGR_FN void view_ray_vjp(const Pinhole<V>& camera, Vec3<V> v, Vec3<V>& v_mean, Mat3<V>& v_rotation,
                         Vec3<V>& v_translation) {
  v_mean = v_mean + v;
  accumulate_outer(camera.translation, v, v_rotation);
  v_translation = v_translation + multiply(camera.rotation, v);
}

DGR_NAMESPACE_END

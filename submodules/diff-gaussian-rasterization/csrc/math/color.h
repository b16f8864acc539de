// What color a Gaussian shows to a camera: its harmonics in the direction from there, not below 0.
#pragma once
#include "camera.h"
#include "sh.h"

DGR_NAMESPACE_BEGIN

// What a Gaussian's cotangents add to the camera's.
template <class V>
struct PoseCotangent {
  Mat3<V> rotation;
  Vec3<V> translation;
};

// Before it is clamped. `coefficients` are (16, 3), of which those of the degree are read.
template <class V>
DGR_FN Vec3<V> raw_color(int degree, const Pinhole<V>& camera, Vec3<V> mean, const V* coefficients) {
  V basis[SH_MAX_COUNT] = {};  // gcc does not see that nobody reads what is beyond the degree
  sh_basis(degree, unit(view_ray(camera, mean)), basis);
  return sh_color(degree, coefficients, basis);
}

template <class V>
DGR_FN Vec3<V> clamp_color(Vec3<V> raw) {
  const V zero = V(Scalar<V>(0));
  return {maximum(raw.x, zero), maximum(raw.y, zero), maximum(raw.z, zero)};
}
template <class V>
DGR_FN Vec3<V> clamp_color_vjp(Vec3<V> raw, Vec3<V> v) {
  const V zero = V(Scalar<V>(0));
  return {select(raw.x > zero, v.x, zero), select(raw.y > zero, v.y, zero), select(raw.z > zero, v.z, zero)};
}

// Of both together. `ray` is the view_ray. The coefficients become their cotangents.
template <class V>
DGR_FN void color_vjp(int degree, const Pinhole<V>& camera, Vec3<V> ray, Vec3<V> v, V* coefficients, Vec3<V>& v_mean,
                      PoseCotangent<V>& v_pose) {
  V basis[SH_MAX_COUNT] = {}, v_basis[SH_MAX_COUNT] = {};
  const Vec3<V> direction = unit(ray);
  sh_basis(degree, direction, basis);
  const Vec3<V> v_raw = clamp_color_vjp(sh_color(degree, coefficients, basis), v);
  sh_color_vjp(degree, coefficients, basis, v_raw, v_basis);
  if (degree > 0)
    view_ray_vjp(camera, unit_vjp(ray, sh_basis_vjp(degree, direction, v_basis)), v_mean, v_pose.rotation,
                 v_pose.translation);
}

DGR_NAMESPACE_END

// A Gaussian in the world becomes a splat in the image: the whole projection, and its derivative.
#pragma once
#include "color.h"
#include "footprint.h"
#include "quaternion.h"

DGR_NAMESPACE_BEGIN

template <class V>
struct Gaussian {
  Vec3<V> mean;   // world units
  Vec3<V> scale;  // standard deviations along the local axes, world units, scale_modifier included
  Quat<V> quat;   // any length but 0
  V opacity;
};

template <class V>
struct Splat {
  V u, v;               // center, pixels
  V xx, xy, yy;         // triangular factor of the inverse covariance, 1/pixels (footprint.h)
  V opacity;            // antialiasing's compensation included
  V depth;              // z in the camera's frame
  DepthSlope<V> slope;  // of the inverse depth over the pixels; 0 where all pixels have the center's depth
};

// Columns: the Gaussian's axes in the camera's frame, each as long as its standard deviation.
template <class V>
DGR_FN Mat3<V> scaled_axes(const Mat3<V>& turn, Vec3<V> scale) {
  Mat3<V> axes;
  for (int i = 0; i < 3; ++i) {
    axes.m[i][0] = turn.m[i][0] * scale.x;
    axes.m[i][1] = turn.m[i][1] * scale.y;
    axes.m[i][2] = turn.m[i][2] * scale.z;
  }
  return axes;
}
template <class V>
DGR_FN void scaled_axes_vjp(const Mat3<V>& turn, Vec3<V> scale, const Mat3<V>& v, Mat3<V>& v_turn, Vec3<V>& v_scale) {
  V length[3];
  for (int k = 0; k < 3; ++k)
    length[k] = v.m[0][k] * turn.m[0][k] + v.m[1][k] * turn.m[1][k] + v.m[2][k] * turn.m[2][k];
  v_scale = {length[0], length[1], length[2]};
  v_turn = scaled_axes(v, scale);
}

// How Gaussians become splats, besides the camera.
template <class S>
struct SplatRules {
  bool antialiasing;
  S depth_reach;  // see pixel_depth_covariance; 0: all pixels have the center's depth
  DGR_FN bool has_slopes() const { return depth_reach > S(0); }
};

template <class V>
DGR_FN Splat<V> project(const Pinhole<V>& camera, const Gaussian<V>& g, const SplatRules<Scalar<V>>& rules) {
  const V zero = V(Scalar<V>(0));
  const Vec3<V> p = to_camera(camera, g.mean);
  const PixelAndJacobian<V> pixel = pinhole(camera, p);
  const Mat3<V> turn = multiply(camera.rotation, rotation(normalize(g.quat)));
  const Mat3<V> axes = scaled_axes(turn, g.scale);
  const PixelCovariance<V> covariance = pixel_covariance(pixel, axes);
  const Footprint<V> f = footprint(covariance);
  DepthSlope<V> slope = {zero, zero};
  if (rules.has_slopes()) slope = depth_slope(pixel_depth_covariance(covariance, axes, p.z, V(rules.depth_reach)), p.z);
  const V opacity = rules.antialiasing ? g.opacity * f.compensation : g.opacity;
  return {pixel.u, pixel.v, f.xx, f.xy, f.yy, opacity, p.z, slope};
}

template <class V>
DGR_FN Gaussian<V> project_vjp(const Pinhole<V>& camera, const Gaussian<V>& g, const SplatRules<Scalar<V>>& rules,
                               const Splat<V>& v, PoseCotangent<V>& v_pose) {
  using S = Scalar<V>;
  const V zero = V(S(0));
  const Vec3<V> p = to_camera(camera, g.mean);
  const PixelAndJacobian<V> pixel = pinhole(camera, p);
  const Quat<V> q = normalize(g.quat);
  const Mat3<V> local = rotation(q), turn = multiply(camera.rotation, local), axes = scaled_axes(turn, g.scale);
  const PixelCovariance<V> covariance = pixel_covariance(pixel, axes);
  const Footprint<V> f = footprint(covariance);

  const Footprint<V> v_f = {v.xx, v.xy, v.yy, rules.antialiasing ? v.opacity * g.opacity : zero};
  PixelAndJacobian<V> v_pixel = {v.u, v.v, zero, zero, zero, zero};
  Mat3<V> v_axes, v_turn;
  V v_z = v.depth;
  pixel_covariance_vjp(pixel, axes, covariance, footprint_vjp(covariance, f, v_f), v_pixel, v_axes);
  if (rules.has_slopes())
    depth_slope_vjp(pixel, axes, covariance, f, pixel_depth_covariance(covariance, axes, p.z, V(rules.depth_reach)),
                    p.z, v.slope, v_pixel, v_axes, v_z);

  Gaussian<V> v_g;
  scaled_axes_vjp(turn, g.scale, v_axes, v_turn, v_g.scale);
  accumulate_product_transposed(v_turn, local, v_pose.rotation);
  v_g.quat = normalize_vjp(g.quat, rotation_vjp(q, multiply_transposed(camera.rotation, v_turn)));

  Vec3<V> v_p = pinhole_vjp(camera, p, v_pixel);
  v_p.z += v_z;
  v_g.mean = {zero, zero, zero};
  to_camera_vjp(camera, g.mean, v_p, v_g.mean, v_pose.rotation, v_pose.translation);
  v_g.opacity = rules.antialiasing ? v.opacity * f.compensation : v.opacity;
  return v_g;
}

DGR_NAMESPACE_END

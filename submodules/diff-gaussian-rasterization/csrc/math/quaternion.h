// Rotations from quaternions (w, x, y, z) of any length but 0.
#pragma once
#include "linalg.h"

DGR_NAMESPACE_BEGIN

template <class V>
struct Quat {
  V w, x, y, z;
};

// q/‖q‖
template <class V>
DGR_FN Quat<V> normalize(Quat<V> q) {
  using S = Scalar<V>;
  const V inverse = S(1) / square_root(q.w * q.w + q.x * q.x + q.y * q.y + q.z * q.z);
  return {q.w * inverse, q.x * inverse, q.y * inverse, q.z * inverse};
}
// The cotangent's part along q cannot matter: the length was divided away.
template <class V>
DGR_FN Quat<V> normalize_vjp(Quat<V> q, Quat<V> v) {
  using S = Scalar<V>;
  const V inverse = S(1) / square_root(q.w * q.w + q.x * q.x + q.y * q.y + q.z * q.z);
  const Quat<V> u = {q.w * inverse, q.x * inverse, q.y * inverse, q.z * inverse};
  const V along = u.w * v.w + u.x * v.x + u.y * v.y + u.z * v.z;
  return {(v.w - along * u.w) * inverse, (v.x - along * u.x) * inverse, (v.y - along * u.y) * inverse,
          (v.z - along * u.z) * inverse};
}

// The rotation matrix of a unit quaternion.
template <class V>
DGR_FN Mat3<V> rotation(Quat<V> q) {
  using S = Scalar<V>;
  const V one = V(S(1)), two = V(S(2));
  return {{{one - two * (q.y * q.y + q.z * q.z), two * (q.x * q.y - q.w * q.z), two * (q.x * q.z + q.w * q.y)},
           {two * (q.x * q.y + q.w * q.z), one - two * (q.x * q.x + q.z * q.z), two * (q.y * q.z - q.w * q.x)},
           {two * (q.x * q.z - q.w * q.y), two * (q.y * q.z + q.w * q.x), one - two * (q.x * q.x + q.y * q.y)}}};
}
// Derivative of the nine polynomials above, with q's four numbers taken as free.
template <class V>
DGR_FN Quat<V> rotation_vjp(Quat<V> q, const Mat3<V>& v) {
  using S = Scalar<V>;
  const V two = V(S(2));
  const V(&g)[3][3] = v.m;
  return {two * (q.x * (g[2][1] - g[1][2]) + q.y * (g[0][2] - g[2][0]) + q.z * (g[1][0] - g[0][1])),
          two * (q.w * (g[2][1] - g[1][2]) + q.y * (g[0][1] + g[1][0]) + q.z * (g[0][2] + g[2][0]) -
                 two * q.x * (g[1][1] + g[2][2])),
          two * (q.w * (g[0][2] - g[2][0]) + q.x * (g[0][1] + g[1][0]) + q.z * (g[1][2] + g[2][1]) -
                 two * q.y * (g[0][0] + g[2][2])),
          two * (q.w * (g[1][0] - g[0][1]) + q.x * (g[0][2] + g[2][0]) + q.y * (g[1][2] + g[2][1]) -
                 two * q.z * (g[0][0] + g[1][1]))};
}

DGR_NAMESPACE_END

// Real spherical harmonics of degree 0..3, in the order and with the signs of 3DGS files.
//
// The basis is the usual one with the Condon–Shortley phase: band l's coefficients stand in order m = −l..l.
#pragma once
#include "linalg.h"

DGR_NAMESPACE_BEGIN

constexpr int sh_count(int degree) { return (degree + 1) * (degree + 1); }

// The basis functions at the unit direction d. Entries above the degree are left alone.
template <class V>
DGR_FN void sh_basis(int degree, Vec3<V> d, V basis[16]) {
  using S = Scalar<V>;
  basis[0] = V(S(0.28209479177387814));  // 1/(2√π)
  if (degree < 1) return;
  const V x = d.x, y = d.y, z = d.z;
  const S c1 = S(0.4886025119029199);  // √(3/4π)
  basis[1] = -c1 * y;
  basis[2] = c1 * z;
  basis[3] = -c1 * x;
  if (degree < 2) return;
  const S c2 = S(1.0925484305920792);    // √(15/4π)
  const S c20 = S(0.31539156525252005);  // √(5/16π)
  const S c22 = S(0.5462742152960396);   // √(15/16π)
  const V xx = x * x, yy = y * y, zz = z * z;
  basis[4] = c2 * x * y;
  basis[5] = -c2 * y * z;
  basis[6] = c20 * (S(2) * zz - xx - yy);
  basis[7] = -c2 * x * z;
  basis[8] = c22 * (xx - yy);
  if (degree < 3) return;
  const S c33 = S(0.5900435899266435);  // √(35/32π)
  const S c32 = S(2.890611442640554);   // √(105/4π)
  const S c31 = S(0.4570457994644658);  // √(21/32π)
  const S c30 = S(0.3731763325901154);  // √(7/16π)
  const S c3m = S(1.445305721320277);   // √(105/16π)
  basis[9] = -c33 * y * (S(3) * xx - yy);
  basis[10] = c32 * x * y * z;
  basis[11] = -c31 * y * (S(4) * zz - xx - yy);
  basis[12] = c30 * z * (S(2) * zz - S(3) * xx - S(3) * yy);
  basis[13] = -c31 * x * (S(4) * zz - xx - yy);
  basis[14] = c3m * z * (xx - yy);
  basis[15] = -c33 * x * (xx - S(3) * yy);
}
// The polynomials above differentiated, with d's three numbers taken as free.
template <class V>
DGR_FN Vec3<V> sh_basis_vjp(int degree, Vec3<V> d, const V v[16]) {
  using S = Scalar<V>;
  const V zero = V(S(0));
  Vec3<V> g = {zero, zero, zero};
  if (degree < 1) return g;
  const V x = d.x, y = d.y, z = d.z;
  const S c1 = S(0.4886025119029199);
  g = {-c1 * v[3], -c1 * v[1], c1 * v[2]};
  if (degree < 2) return g;
  const S c2 = S(1.0925484305920792), c20 = S(0.31539156525252005), c22 = S(0.5462742152960396);
  g.x += c2 * (y * v[4] - z * v[7]) - S(2) * c20 * x * v[6] + S(2) * c22 * x * v[8];
  g.y += c2 * (x * v[4] - z * v[5]) - S(2) * c20 * y * v[6] - S(2) * c22 * y * v[8];
  g.z += -c2 * (y * v[5] + x * v[7]) + S(4) * c20 * z * v[6];
  if (degree < 3) return g;
  const S c33 = S(0.5900435899266435), c32 = S(2.890611442640554), c31 = S(0.4570457994644658),
          c30 = S(0.3731763325901154), c3m = S(1.445305721320277);
  const V xx = x * x, yy = y * y, zz = z * z, xy = x * y, xz = x * z, yz = y * z;
  g.x += -S(6) * c33 * xy * v[9] + c32 * yz * v[10] + S(2) * c31 * xy * v[11] - S(6) * c30 * xz * v[12] -
         c31 * (S(4) * zz - S(3) * xx - yy) * v[13] + S(2) * c3m * xz * v[14] - S(3) * c33 * (xx - yy) * v[15];
  g.y += -S(3) * c33 * (xx - yy) * v[9] + c32 * xz * v[10] - c31 * (S(4) * zz - xx - S(3) * yy) * v[11] -
         S(6) * c30 * yz * v[12] + S(2) * c31 * xy * v[13] - S(2) * c3m * yz * v[14] + S(6) * c33 * xy * v[15];
  g.z += c32 * xy * v[10] - S(8) * c31 * yz * v[11] + c30 * (S(6) * zz - S(3) * xx - S(3) * yy) * v[12] -
         S(8) * c31 * xz * v[13] + c3m * (xx - yy) * v[14];
  return g;
}

// Σ basis·coefficient + ½: the color before it is clamped at 0 from below. Coefficients are (16, 3), those in use alone are read.
constexpr int SH_MAX_COUNT = sh_count(3);
template <class V>
DGR_FN Vec3<V> sh_color(int degree, const V* coefficients, const V basis[SH_MAX_COUNT]) {
  const V half = V(Scalar<V>(0.5));
  Vec3<V> color = {half, half, half};
  for (int k = 0; k < SH_MAX_COUNT; ++k)
    if (k < sh_count(degree))
      color = color + basis[k] * Vec3<V>{coefficients[3 * k], coefficients[3 * k + 1], coefficients[3 * k + 2]};
  return color;
}
// Puts the coefficients' cotangents in their place, and the basis functions' in v_basis.
template <class V>
DGR_FN void sh_color_vjp(int degree, V* coefficients, const V basis[SH_MAX_COUNT], Vec3<V> v, V v_basis[SH_MAX_COUNT]) {
  for (int k = 0; k < SH_MAX_COUNT; ++k)
    if (k < sh_count(degree)) {
      V* c = coefficients + 3 * k;
      v_basis[k] = c[0] * v.x + c[1] * v.y + c[2] * v.z;
      c[0] = basis[k] * v.x;
      c[1] = basis[k] * v.y;
      c[2] = basis[k] * v.z;
    }
}

// d/‖d‖, and 0 for 0: a camera in a Gaussian's very center sees no direction, but must not see NaN.
template <class V>
DGR_FN V inverse_length(Vec3<V> d) {
  using S = Scalar<V>;
  const V square = dot(d, d), zero = V(S(0));
  return select(square > zero, S(1) / square_root(square), zero);
}
template <class V>
DGR_FN Vec3<V> unit(Vec3<V> d) {
  return inverse_length(d) * d;
}
template <class V>
DGR_FN Vec3<V> unit_vjp(Vec3<V> d, Vec3<V> v) {
  const V inverse = inverse_length(d);
  const Vec3<V> u = inverse * d;
  return inverse * (v + (-dot(u, v)) * u);
}

DGR_NAMESPACE_END

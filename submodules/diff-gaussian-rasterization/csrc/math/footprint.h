// A Gaussian's footprint in the image (EWA splatting, Zwicker et al. 2002), in a form that float32 can bear.
//
// With A = J·R·R(q)·diag(s), a 2×3 matrix, the covariance in pixels is Σ₂ = A·Aᵀ + λI, λ = 0.3. For a needle its
// determinant as a·c − b² loses all digits in float32. By Cauchy–Binet, det(A·Aᵀ) is the sum of the squared 2×2 minors of
// A, and det Σ₂ = det(A·Aᵀ) + λ·tr(A·Aᵀ) + λ²: sums of positive terms. For the same reason the inverse is handed on as
// its triangular factor: dᵀ·Σ₂⁻¹·d = (xx·dx + xy·dy)² + (yy·dy)², which loses half the digits of the expanded form.
#pragma once
#include "camera.h"

DGR_NAMESPACE_BEGIN

// The upper triangular factor of Σ₂⁻¹ (`inv_cov_factor` in the arrays), and the opacity's factor with antialiasing.
template <class V>
struct Footprint {
  V xx, xy, yy;
  V compensation;
};

// Σ₂'s parts that Footprint needs, kept for its derivative.
template <class V>
struct PixelCovariance {
  V a[2][3];    // A
  V minors[3];  // of columns (0,1), (0,2), (1,2)
  V xy, yy;     // of Σ₂, blur included
  V det_sharp;  // det(A·Aᵀ)
  V det;        // det Σ₂
};

template <class V>
DGR_FN PixelCovariance<V> pixel_covariance(const PixelAndJacobian<V>& j, const Mat3<V>& axes) {
  using S = Scalar<V>;
  const V blur = V(S(0.3));
  PixelCovariance<V> c;
  for (int k = 0; k < 3; ++k) {
    c.a[0][k] = j.xx * axes.m[0][k] + j.xz * axes.m[2][k];
    c.a[1][k] = j.yy * axes.m[1][k] + j.yz * axes.m[2][k];
  }
  const V(&a)[2][3] = c.a;
  c.minors[0] = a[0][0] * a[1][1] - a[0][1] * a[1][0];
  c.minors[1] = a[0][0] * a[1][2] - a[0][2] * a[1][0];
  c.minors[2] = a[0][1] * a[1][2] - a[0][2] * a[1][1];
  const V xx = a[0][0] * a[0][0] + a[0][1] * a[0][1] + a[0][2] * a[0][2];
  const V yy = a[1][0] * a[1][0] + a[1][1] * a[1][1] + a[1][2] * a[1][2];
  c.xy = a[0][0] * a[1][0] + a[0][1] * a[1][1] + a[0][2] * a[1][2];
  c.yy = yy + blur;
  c.det_sharp = c.minors[0] * c.minors[0] + c.minors[1] * c.minors[1] + c.minors[2] * c.minors[2];
  c.det = c.det_sharp + blur * (xx + yy) + blur * blur;
  return c;
}

// Cotangents of what Footprint reads: Σ₂'s xy and yy, and both determinants.
template <class V>
struct PixelCovarianceCotangent {
  V xy, yy, det_sharp, det;
};

// -> cotangents of J and of the scaled axes (columns of R·R(q)·diag(s)).
template <class V>
DGR_FN void pixel_covariance_vjp(const PixelAndJacobian<V>& j, const Mat3<V>& axes, const PixelCovariance<V>& c,
                                 const PixelCovarianceCotangent<V>& v, PixelAndJacobian<V>& v_j, Mat3<V>& v_axes) {
  using S = Scalar<V>;
  const V two = V(S(2)), blur = V(S(0.3));
  const V(&a)[2][3] = c.a;
  const V v_xx = blur * v.det, v_yy = v.yy + blur * v.det, v_det_sharp = v.det_sharp + v.det;
  const V v01 = two * v_det_sharp * c.minors[0], v02 = two * v_det_sharp * c.minors[1],
          v12 = two * v_det_sharp * c.minors[2];
  const V v_a[2][3] = {{two * v_xx * a[0][0] + v.xy * a[1][0] + v01 * a[1][1] + v02 * a[1][2],
                        two * v_xx * a[0][1] + v.xy * a[1][1] - v01 * a[1][0] + v12 * a[1][2],
                        two * v_xx * a[0][2] + v.xy * a[1][2] - v02 * a[1][0] - v12 * a[1][1]},
                       {two * v_yy * a[1][0] + v.xy * a[0][0] - v01 * a[0][1] - v02 * a[0][2],
                        two * v_yy * a[1][1] + v.xy * a[0][1] + v01 * a[0][0] - v12 * a[0][2],
                        two * v_yy * a[1][2] + v.xy * a[0][2] + v02 * a[0][0] + v12 * a[0][1]}};
  for (int k = 0; k < 3; ++k) {
    v_j.xx += v_a[0][k] * axes.m[0][k];
    v_j.xz += v_a[0][k] * axes.m[2][k];
    v_j.yy += v_a[1][k] * axes.m[1][k];
    v_j.yz += v_a[1][k] * axes.m[2][k];
    v_axes.m[0][k] = j.xx * v_a[0][k];
    v_axes.m[1][k] = j.yy * v_a[1][k];
    v_axes.m[2][k] = j.xz * v_a[0][k] + j.yz * v_a[1][k];
  }
}

// compensation = sqrt(max(det(Σ₂ − λI)/det Σ₂, 0.000025)) (Mip-Splatting, Yu et al. 2024, eq. 9, with a floor).
template <class V>
DGR_FN Footprint<V> footprint(const PixelCovariance<V>& c) {
  using S = Scalar<V>;
  const V inverse_det = S(1) / c.det, inverse_yy = S(1) / c.yy;
  return {square_root(c.yy * inverse_det), -c.xy * square_root(inverse_det * inverse_yy), square_root(inverse_yy),
          square_root(maximum(c.det_sharp * inverse_det, V(S(0.000025))))};
}
// Powers of yy and det, so each derivative is the value times exponent over argument; the floor has none.
template <class V>
DGR_FN PixelCovarianceCotangent<V> footprint_vjp(const PixelCovariance<V>& c, const Footprint<V>& f,
                                                 const Footprint<V>& v) {
  using S = Scalar<V>;
  const V half = V(S(0.5)), zero = V(S(0));
  const V inverse_det = S(1) / c.det, inverse_yy = S(1) / c.yy;
  const V x = v.xx * f.xx, xy = v.xy * f.xy, y = v.yy * f.yy;
  const V v_compensation = select(c.det_sharp * inverse_det > V(S(0.000025)), v.compensation, zero);
  return {-v.xy * square_root(inverse_det * inverse_yy), half * (x - xy - y) * inverse_yy,
          half * v_compensation * inverse_det / f.compensation,
          -half * (x + xy + v_compensation * f.compensation) * inverse_det};
}

DGR_NAMESPACE_END

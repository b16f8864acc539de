// A Gaussian's footprint in the image (EWA splatting, Zwicker et al. 2002), in a form that float32 can bear.
//
// With A = J·R·R(q)·diag(s), a 2×3 matrix, the covariance in pixels is Σ₂ = A·Aᵀ + λI, λ = 0.3. For a needle its
// determinant as a·c − b² loses all digits in float32. By Cauchy–Binet, det(A·Aᵀ) is the sum of the squared 2×2 minors of
// A, and det Σ₂ = det(A·Aᵀ) + λ·tr(A·Aᵀ) + λ²: sums of positive terms. For the same reason the inverse is handed on as
// its triangular factor: dᵀ·Σ₂⁻¹·d = (xx·dx + xy·dy)² + (yy·dy)², which loses half the digits of the expanded form.
//
// Pixel and depth are jointly Gaussian. So the depth that is likeliest at a pixel moves with the pixel by g = Σ₂⁻¹·c, with c = A·b
// their covariance and b the depths (camera's z) of the axes: see DepthSlope.
#pragma once
#include <limits>

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

// How a splat's inverse depth changes over the pixels: 1/z_i = 1/z − x·dx − y·dy at the offset (dx, dy) from a pixel to the
// splat's center, in 1/(world units·pixel). The surface through the center on which the Gaussian is densest along every ray
// has an inverse depth that is affine in the pixel; its depth is not. MATH.md derives it.
template <class V>
struct DepthSlope {
  V x, y;
};

// The 2×2 minors of two rows of A or of the axes' depths: their cross product.
template <class V>
DGR_FN Vec3<V> row_minors(const V (&a)[3], const V (&b)[3]) {
  return {a[0] * b[1] - a[1] * b[0], a[0] * b[2] - a[2] * b[0], a[1] * b[2] - a[2] * b[1]};
}

// What DepthSlope is made of.
template <class V>
struct PixelDepthCovariance {
  V c[2];       // of pixel and depth, pixels·world units
  V g[2];       // Σ₂⁻¹·c: how depth moves with the pixel, world units/pixel
  V explained;  // c·g: what of the depth's variance the pixel explains
  V held;       // f: what is left of g where it would take the splat out of (z/2, ∞)
};

// (Σ₂⁻¹·c)·det Σ₂ is λ·c and a product of minors, by Binet and Cauchy: as written out, yy·c_x − xy·c_y loses a needle's digits.
// A splat is seen where dᵀ·Σ₂⁻¹·d ≤ 2·ln(1/alpha_min), `depth_reach` is twice the root of that. There |g·d| ≤ √explained·reach/2
// (Cauchy, Schwarz), so that with f = min(1, z/(reach·√explained)) all 1/z_i stay above half of 1/z, also around the camera.
template <class V>
DGR_FN PixelDepthCovariance<V> pixel_depth_covariance(const PixelCovariance<V>& p, const Mat3<V>& axes, V z,
                                                      V depth_reach) {
  using S = Scalar<V>;
  const V blur = V(S(0.3)), tiny = V(std::numeric_limits<S>::min());
  const V(&b)[3] = axes.m[2];
  PixelDepthCovariance<V> d;
  for (int i = 0; i < 2; ++i) d.c[i] = p.a[i][0] * b[0] + p.a[i][1] * b[1] + p.a[i][2] * b[2];
  const Vec3<V> across = {p.minors[0], p.minors[1], p.minors[2]};
  const V inverse_det = S(1) / p.det;
  d.g[0] = (blur * d.c[0] - dot(across, row_minors(p.a[1], b))) * inverse_det;
  d.g[1] = (blur * d.c[1] + dot(across, row_minors(p.a[0], b))) * inverse_det;
  d.explained = maximum(d.c[0] * d.g[0] + d.c[1] * d.g[1], tiny);
  d.held = minimum(z / (depth_reach * square_root(d.explained)), V(S(1)));
  return d;
}

template <class V>
DGR_FN DepthSlope<V> depth_slope(const PixelDepthCovariance<V>& d, V z) {
  const V scale = -d.held / (z * z);
  return {scale * d.g[0], scale * d.g[1]};
}
// Adds to the cotangents of J and z, and to those of the axes.
template <class V>
DGR_FN void depth_slope_vjp(const PixelAndJacobian<V>& j, const Mat3<V>& axes, const PixelCovariance<V>& p,
                            const Footprint<V>& f, const PixelDepthCovariance<V>& d, V z, const DepthSlope<V>& v,
                            PixelAndJacobian<V>& v_j, Mat3<V>& v_axes, V& v_z) {
  using S = Scalar<V>;
  const V zero = V(S(0)), half = V(S(0.5)), inverse_z = S(1) / z;
  const V along = (d.g[0] * v.x + d.g[1] * v.y) * inverse_z * inverse_z;  // −∂L/∂held
  const Mask<V> is_held = d.held < V(S(1));
  const V v_explained = select(is_held, half * along * d.held / d.explained, zero);
  v_z += S(2) * d.held * along * inverse_z - select(is_held, along * d.held * inverse_z, zero);
  const V scale = -d.held * inverse_z * inverse_z;
  const V v_g[2] = {scale * v.x + v_explained * d.c[0], scale * v.y + v_explained * d.c[1]};
  // y = Σ₂⁻¹·v_g by the triangular factor
  const V slant = f.xx * v_g[0] + f.xy * v_g[1], rise = f.yy * v_g[1];
  const V y[2] = {f.xx * slant, f.xy * slant + f.yy * rise};
  const V v_c[2] = {y[0] + v_explained * d.g[0], y[1] + v_explained * d.g[1]};
  for (int k = 0; k < 3; ++k) {
    const V depth = axes.m[2][k], a0 = p.a[0][k], a1 = p.a[1][k];
    const V g_a = d.g[0] * a0 + d.g[1] * a1, y_a = y[0] * a0 + y[1] * a1;
    const V v_a0 = v_c[0] * depth - y[0] * g_a - d.g[0] * y_a, v_a1 = v_c[1] * depth - y[1] * g_a - d.g[1] * y_a;
    v_j.xx += v_a0 * axes.m[0][k];
    v_j.xz += v_a0 * depth;
    v_j.yy += v_a1 * axes.m[1][k];
    v_j.yz += v_a1 * depth;
    v_axes.m[0][k] += j.xx * v_a0;
    v_axes.m[1][k] += j.yy * v_a1;
    v_axes.m[2][k] += j.xz * v_a0 + j.yz * v_a1 + v_c[0] * a0 + v_c[1] * a1;
  }
}

DGR_NAMESPACE_END

// Structural similarity (Wang et al. 2004, eq. 13) of two signals x and y in [0,1] at one pixel, from means under a window.
//
// Variances are E[x²] − E[x]², which cancels: in float32 they are off by some 1e-7·E[x]². Beside C2 that changes the
// similarity of bright flat regions in the fourth decimal, and nothing in dark or textured ones. float64 is for exactness.
#pragma once
#include "real.h"

DGR_NAMESPACE_BEGIN

constexpr int SSIM_RADIUS = 5;  // pixels
constexpr int SSIM_WINDOW = 2 * SSIM_RADIUS + 1;

// The window along one axis: a Gaussian with σ = 1.5 pixels whose weights add up to 1.
template <class T>
struct SsimWeights {
  T at[SSIM_WINDOW];
};
template <class T>
DGR_FN SsimWeights<T> ssim_weights() {
  double total = 0, gaussian[SSIM_WINDOW];
  for (int k = 0; k < SSIM_WINDOW; ++k) {
    const double offset = (k - SSIM_RADIUS) / 1.5;
    total += gaussian[k] = exp(-0.5 * offset * offset);
  }
  SsimWeights<T> weights;
  for (int k = 0; k < SSIM_WINDOW; ++k) weights.at[k] = T(gaussian[k] / total);
  return weights;
}

// Under the window: E[x], E[y], E[x²] + E[y²], which is all that is asked of the two, and E[xy].
template <class V>
struct SsimMeans {
  V x, y, squares, product;
};
template <class V>
DGR_FN void add_pixel(SsimMeans<V>& means, V weight, V x, V y) {
  const V wx = weight * x, wy = weight * y;
  means.x += wx;
  means.y += wy;
  means.squares += wx * x + wy * y;
  means.product += wx * y;
}

// Of the similarity by the means.
template <class V>
struct SsimCotangent {
  V x, y, squares, product;
};
// What a pixel of x receives from all windows that hold it: `mean` and the others are sums of weight·cotangent.
template <class V>
DGR_FN V pixel_vjp(V x, V y, V mean, V squares, V product) {
  return mean + Scalar<V>(2) * x * squares + y * product;
}

// ssim = luminance[0]·structure[0]/(luminance[1]·structure[1])
template <class V>
struct SsimFactors {
  V luminance[2];  // 2·E[x]·E[y] + C1, E[x]² + E[y]² + C1
  V structure[2];  // 2·cov + C2, var x + var y + C2
  V inverse;       // of the product of the denominators
};
template <class V>
DGR_FN SsimFactors<V> ssim_factors(const SsimMeans<V>& m) {
  using S = Scalar<V>;
  const V c1 = V(S(0.01 * 0.01)), c2 = V(S(0.03 * 0.03)), squares = m.x * m.x + m.y * m.y, product = m.x * m.y;
  // Never negative but by rounding, which far beyond [0,1] could otherwise make the denominator 0.
  const V variances = maximum(m.squares - squares, V(S(0)));
  SsimFactors<V> f = {{S(2) * product + c1, squares + c1}, {S(2) * (m.product - product) + c2, variances + c2}, V()};
  f.inverse = S(1) / (f.luminance[1] * f.structure[1]);
  return f;
}
template <class V>
DGR_FN V ssim(const SsimFactors<V>& f) {
  return f.luminance[0] * f.structure[0] * f.inverse;
}
// With S = ssim, and l, s its factors: ∂S/∂E[xy] = 2·l₀/(l₁·s₁), ∂S/∂(E[x²] + E[y²]) = −S/s₁,
// ∂S/∂E[x] = 2·E[y]·(s₀ − l₀)/(l₁·s₁) + 2·E[x]·(S/s₁ − S/l₁).
template <class V>
DGR_FN SsimCotangent<V> ssim_vjp(const SsimMeans<V>& m, const SsimFactors<V>& f, V v) {
  using S = Scalar<V>;
  const V v_inverse = v * f.inverse, similarity = ssim(f);
  const V other = S(2) * v_inverse * (f.structure[0] - f.luminance[0]);
  const V own = S(2) * v_inverse * similarity * (f.luminance[1] - f.structure[1]);
  return {other * m.y + own * m.x, other * m.x + own * m.y, -(v_inverse * similarity * f.luminance[1]),
          S(2) * v_inverse * f.luminance[0]};
}

DGR_NAMESPACE_END

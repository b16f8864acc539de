// The few operations in which a scalar and a vector of lanes differ, so that every formula is written once.
//
// Every function in math/ is a template over a "real" V: float, double, or lanes of either (cpu/simd.h). One source then
// serves the CUDA threads (V scalar), the SIMD backends (V lanes) and the float64 proofs. Formulas never branch on
// values: `select` chooses between results, since lanes of one vector may differ.
//
// Conventions: `f_vjp` stands beside `f`; a cotangent of x is v_x; `+=` on a v_ argument means it accumulates.
#pragma once
#include <cmath>

#if defined(__CUDACC__)
#define DGR_FN __host__ __device__ __forceinline__
#else
#define DGR_FN inline __attribute__((always_inline))
#endif

// Before a loop over channels: GCC otherwise leaves some in memory. Other compilers unroll such loops by themselves.
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#define DGR_UNROLL _Pragma("GCC unroll 16")
#else
#define DGR_UNROLL
#endif

// Each instruction set compiles these headers for itself. Without a namespace of its own, the linker could keep the
// AVX-512 copy of an inline function for everybody.
#ifndef DGR_ISA
#define DGR_ISA scalar
#endif
#define DGR_NAMESPACE_BEGIN \
  namespace dgr {           \
  inline namespace DGR_ISA {
#define DGR_NAMESPACE_END \
  }                       \
  }

DGR_NAMESPACE_BEGIN

// Scalar<V> is the element type of V; Mask<V> is what a comparison of two V gives.
template <class V>
struct RealTraits {
  using Scalar = V;
  using Mask = bool;
};
template <class V>
using Scalar = typename RealTraits<V>::Scalar;
template <class V>
using Mask = typename RealTraits<V>::Mask;

DGR_FN float select(bool c, float a, float b) { return c ? a : b; }
DGR_FN double select(bool c, double a, double b) { return c ? a : b; }
DGR_FN float square_root(float x) { return sqrtf(x); }
DGR_FN double square_root(double x) { return sqrt(x); }
DGR_FN float exponential2(float x) { return exp2f(x); }
DGR_FN double exponential2(double x) { return exp2(x); }
DGR_FN float absolute(float x) { return fabsf(x); }
DGR_FN double absolute(double x) { return fabs(x); }
DGR_FN float logarithm(float x) { return logf(x); }
DGR_FN double logarithm(double x) { return log(x); }
// ln(1 + x), to all digits where x is small; for x ≥ 0.
DGR_FN float logarithm1p(float x) { return log1pf(x); }
DGR_FN double logarithm1p(double x) { return log1p(x); }
// exp(x) − 1, to all digits where x is small; of lanes for 0 ≤ x ≤ ½.
DGR_FN float exponential_minus_1(float x) { return expm1f(x); }
DGR_FN double exponential_minus_1(double x) { return expm1(x); }
// To the whole number above or below; of lanes, for numbers that an integer of their size can hold.
DGR_FN float round_up(float x) { return ceilf(x); }
DGR_FN double round_up(double x) { return ceil(x); }
DGR_FN float round_down(float x) { return floorf(x); }
DGR_FN double round_down(double x) { return floor(x); }
DGR_FN bool any(bool m) { return m; }

template <class V>
DGR_FN V minimum(V a, V b) {
  return select(a < b, a, b);
}
template <class V>
DGR_FN V maximum(V a, V b) {
  return select(a > b, a, b);
}
template <class V>
DGR_FN V clamp(V x, V low, V high) {
  return minimum(maximum(x, low), high);
}
// False for NaN and both infinities, whose difference with themselves is NaN.
template <class V>
DGR_FN Mask<V> is_finite(V x) {
  return x - x == V(Scalar<V>(0));
}

DGR_NAMESPACE_END

// Lanes: W numbers that go through a formula together. GCC's and clang's vector extensions, so that one source
// serves SSE2, AVX2, AVX-512 and NEON. W times the element must be no wider than the instruction set's registers.
#pragma once
#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "../math/real.h"

DGR_NAMESPACE_BEGIN

template <class T>
struct IntegerOf;
template <>
struct IntegerOf<float> {
  using type = int32_t;
  using unsigned_type = uint32_t;
};
template <>
struct IntegerOf<double> {
  using type = int64_t;
  using unsigned_type = uint64_t;
};

// One bit for each lane of a mask. Lanes are all ones or all zeros, so their signs tell; that is one instruction where there
// is one, and a loop elsewhere.
template <class Integer, class RawInteger>
DGR_FN uint32_t sign_bits(RawInteger mask) {
  [[maybe_unused]] constexpr bool narrow = sizeof(Integer) == 4;
#if defined(__AVX512DQ__)
  if constexpr (sizeof mask == 64)
    return narrow ? _mm512_movepi32_mask((__m512i)mask) : _mm512_movepi64_mask((__m512i)mask);
#endif
#if defined(__AVX__)
  if constexpr (sizeof mask == 32) return narrow ? _mm256_movemask_ps((__m256)mask) : _mm256_movemask_pd((__m256d)mask);
#endif
#if defined(__SSE2__)
  if constexpr (sizeof mask == 16) return narrow ? _mm_movemask_ps((__m128)mask) : _mm_movemask_pd((__m128d)mask);
#endif
  uint32_t all = 0;
  for (unsigned l = 0; l < sizeof mask / sizeof(Integer); ++l) all |= uint32_t(mask[l] < 0) << l;
  return all;
}

template <class T, int W>
struct Lanes {
  using Integer = typename IntegerOf<T>::type;
  typedef T Raw __attribute__((vector_size(W * sizeof(T))));
  typedef Integer RawInteger __attribute__((vector_size(W * sizeof(T))));
  static constexpr int width = W;
  Raw v;

  Lanes() = default;
  DGR_FN Lanes(T s) : v(s - Raw{}) {}  // s − 0 is s for every s, so this is a broadcast and no sum
  DGR_FN static Lanes of(Raw r) {
    Lanes lanes;
    lanes.v = r;
    return lanes;
  }

  struct Mask {
    RawInteger m;
    DGR_FN friend Mask operator&(Mask a, Mask b) { return {a.m & b.m}; }
    DGR_FN friend Mask operator|(Mask a, Mask b) { return {a.m | b.m}; }
    DGR_FN friend Mask operator!(Mask a) { return {~a.m}; }
  };

  DGR_FN static Lanes load(const T* p) {
    Raw r;
    __builtin_memcpy(&r, p, sizeof r);
    return of(r);
  }
  DGR_FN void store(T* p) const { __builtin_memcpy(p, &v, sizeof v); }

  DGR_FN friend Lanes operator+(Lanes a, Lanes b) { return of(a.v + b.v); }
  DGR_FN friend Lanes operator-(Lanes a, Lanes b) { return of(a.v - b.v); }
  DGR_FN friend Lanes operator*(Lanes a, Lanes b) { return of(a.v * b.v); }
  DGR_FN friend Lanes operator/(Lanes a, Lanes b) { return of(a.v / b.v); }
  DGR_FN friend Lanes operator-(Lanes a) { return of(-a.v); }
  DGR_FN Lanes& operator+=(Lanes b) {
    v += b.v;
    return *this;
  }
  DGR_FN friend Mask operator<(Lanes a, Lanes b) { return {a.v < b.v}; }
  DGR_FN friend Mask operator>(Lanes a, Lanes b) { return {a.v > b.v}; }
  DGR_FN friend Mask operator<=(Lanes a, Lanes b) { return {a.v <= b.v}; }
  DGR_FN friend Mask operator>=(Lanes a, Lanes b) { return {a.v >= b.v}; }
  DGR_FN friend Mask operator==(Lanes a, Lanes b) { return {a.v == b.v}; }
  DGR_FN friend Lanes select(Mask c, Lanes a, Lanes b) { return of(c.m ? a.v : b.v); }
  DGR_FN friend Lanes absolute(Lanes a) {
    const Integer magnitude = Integer(~(typename IntegerOf<T>::unsigned_type(1) << (8 * sizeof(T) - 1)));
    return of((Raw)((RawInteger)a.v & (RawInteger{} + magnitude)));
  }
  // Lane by lane: the compilers turn this loop into one instruction.
  DGR_FN friend Lanes square_root(Lanes a) {
    for (int l = 0; l < W; ++l) a.v[l] = dgr::square_root(T(a.v[l]));
    return a;
  }
  DGR_FN friend Lanes logarithm(Lanes a) {
    for (int l = 0; l < W; ++l) a.v[l] = dgr::logarithm(T(a.v[l]));
    return a;
  }
  // One instruction where there is one; elsewhere by truncation, and a step back where that went the wrong way.
  DGR_FN friend Lanes round_down(Lanes a) {
#if defined(__SSE4_1__)
    for (int l = 0; l < W; ++l) a.v[l] = dgr::round_down(T(a.v[l]));
    return a;
#else
    const Lanes whole = of(__builtin_convertvector(__builtin_convertvector(a.v, RawInteger), Raw));
    return whole - select(whole > a, Lanes(T(1)), Lanes(T(0)));
#endif
  }
  DGR_FN friend Lanes round_up(Lanes a) { return -round_down(-a); }
  DGR_FN friend uint32_t bits(Mask c) { return sign_bits<Integer>(c.m); }
  DGR_FN friend bool any(Mask c) { return bits(c) != 0; }
};

template <class T, int W>
struct RealTraits<Lanes<T, W>> {
  using Scalar = T;
  using Mask = typename Lanes<T, W>::Mask;
};

// As in math/real.h, NaN included, but in one instruction: where one side is a constant, GCC compares and then blends.
#if defined(__AVX__)
DGR_FN Lanes<float, 8> maximum(Lanes<float, 8> a, Lanes<float, 8> b) {
  return Lanes<float, 8>::of(_mm256_max_ps(a.v, b.v));
}
DGR_FN Lanes<float, 8> minimum(Lanes<float, 8> a, Lanes<float, 8> b) {
  return Lanes<float, 8>::of(_mm256_min_ps(a.v, b.v));
}
#endif
#if defined(__AVX512F__)
DGR_FN Lanes<float, 16> maximum(Lanes<float, 16> a, Lanes<float, 16> b) {
  return Lanes<float, 16>::of(_mm512_maskz_max_ps(0xffff, a.v, b.v));
}
DGR_FN Lanes<float, 16> minimum(Lanes<float, 16> a, Lanes<float, 16> b) {
  return Lanes<float, 16>::of(_mm512_maskz_min_ps(0xffff, a.v, b.v));
}
#endif

// 2^x for x ≤ 0. float32: x = n + f with |f| ≤ ½; 2^f by a polynomial fitted at Chebyshev nodes (relative error 1e-7, that of
// float32 itself); 2^n by adding n to the exponent. float64 is for proofs, so exactness matters there and speed does not.
template <int W>
DGR_FN Lanes<float, W> exponential2(Lanes<float, W> x) {
  using L = Lanes<float, W>;
  const L bounded = maximum(x, L(-126.f));
  const L rounded = bounded + L(12582912.f);  // 1.5·2²³: the sum's low bits are the nearest integer
  const L f = bounded - (rounded - L(12582912.f));
  L p = L(1.340043217e-3f);
  p = p * f + L(9.676037098e-3f);
  p = p * f + L(5.550327214e-2f);
  p = p * f + L(2.402210736e-1f);
  p = p * f + L(6.931472067e-1f);
  p = p * f + L(1.000000075f);
  return L::of((typename L::Raw)((typename L::RawInteger)p.v + ((typename L::RawInteger)rounded.v << 23)));
}
template <int W>
DGR_FN Lanes<double, W> exponential2(Lanes<double, W> x) {
  for (int l = 0; l < W; ++l) x.v[l] = dgr::exponential2(double(x.v[l]));
  return x;
}

// ln(1 + x) for x > −1. float32: 1 + x = 2^n·m with √½ ≤ m < √2; ln m by a polynomial fitted at Chebyshev nodes; what
// rounding took from x in the sum 1 + x is added again, which for small x is all there is (relative error 2e-7).
template <int W>
DGR_FN Lanes<float, W> logarithm1p(Lanes<float, W> x) {
  using L = Lanes<float, W>;
  using Bits = typename L::RawInteger;
  const L one = L(1.f), sum = one + x, lost = (x - (sum - one)) / sum;
  const Bits exponent = ((Bits)sum.v - 0x3f3504f3) >> 23;  // the bits of √½
  const L f = L::of((typename L::Raw)((Bits)sum.v - (exponent << 23))) - one;
  const L n = L::of(__builtin_convertvector(exponent, typename L::Raw));
  L p = L(-7.5559251e-2f);
  p = p * f + L(1.2408337e-1f);
  p = p * f + L(-1.30231634e-1f);
  p = p * f + L(1.42391115e-1f);
  p = p * f + L(-1.66402727e-1f);
  p = p * f + L(2.00002685e-1f);
  p = p * f + L(-2.50003576e-1f);
  p = p * f + L(3.33333373e-1f);
  return f + (f * f * (f * p - L(0.5f)) + (lost + n * L(6.931471806e-1f)));
}
template <int W>
DGR_FN Lanes<double, W> logarithm1p(Lanes<double, W> x) {
  for (int l = 0; l < W; ++l) x.v[l] = dgr::logarithm1p(double(x.v[l]));
  return x;
}

// exp(x) − 1 for 0 ≤ x ≤ ½. float32: the series Σ xⁿ/n! up to n = 7 (relative error 2e-7).
template <int W>
DGR_FN Lanes<float, W> exponential_minus_1(Lanes<float, W> x) {
  using L = Lanes<float, W>;
  L p = L(1.98412698e-4f);
  p = p * x + L(1.38888889e-3f);
  p = p * x + L(8.33333333e-3f);
  p = p * x + L(4.16666667e-2f);
  p = p * x + L(1.66666667e-1f);
  p = p * x + L(0.5f);
  p = p * x + L(1.f);
  return p * x;
}
template <int W>
DGR_FN Lanes<double, W> exponential_minus_1(Lanes<double, W> x) {
  for (int l = 0; l < W; ++l) x.v[l] = dgr::exponential_minus_1(double(x.v[l]));
  return x;
}

// `count` numbers of an array, where there may be fewer than lanes: those beyond read as 0 and are not written.
template <class L, class T>
DGR_FN L load_some(const T* numbers, int64_t count) {
  if (count >= L::width) return L::load(numbers);
  L value = L(T(0));
  for (int l = 0; l < count; ++l) value.v[l] = numbers[l];
  return value;
}
template <class L, class T>
DGR_FN void store_some(T* numbers, int64_t count, L value) {
  if (count >= L::width)
    value.store(numbers);
  else
    for (int l = 0; l < count; ++l) numbers[l] = value.v[l];
}

// f(first, count) for the strips of W numbers in [begin, end), of which the last may have fewer.
template <class L, class F>
DGR_FN void for_each_lanes(int64_t begin, int64_t end, const F& f) {
  for (int64_t first = begin; first < end; first += L::width) f(first, end - first);
}

// The weights of `count` numbers, of which the first is at `first`: all 1 where there are none; those of lanes beyond are 0.
template <class L, class T>
DGR_FN L load_weights(const T* weights, int64_t first, int64_t count) {
  if (weights != nullptr) return load_some<L>(weights + first, count);
  L ones = L(T(1));
  for (int64_t l = count; l < L::width; ++l) ones.v[l] = T(0);
  return ones;
}

// The sum of all lanes, in a fixed order.
template <class T, int W>
DGR_FN T sum(Lanes<T, W> a) {
  T s = 0;
  for (int l = 0; l < W; ++l) s += a.v[l];
  return s;
}

// Lanes index[l] of a (0..W−1) and b (W..2W−1). The index is a constant of the program.
template <class T, int W>
DGR_FN Lanes<T, W> pick(Lanes<T, W> a, Lanes<T, W> b, typename Lanes<T, W>::RawInteger index) {
#if defined(__clang__)
  T lanes[2 * W], picked[W];
  a.store(lanes);
  b.store(lanes + W);
  for (int l = 0; l < W; ++l) picked[l] = lanes[index[l]];
  return Lanes<T, W>::load(picked);
#else
  return Lanes<T, W>::of(__builtin_shuffle(a.v, b.v, index));
#endif
}

// Row i, lane l <-> row l, lane i, in log₂W steps; a step swaps the off-diagonal blocks of SIZE×SIZE.
template <int SIZE, class T, int W>
DGR_FN void swap_blocks(Lanes<T, W> (&rows)[W]) {
  typename Lanes<T, W>::RawInteger upper{}, lower{};
  for (int l = 0; l < W; ++l) {
    upper[l] = l & SIZE ? W + l - SIZE : l;
    lower[l] = l & SIZE ? W + l : l + SIZE;
  }
  for (int i = 0; i < W; ++i)
    if (!(i & SIZE)) {
      const Lanes<T, W> a = rows[i], b = rows[i + SIZE];
      rows[i] = pick(a, b, upper);
      rows[i + SIZE] = pick(a, b, lower);
    }
  if constexpr (SIZE > 1) swap_blocks<SIZE / 2>(rows);
}
template <class T, int W>
DGR_FN void transpose(Lanes<T, W> (&rows)[W]) {
  swap_blocks<W / 2>(rows);
}

// Halves of segments: of a's and b's segments of SIZE lanes, the first (or second) halves side by side, a's before b's.
template <int SIZE, int HALF, class T, int W>
DGR_FN Lanes<T, W> segment_halves(Lanes<T, W> a, Lanes<T, W> b) {
  typename Lanes<T, W>::RawInteger index{};
  for (int l = 0; l < W; ++l) {
    const int segment = l / (SIZE / 2), lane = l % (SIZE / 2) + HALF * (SIZE / 2), own = W / SIZE;
    index[l] = segment < own ? segment * SIZE + lane : W + (segment - own) * SIZE + lane;
  }
  return pick(a, b, index);
}
// The sums of W vectors at once, as the lanes of one: a tree that halves the segments, two vectors into one, at each level.
template <int SIZE, class T, int W>
DGR_FN Lanes<T, W> sums_of(const Lanes<T, W>* vectors) {
  if constexpr (SIZE == 1) {
    return vectors[0];
  } else {
    Lanes<T, W> halved[SIZE / 2];
    for (int i = 0; i < SIZE / 2; ++i)
      halved[i] = segment_halves<SIZE, 0>(vectors[2 * i], vectors[2 * i + 1]) +
                  segment_halves<SIZE, 1>(vectors[2 * i], vectors[2 * i + 1]);
    return sums_of<SIZE / 2>(halved);
  }
}
template <class T, int W>
DGR_FN Lanes<T, W> sums_of(const Lanes<T, W> (&vectors)[W]) {
  return sums_of<W>(static_cast<const Lanes<T, W>*>(vectors));
}

DGR_NAMESPACE_END

// A photo's exposure E, (3, 4): the color c is shown as Eᵀc + e, of the 3×3 part and the last column.
#pragma once
#include "linalg.h"

DGR_NAMESPACE_BEGIN

constexpr int EXPOSURE = 12;  // numbers, row by row

template <class S>
struct Exposure {
  S at[EXPOSURE];
  DGR_FN S factor(int from, int to) const { return at[4 * from + to]; }
  DGR_FN S offset(int to) const { return at[4 * to + 3]; }
};

template <class V>
DGR_FN Vec3<V> expose(const Exposure<Scalar<V>>& e, Vec3<V> c) {
  const auto shown = [&](int to) {
    return V(e.factor(0, to)) * c.x + V(e.factor(1, to)) * c.y + V(e.factor(2, to)) * c.z + V(e.offset(to));
  };
  return {shown(0), shown(1), shown(2)};
}
// By the color.
template <class V>
DGR_FN Vec3<V> expose_vjp(const Exposure<Scalar<V>>& e, Vec3<V> v) {
  const auto from = [&](int i) { return V(e.factor(i, 0)) * v.x + V(e.factor(i, 1)) * v.y + V(e.factor(i, 2)) * v.z; };
  return {from(0), from(1), from(2)};
}
// By the exposure: what one pixel adds.
template <class V>
DGR_FN void add_exposure_vjp(Vec3<V> c, Vec3<V> v, V (&sums)[EXPOSURE]) {
  const V color[3] = {c.x, c.y, c.z}, cotangent[3] = {v.x, v.y, v.z};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) sums[4 * i + j] += color[i] * cotangent[j];
    sums[4 * i + 3] += cotangent[i];
  }
}

DGR_NAMESPACE_END

// Vectors and matrices of three, by value, row-major.
#pragma once
#include "real.h"

DGR_NAMESPACE_BEGIN

template <class V>
struct Vec3 {
  V x, y, z;
};

template <class V>
struct Mat3 {
  V m[3][3];
};

template <class V>
DGR_FN Vec3<V> operator+(Vec3<V> a, Vec3<V> b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
template <class V>
DGR_FN Vec3<V> operator*(V s, Vec3<V> a) {
  return {s * a.x, s * a.y, s * a.z};
}
template <class V>
DGR_FN V dot(Vec3<V> a, Vec3<V> b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
template <class V>
DGR_FN Vec3<V> multiply(const Mat3<V>& a, Vec3<V> x) {
  return {a.m[0][0] * x.x + a.m[0][1] * x.y + a.m[0][2] * x.z, a.m[1][0] * x.x + a.m[1][1] * x.y + a.m[1][2] * x.z,
          a.m[2][0] * x.x + a.m[2][1] * x.y + a.m[2][2] * x.z};
}
template <class V>
DGR_FN Vec3<V> multiply_transposed(const Mat3<V>& a, Vec3<V> x) {
  return {a.m[0][0] * x.x + a.m[1][0] * x.y + a.m[2][0] * x.z, a.m[0][1] * x.x + a.m[1][1] * x.y + a.m[2][1] * x.z,
          a.m[0][2] * x.x + a.m[1][2] * x.y + a.m[2][2] * x.z};
}
// a·b
template <class V>
DGR_FN Mat3<V> multiply(const Mat3<V>& a, const Mat3<V>& b) {
  Mat3<V> c;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) c.m[i][j] = a.m[i][0] * b.m[0][j] + a.m[i][1] * b.m[1][j] + a.m[i][2] * b.m[2][j];
  return c;
}
// aᵀ·b
template <class V>
DGR_FN Mat3<V> multiply_transposed(const Mat3<V>& a, const Mat3<V>& b) {
  Mat3<V> c;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) c.m[i][j] = a.m[0][i] * b.m[0][j] + a.m[1][i] * b.m[1][j] + a.m[2][i] * b.m[2][j];
  return c;
}
// c += a·bᵀ
template <class V>
DGR_FN void accumulate_product_transposed(const Mat3<V>& a, const Mat3<V>& b, Mat3<V>& c) {
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) c.m[i][j] += a.m[i][0] * b.m[j][0] + a.m[i][1] * b.m[j][1] + a.m[i][2] * b.m[j][2];
}
// c += a·bᵀ for vectors: the outer product
template <class V>
DGR_FN void accumulate_outer(Vec3<V> a, Vec3<V> b, Mat3<V>& c) {
  const V left[3] = {a.x, a.y, a.z}, right[3] = {b.x, b.y, b.z};
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) c.m[i][j] += left[i] * right[j];
}

DGR_NAMESPACE_END

// Arrays of rows as columns of lanes, W rows at a time, and back.
#pragma once
#include "simd.h"

DGR_NAMESPACE_BEGIN

// Column c of W consecutive rows; the block's last rows are repeated where the array ends inside the vector.
template <class L, class T>
DGR_FN L load_column(const T* rows, int stride, int c, int64_t first, int64_t end) {
  T lanes[L::width];
  for (int l = 0; l < L::width; ++l) {
    const int64_t row = first + l < end ? first + l : end - 1;
    lanes[l] = rows[row * stride + c];
  }
  return L::load(lanes);
}
template <class L, class T>
DGR_FN void store_column(T* rows, int stride, int c, int64_t first, int count, L value) {
  T lanes[L::width];
  value.store(lanes);
  for (int l = 0; l < count; ++l) rows[(first + l) * stride + c] = lanes[l];
}

// The first `columns` columns of W consecutive rows. Where rows are long, W×W blocks of them are transposed in registers.
template <class L, class T>
DGR_FN void load_columns(const T* rows, int stride, int columns, int64_t first, int64_t end, L* out) {
  constexpr int W = L::width;
  int c = 0;
  for (; c + W <= columns; c += W) {
    L block[W];
    for (int l = 0; l < W; ++l) block[l] = L::load(rows + (first + l < end ? first + l : end - 1) * stride + c);
    transpose(block);
    for (int l = 0; l < W; ++l) out[c + l] = block[l];
  }
  for (; c < columns; ++c) out[c] = load_column<L>(rows, stride, c, first, end);
}
template <class L, class T>
DGR_FN void store_columns(T* rows, int stride, int columns, int64_t first, int count, const L* values) {
  constexpr int W = L::width;
  int c = 0;
  for (; c + W <= columns; c += W) {
    L block[W];
    for (int l = 0; l < W; ++l) block[l] = values[c + l];
    transpose(block);
    for (int l = 0; l < count; ++l) block[l].store(rows + (first + l) * stride + c);
  }
  for (; c < columns; ++c) store_column(rows, stride, c, first, count, values[c]);
}

DGR_NAMESPACE_END

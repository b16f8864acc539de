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

// f(c) for blocks of W columns that cover `columns` ≥ W of them; the last one may overlap the one before it.
template <int W, class F>
DGR_FN void for_each_block(int columns, const F& f) {
  for (int c = 0; c < columns; c += W) f(c + W <= columns ? c : columns - W);
}
// The first `columns` columns of W consecutive rows. Where rows are long, W×W blocks of them are transposed in registers.
template <class L, class T>
DGR_FN void load_columns(const T* rows, int stride, int columns, int64_t first, int64_t end, L* out) {
  constexpr int W = L::width;
  if (columns < W) {
    for (int c = 0; c < columns; ++c) out[c] = load_column<L>(rows, stride, c, first, end);
    return;
  }
  for_each_block<W>(columns, [&](int c) {
    L block[W];
    for (int l = 0; l < W; ++l) block[l] = L::load(rows + (first + l < end ? first + l : end - 1) * stride + c);
    transpose(block);
    for (int l = 0; l < W; ++l) out[c + l] = block[l];
  });
}
template <class L, class T>
DGR_FN void store_columns(T* rows, int stride, int columns, int64_t first, int count, const L* values) {
  constexpr int W = L::width;
  if (columns < W) {
    for (int c = 0; c < columns; ++c) store_column(rows, stride, c, first, count, values[c]);
    return;
  }
  for_each_block<W>(columns, [&](int c) {
    L block[W];
    for (int l = 0; l < W; ++l) block[l] = values[c + l];
    transpose(block);
    for (int l = 0; l < count; ++l) block[l].store(rows + (first + l) * stride + c);
  });
}

DGR_NAMESPACE_END

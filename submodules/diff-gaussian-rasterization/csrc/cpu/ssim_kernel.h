// One tile of one channel: the similarity map, and the gradient by one of its images.
//
// The window is separable: rows are filtered into scratch, which then holds SSIM_RADIUS rows more above and below than the
// tile has, and columns from there. The scratch stays in the second-level cache. Beyond the image all is 0. The window is
// symmetric, so the backward pass filters with the same one.
#pragma once
#include "../math/ssim.h"
#include "../params.h"
#include "simd.h"

GSR_NAMESPACE_BEGIN

constexpr int SSIM_FILTERED_ROWS = SSIM_ROWS + 2 * SSIM_RADIUS;

// Pixels of one row of the tile and beyond: pixel x of the tile is at x + SSIM_RADIUS.
template <class T>
struct SsimLine {
  alignas(64) T at[SSIM_COLUMNS + 2 * SSIM_RADIUS];
};

template <class T, int COUNT>
struct SsimScratch {
  SsimLine<T> lines[COUNT];
  alignas(64) T filtered[COUNT][SSIM_FILTERED_ROWS][SSIM_COLUMNS];
};
// E[x], E[y], E[x²], E[y²] and E[xy], of which only two lines are read.
template <class T>
using SsimForwardScratch = SsimScratch<T, 5>;
// A mean's, the squares' and the product's cotangents.
template <class T>
using SsimBackwardScratch = SsimScratch<T, 3>;

// Where a tile lies.
struct SsimFrame {
  int64_t plane;      // its channel's first pixel
  int x, y;           // its first pixel in the channel
  int columns, rows;  // pixels of it that are in the image
};
inline SsimFrame ssim_frame(const SsimShape& shape, int64_t tile) {
  const int64_t channel = tile / shape.tiles_of_channel(), rest = tile % shape.tiles_of_channel();
  const int x = int(rest % shape.tiles_x()) * SSIM_COLUMNS, y = int(rest / shape.tiles_x()) * SSIM_ROWS;
  return {channel * shape.height * shape.width, x, y, shape.width - x < SSIM_COLUMNS ? shape.width - x : SSIM_COLUMNS,
          shape.height - y < SSIM_ROWS ? shape.height - y : SSIM_ROWS};
}

// `line` becomes value(i) of the pixels i of row y, 0 beyond the image.
template <class T, class F>
GSR_FN void fill_line(const SsimShape& shape, const SsimFrame& frame, int y, SsimLine<T>& line, const F& value) {
  const int begin = frame.x < SSIM_RADIUS ? SSIM_RADIUS - frame.x : 0, right = shape.width - frame.x + SSIM_RADIUS;
  const int length = SSIM_COLUMNS + 2 * SSIM_RADIUS, end = right < length ? right : length;
  const int64_t first = frame.plane + int64_t(y) * shape.width + frame.x - SSIM_RADIUS;
  for (int i = 0; i < begin; ++i) line.at[i] = T(0);
  for (int i = begin; i < end; ++i) line.at[i] = value(first + i);
  for (int i = end; i < length; ++i) line.at[i] = T(0);
}

// f(row, y) for the rows of the scratch and where they lie in the image; those beyond it become 0.
template <class T, int COUNT, class F>
GSR_FN void filter_rows(const SsimShape& shape, const SsimFrame& frame, SsimScratch<T, COUNT>& scratch, const F& f) {
  for (int row = 0; row < frame.rows + 2 * SSIM_RADIUS; ++row) {
    const int y = frame.y + row - SSIM_RADIUS;
    if (y >= 0 && y < shape.height)
      f(row, y);
    else
      for (auto& plane : scratch.filtered)
        for (T& value : plane[row]) value = T(0);
  }
}

// Part of a row from and to an image; lanes beyond the tile read as 0 and are not written.
template <class L, class T>
GSR_FN L load_some(const T* pixels, int count) {
  if (count >= L::width) return L::load(pixels);
  L value = L(T(0));
  for (int l = 0; l < count; ++l) value.v[l] = pixels[l];
  return value;
}
template <class L, class T>
GSR_FN void store_some(T* pixels, int count, L value) {
  if (count >= L::width)
    value.store(pixels);
  else
    for (int l = 0; l < count; ++l) pixels[l] = value.v[l];
}

// ---- forward

template <class L, class T>
GSR_FN SsimMeans<L> filter_pixels(const SsimWeights<T>& weights, const T* x, const T* y) {
  const L zero = L(T(0));
  SsimMeans<L> means = {zero, zero, zero, zero, zero};
  for (int k = 0; k < SSIM_WINDOW; ++k) add_pixel(means, L(weights.at[k]), L::load(x + k), L::load(y + k));
  return means;
}

// The sums over a column of COUNT planes of scratch.
template <class L, class T, int COUNT>
GSR_FN void filter_column(const SsimWeights<T>& weights, const SsimScratch<T, COUNT>& scratch, int row, int column,
                          L (&sums)[COUNT]) {
  for (L& sum : sums) sum = L(T(0));
  for (int k = 0; k < SSIM_WINDOW; ++k)
    for (int p = 0; p < COUNT; ++p) sums[p] += L(weights.at[k]) * L::load(&scratch.filtered[p][row + k][column]);
}

template <class L, class T>
GSR_FN void write_similarity(const SsimShape& shape, const SsimOutput<T>& out, const SsimMeans<L>& means, int64_t pixel,
                             int count) {
  const int64_t size = shape.pixels();
  const SsimFactors<L> factors = ssim_factors(means);
  store_some(out.map + pixel, count, ssim(factors));
  if (out.partial_count == 0) return;
  const SsimCotangent<L> partial = ssim_vjp(means, factors, L(T(1)));
  store_some(out.partials + SSIM_SQUARES * size + pixel, count, partial.squares);
  store_some(out.partials + SSIM_PRODUCT * size + pixel, count, partial.product);
  store_some(out.partials + SSIM_MEAN_X * size + pixel, count, partial.x);
  if (out.partial_count > SSIM_MEAN_Y) store_some(out.partials + SSIM_MEAN_Y * size + pixel, count, partial.y);
}

template <class L, class T>
void ssim_tile(const SsimShape& shape, const T* x, const T* y, const SsimOutput<T>& out, int64_t tile, void* memory) {
  SsimForwardScratch<T>& scratch = *static_cast<SsimForwardScratch<T>*>(memory);
  const SsimFrame frame = ssim_frame(shape, tile);
  const SsimWeights<T> weights = ssim_weights<T>();
  filter_rows(shape, frame, scratch, [&](int row, int image_row) {
    fill_line(shape, frame, image_row, scratch.lines[0], [&](int64_t i) { return x[i]; });
    fill_line(shape, frame, image_row, scratch.lines[1], [&](int64_t i) { return y[i]; });
    for (int c = 0; c < frame.columns; c += L::width) {
      const SsimMeans<L> means = filter_pixels<L>(weights, scratch.lines[0].at + c, scratch.lines[1].at + c);
      means.x.store(&scratch.filtered[0][row][c]);
      means.y.store(&scratch.filtered[1][row][c]);
      means.xx.store(&scratch.filtered[2][row][c]);
      means.yy.store(&scratch.filtered[3][row][c]);
      means.xy.store(&scratch.filtered[4][row][c]);
    }
  });
  for (int row = 0; row < frame.rows; ++row)
    for (int c = 0; c < frame.columns; c += L::width) {
      L sums[5];
      filter_column(weights, scratch, row, c, sums);
      const int64_t pixel = frame.plane + int64_t(frame.y + row) * shape.width + frame.x + c;
      write_similarity<L>(shape, out, {sums[0], sums[1], sums[2], sums[3], sums[4]}, pixel, frame.columns - c);
    }
}

// ---- backward

template <class L, class T>
void ssim_tile_backward(const SsimShape& shape, const SsimCotangents<T>& in, T* v_image, int64_t tile, void* memory) {
  SsimBackwardScratch<T>& scratch = *static_cast<SsimBackwardScratch<T>*>(memory);
  const SsimFrame frame = ssim_frame(shape, tile);
  const SsimWeights<T> weights = ssim_weights<T>();
  const T* partials[3] = {in.mean, in.squares, in.product};
  filter_rows(shape, frame, scratch, [&](int row, int image_row) {
    for (int p = 0; p < 3; ++p) {
      const T* partial = partials[p];
      fill_line(shape, frame, image_row, scratch.lines[p], [&](int64_t i) { return in.v_map[i] * partial[i]; });
    }
    for (int c = 0; c < frame.columns; c += L::width)
      for (int p = 0; p < 3; ++p) {
        L sum = L(T(0));
        for (int k = 0; k < SSIM_WINDOW; ++k) sum += L(weights.at[k]) * L::load(scratch.lines[p].at + c + k);
        sum.store(&scratch.filtered[p][row][c]);
      }
  });
  for (int row = 0; row < frame.rows; ++row)
    for (int c = 0; c < frame.columns; c += L::width) {
      const int64_t pixel = frame.plane + int64_t(frame.y + row) * shape.width + frame.x + c;
      const int count = frame.columns - c;
      L sums[3];
      filter_column(weights, scratch, row, c, sums);
      const L x = load_some<L>(in.image + pixel, count), y = load_some<L>(in.other + pixel, count);
      store_some(v_image + pixel, count, pixel_vjp(x, y, sums[0], sums[1], sums[2]));
    }
}

GSR_NAMESPACE_END

// One tile of one channel: how much two images differ there, and the gradient by one of them.
//
// The window is separable: rows are filtered into scratch, which then holds SSIM_RADIUS rows more above and below than the
// tile has, and columns from there. The scratch stays in the second-level cache. Beyond the image all is 0. The window is
// symmetric, so the backward pass filters with the same one.
#pragma once
#include "../math/photometric.h"
#include "../params.h"
#include "simd.h"

DGR_NAMESPACE_BEGIN

constexpr int FILTERED_ROWS = PHOTOMETRIC_ROWS + 2 * SSIM_RADIUS;

// Pixels of one row of the tile and beyond: pixel x of the tile is at x + SSIM_RADIUS.
template <class T>
struct PixelLine {
  alignas(64) T at[PHOTOMETRIC_COLUMNS + 2 * SSIM_RADIUS];
};

template <class T, int LINES, int PLANES>
struct WindowScratch {
  PixelLine<T> lines[LINES];
  alignas(64) T filtered[PLANES][FILTERED_ROWS][PHOTOMETRIC_COLUMNS];
};
// Lines of x and y; the four means.
template <class T>
using DifferenceScratch = WindowScratch<T, 2, 4>;
// A mean's, the squares' and the product's cotangents.
template <class T>
using DifferenceBackwardScratch = WindowScratch<T, 3, 3>;

// Where a tile lies.
struct PhotometricFrame {
  int64_t plane;      // its channel's first pixel
  int x, y;           // its first pixel in the channel
  int columns, rows;  // pixels of it that are in the image
};
inline PhotometricFrame photometric_frame(const PhotometricShape& shape, int64_t tile) {
  const int64_t channel = tile / shape.tiles_of_channel(), rest = tile % shape.tiles_of_channel();
  const int x = int(rest % shape.tiles_x()) * PHOTOMETRIC_COLUMNS, y = int(rest / shape.tiles_x()) * PHOTOMETRIC_ROWS;
  return {channel * shape.height * shape.width, x, y,
          shape.width - x < PHOTOMETRIC_COLUMNS ? shape.width - x : PHOTOMETRIC_COLUMNS,
          shape.height - y < PHOTOMETRIC_ROWS ? shape.height - y : PHOTOMETRIC_ROWS};
}

// `line` becomes value(i) of the pixels i of row y of a channel, 0 beyond the image.
template <class T, class F>
DGR_FN void fill_line(const PhotometricShape& shape, const PhotometricFrame& frame, int y, PixelLine<T>& line,
                      const F& value) {
  const int begin = frame.x < SSIM_RADIUS ? SSIM_RADIUS - frame.x : 0, right = shape.width - frame.x + SSIM_RADIUS;
  const int length = PHOTOMETRIC_COLUMNS + 2 * SSIM_RADIUS, end = right < length ? right : length;
  const int64_t first = int64_t(y) * shape.width + frame.x - SSIM_RADIUS;
  for (int i = 0; i < begin; ++i) line.at[i] = T(0);
  for (int i = begin; i < end; ++i) line.at[i] = value(first + i);
  for (int i = end; i < length; ++i) line.at[i] = T(0);
}

// f(row, y) for the rows of the scratch and where they lie in the image; those beyond it become 0.
template <class Scratch, class F>
DGR_FN void filter_rows(const PhotometricShape& shape, const PhotometricFrame& frame, Scratch& scratch, const F& f) {
  for (int row = 0; row < frame.rows + 2 * SSIM_RADIUS; ++row) {
    const int y = frame.y + row - SSIM_RADIUS;
    if (y >= 0 && y < shape.height)
      f(row, y);
    else
      for (auto& plane : scratch.filtered)
        for (auto& value : plane[row]) value = 0;
  }
}

// The sums over a column of PLANES planes of scratch.
template <class L, class T, int LINES, int PLANES>
DGR_FN void filter_column(const SsimWeights<T>& weights, const WindowScratch<T, LINES, PLANES>& scratch, int row,
                          int column, L (&sums)[PLANES]) {
  for (L& sum : sums) sum = L(T(0));
  for (int k = 0; k < SSIM_WINDOW; ++k)
    for (int p = 0; p < PLANES; ++p) sums[p] += L(weights.at[k]) * L::load(&scratch.filtered[p][row + k][column]);
}

// f(row, column, pixel, count) for the strips of a tile: where they begin in the tile and in the channel, and how many of their
// lanes are in the tile.
template <class L, class F>
DGR_FN void for_each_strip(const PhotometricShape& shape, const PhotometricFrame& frame, const F& f) {
  for (int row = 0; row < frame.rows; ++row)
    for (int c = 0; c < frame.columns; c += L::width)
      f(row, c, int64_t(frame.y + row) * shape.width + frame.x + c, frame.columns - c);
}

// ---- forward

// A row of one image, without what is masked out.
template <class T>
DGR_FN void fill_masked(const PhotometricShape& shape, const PhotometricFrame& frame, int y, PixelLine<T>& line,
                        const T* pixels, const T* mask) {
  const T* plane = pixels + frame.plane;
  if (mask == nullptr)
    fill_line(shape, frame, y, line, [=](int64_t i) { return plane[i]; });
  else
    fill_line(shape, frame, y, line, [=](int64_t i) { return masked(plane[i], mask[i]); });
}

template <class L, class T>
DGR_FN SsimMeans<L> filter_pixels(const SsimWeights<T>& weights, const T* x, const T* y) {
  const L zero = L(T(0));
  SsimMeans<L> means = {zero, zero, zero, zero};
  for (int k = 0; k < SSIM_WINDOW; ++k) add_pixel(means, L(weights.at[k]), L::load(x + k), L::load(y + k));
  return means;
}

template <class L, class T>
DGR_FN void write_partials(const PhotometricShape& shape, const PhotometricOutput<T>& out,
                           const SsimCotangent<L>& partial, int64_t pixel, int count) {
  const int64_t size = shape.pixels();
  store_some(out.partials + SSIM_SQUARES * size + pixel, count, partial.squares);
  store_some(out.partials + SSIM_PRODUCT * size + pixel, count, partial.product);
  store_some(out.partials + SSIM_MEAN_X * size + pixel, count, partial.x);
  if (out.partial_count > SSIM_MEAN_Y) store_some(out.partials + SSIM_MEAN_Y * size + pixel, count, partial.y);
}

template <class L, class T>
void photometric_tile(const PhotometricShape& shape, const PhotometricInput<T>& in, const PhotometricOutput<T>& out,
                      int64_t tile, void* memory) {
  DifferenceScratch<T>& scratch = *static_cast<DifferenceScratch<T>*>(memory);
  const PhotometricFrame frame = photometric_frame(shape, tile);
  const SsimWeights<T> weights = ssim_weights<T>();
  filter_rows(shape, frame, scratch, [&](int row, int image_row) {
    fill_masked(shape, frame, image_row, scratch.lines[0], in.x, in.mask);
    fill_masked(shape, frame, image_row, scratch.lines[1], in.y, in.mask);
    for (int c = 0; c < frame.columns; c += L::width) {
      const SsimMeans<L> means = filter_pixels<L>(weights, scratch.lines[0].at + c, scratch.lines[1].at + c);
      means.x.store(&scratch.filtered[0][row][c]);
      means.y.store(&scratch.filtered[1][row][c]);
      means.squares.store(&scratch.filtered[2][row][c]);
      means.product.store(&scratch.filtered[3][row][c]);
    }
  });
  const L zero = L(T(0));
  PhotometricSums<L> sums = {zero, zero, zero};
  for_each_strip<L>(shape, frame, [&](int row, int column, int64_t pixel, int count) {
    L m[4];
    filter_column(weights, scratch, row, column, m);
    const SsimMeans<L> means = {m[0], m[1], m[2], m[3]};
    const SsimFactors<L> factors = ssim_factors(means);
    const L weight = load_weights<L>(in.mask, pixel, count);
    const L x = load_some<L>(in.x + frame.plane + pixel, count), y = load_some<L>(in.y + frame.plane + pixel, count);
    add_difference(sums, masked(x, weight), masked(y, weight), weight, ssim(factors));
    if (out.partial_count > 0)
      write_partials(shape, out, ssim_vjp(means, factors, -weight), frame.plane + pixel, count);
  });
  T* total = out.sums + tile * PHOTOMETRIC_SUMS;
  total[0] = sum(sums.l1), total[1] = sum(sums.dssim), total[2] = sum(sums.weight);
}

// ---- backward

template <class L, class T>
void photometric_tile_backward(const PhotometricShape& shape, const PhotometricInput<T>& in,
                               const PhotometricCotangents<T>& v, int64_t tile, void* memory) {
  DifferenceBackwardScratch<T>& scratch = *static_cast<DifferenceBackwardScratch<T>*>(memory);
  const PhotometricFrame frame = photometric_frame(shape, tile);
  const SsimWeights<T> weights = ssim_weights<T>();
  const T* partials[3] = {v.mean, v.squares, v.product};
  filter_rows(shape, frame, scratch, [&](int row, int image_row) {
    for (int p = 0; p < 3; ++p) {
      const T* partial = partials[p] + frame.plane;
      fill_line(shape, frame, image_row, scratch.lines[p], [=](int64_t i) { return partial[i]; });
    }
    for (int c = 0; c < frame.columns; c += L::width)
      for (int p = 0; p < 3; ++p) {
        L sum = L(T(0));
        for (int k = 0; k < SSIM_WINDOW; ++k) sum += L(weights.at[k]) * L::load(scratch.lines[p].at + c + k);
        sum.store(&scratch.filtered[p][row][c]);
      }
  });
  const L v_l1 = L(*v.share * *v.v_l1), v_dssim = L(*v.share * *v.v_dssim);
  for_each_strip<L>(shape, frame, [&](int row, int column, int64_t pixel, int count) {
    L sums[3];
    filter_column(weights, scratch, row, column, sums);
    const L weight = load_weights<L>(in.mask, pixel, count);
    const L x = load_some<L>(in.x + frame.plane + pixel, count), y = load_some<L>(in.y + frame.plane + pixel, count);
    const L windows = pixel_vjp(x, y, sums[0], sums[1], sums[2]);
    store_some(v.v_x + frame.plane + pixel, count, difference_vjp(x, y, weight, windows, v_l1, v_dssim));
  });
}

DGR_NAMESPACE_END

// Where splats lie among the tiles, W splats at a time: the rows of tiles that each reaches, then its span in each row.
#pragma once
#include "../math/ellipse.h"
#include "../math/pixels.h"
#include "../params.h"
#include "columns.h"

DGR_NAMESPACE_BEGIN

// The first and last tile with a pixel of a range; first > last if there is none.
template <class L>
struct Tiles {
  typename L::RawInteger first, last;
};
template <class L>
DGR_FN Tiles<L> tiles_of(const PixelRange<L>& range) {
  using Raw = typename L::RawInteger;
  const Raw first = __builtin_convertvector(range.first.v, Raw), last = __builtin_convertvector(range.last.v, Raw);
  const Raw none = Raw{}, empty = first > last;
  return {empty ? none + 1 : first / TILE, empty ? none : last / TILE};
}

template <class L, class T>
struct LocatedSplats {
  L u, v;
  Ellipse<L> ellipse;
};
template <class L, class T>
DGR_FN LocatedSplats<L, T> locate(const SplatInput<T>& splats, int64_t first, int64_t end) {
  const auto column = [&](const T* rows, int stride, int c) { return load_column<L>(rows, stride, c, first, end); };
  return {column(splats.means2d, 2, 0), column(splats.means2d, 2, 1),
          ellipse(column(splats.inv_cov_factor, 3, 0), column(splats.inv_cov_factor, 3, 1),
                  column(splats.inv_cov_factor, 3, 2), column(splats.cutoff_sigmas, 1, 0))};
}

template <class L, class T>
int64_t tile_rows(const Image& image, const SplatInput<T>& splats, int64_t begin, int64_t end,
                  TileReach* tile_reaches) {
  int64_t total = 0;
  for (int64_t first = begin; first < end; first += L::width) {
    const LocatedSplats<L, T> s = locate<L>(splats, first, end);
    const Tiles<L> rows =
        tiles_of(pixels_within(s.v - s.ellipse.half_height, s.v + s.ellipse.half_height, image.height));
    const int count = int(end - first < L::width ? end - first : L::width);
    for (int l = 0; l < count; ++l) {
      const int32_t reached = splats.radii[first + l] > 0 ? int32_t(rows.last[l] - rows.first[l] + 1) : 0;
      tile_reaches[first + l] = {nullptr, int32_t(rows.first[l]), reached};
      total += reached;
    }
  }
  return total;
}

template <class L, class T>
void tile_spans(const Image& image, const SplatInput<T>& splats, int64_t begin, int64_t end, TileReach* tile_reaches,
                TileSpan* spans, int32_t* counts) {
  for (int64_t first = begin; first < end; first += L::width) {
    const LocatedSplats<L, T> s = locate<L>(splats, first, end);
    const int count = int(end - first < L::width ? end - first : L::width);
    TileSpan* own[L::width];
    L row_top = L(T(0));
    int most = 0;
    for (int l = 0; l < count; ++l) {
      TileReach& reach = tile_reaches[first + l];
      reach.spans = own[l] = spans;
      spans += reach.rows;
      row_top.v[l] = T(reach.first_row * TILE) + T(0.5);
      most = reach.rows > most ? reach.rows : most;
      counts[first + l] = 0;
    }
    for (int row = 0; row < most; ++row) {
      const L top = row_top + L(T(row * TILE)) - s.v;
      const Interval<L> x = extent_over_rows(s.ellipse, top, top + L(T(TILE - 1)));
      const Tiles<L> columns = tiles_of(pixels_within(s.u + x.low, s.u + x.high, image.width));
      const auto empty = x.low > x.high;
      for (int l = 0; l < count; ++l) {
        if (row >= tile_reaches[first + l].rows) continue;
        const TileSpan span =
            empty.m[l] ? TileSpan{1, 0} : TileSpan{int32_t(columns.first[l]), int32_t(columns.last[l])};
        own[l][row] = span;
        counts[first + l] += span.last - span.first + 1;
      }
    }
  }
}

DGR_NAMESPACE_END

// bin on the CPU: which splats each tile sees, near ones first.
//
// Splats are sorted by depth once (a stable radix sort, so ties stay in index order) and dealt out to their tiles in that
// order: each tile's list is then sorted without ever sorting an intersection. The order is unique, so neither it nor
// anything after it depends on the number of threads.
#include <cstring>
#include <stdexcept>
#include <string>

#include "../math/ellipse.h"
#include "../params.h"
#include "tensors.h"

namespace gsr {

// Positive floats order as their bits do.
template <class T>
struct KeyOf;
template <>
struct KeyOf<float> {
  using type = uint32_t;
};
template <>
struct KeyOf<double> {
  using type = uint64_t;
};

template <class Key>
struct Keyed {
  Key key;
  int32_t id;
};

constexpr int DIGIT_BITS = 11;
constexpr int DIGITS = 1 << DIGIT_BITS;

// One stable pass by one digit; chunks count and then scatter into places reserved for them.
template <class Key>
static void radix_pass(const std::vector<Keyed<Key>>& from, std::vector<Keyed<Key>>& to, int shift) {
  const int64_t count = int64_t(from.size()), chunk_size = 1 << 16, chunks = (count + chunk_size - 1) / chunk_size;
  std::vector<int32_t> places(chunks * DIGITS, 0);
  for_each_chunk(count, chunk_size, [&](int64_t begin, int64_t end, int64_t chunk) {
    for (int64_t i = begin; i < end; ++i) ++places[chunk * DIGITS + ((from[i].key >> shift) & (DIGITS - 1))];
  });
  int32_t total = 0;
  for (int digit = 0; digit < DIGITS; ++digit)
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const int32_t here = places[chunk * DIGITS + digit];
      places[chunk * DIGITS + digit] = total;
      total += here;
    }
  for_each_chunk(count, chunk_size, [&](int64_t begin, int64_t end, int64_t chunk) {
    for (int64_t i = begin; i < end; ++i)
      to[places[chunk * DIGITS + ((from[i].key >> shift) & (DIGITS - 1))]++] = from[i];
  });
}

// Visible Gaussians, near ones first.
template <class T>
static std::vector<int32_t> order_by_depth(int64_t n, const int32_t* radii, const T* depths) {
  using Key = typename KeyOf<T>::type;
  std::vector<Keyed<Key>> items;
  items.reserve(n);
  for (int64_t i = 0; i < n; ++i)
    if (radii[i] > 0) {
      Key key;
      std::memcpy(&key, &depths[i], sizeof key);
      items.push_back({key, int32_t(i)});
    }
  std::vector<Keyed<Key>> other(items.size());
  for (int shift = 0; shift < int(8 * sizeof(Key)); shift += DIGIT_BITS) {
    radix_pass(items, other, shift);
    items.swap(other);
  }
  std::vector<int32_t> order(items.size());
  for (size_t i = 0; i < items.size(); ++i) order[i] = items[i].id;
  return order;
}

template <class T>
struct Splats {
  const T* means2d;
  const T* conics;
  const T* reaches;
};

// The first and last pixel whose centre lies in [low, high] on an axis of `size` pixels; first > last if there is none.
struct Pixels {
  int first, last;
};
template <class T>
static Pixels pixels_within(T low, T high, int size) {
  const T first = std::ceil(low - T(0.5)), last = std::floor(high - T(0.5));
  return {first <= T(0) ? 0 : first >= T(size) ? size : int(first), last >= T(size - 1) ? size - 1 : last < T(0) ? -1 : int(last)};
}

// Calls f(tile) for each tile that a splat's ellipse may reach, in order of rows.
template <class T, class F>
static void for_each_tile(const Image& image, const Splats<T>& splats, int32_t id, const F& f) {
  const T u = splats.means2d[2 * int64_t(id)], v = splats.means2d[2 * int64_t(id) + 1];
  const T* conic = splats.conics + 3 * int64_t(id);
  const Ellipse<T> e = ellipse(conic[0], conic[1], conic[2], splats.reaches[id]);
  const Pixels rows = pixels_within(v - e.half_height, v + e.half_height, image.height);
  for (int tile_y = rows.first / TILE; tile_y <= rows.last / TILE && rows.first <= rows.last; ++tile_y) {
    const T top = T(tile_y * TILE) + T(0.5) - v;
    const Interval<T> x = extent_over_rows(e, top, top + T(TILE - 1));
    if (x.low > x.high) continue;
    const Pixels columns = pixels_within(u + x.low, u + x.high, image.width);
    if (columns.first > columns.last) continue;
    for (int tile_x = columns.first / TILE; tile_x <= columns.last / TILE; ++tile_x) f(tile_y * image.tiles_x() + tile_x);
  }
}

template <class T>
static std::tuple<Tensor, Tensor, Tensor, Tensor> run_bin(const Tensor& means2d, const Tensor& conics, const Tensor& depths,
                                                          const Tensor& reaches, const Tensor& radii, Image image) {
  const int64_t n = means2d.size(0), tiles = image.tiles();
  const Splats<T> splats = {read<T>(means2d), read<T>(conics), read<T>(reaches)};
  const std::vector<int32_t> order = order_by_depth(n, read<int32_t>(radii), read<T>(depths));

  // Splats in depth order are dealt in as many shares as there are threads: fewer shares would idle, more cost counters.
  const int64_t visible = int64_t(order.size()), threads = torch::stable::get_num_threads();
  const int64_t share = visible / threads + 1, shares = (visible + share - 1) / share;
  std::vector<int32_t> places(shares * tiles, 0);
  Tensor offsets = torch::stable::new_zeros(radii, {n + 1});
  int32_t* offset = write<int32_t>(offsets);
  for_each_chunk(visible, share, [&](int64_t begin, int64_t end, int64_t chunk) {
    for (int64_t i = begin; i < end; ++i) {
      int32_t count = 0;
      for_each_tile(image, splats, order[i], [&](int tile) {
        ++places[chunk * tiles + tile];
        ++count;
      });
      offset[order[i] + 1] = count;
    }
  });
  int64_t total = 0;
  for (int64_t i = 1; i <= n; ++i) {
    total += offset[i];
    if (total > INT32_MAX) throw std::runtime_error("over 2^31 splat-tile intersections; render a smaller image");
    offset[i] = int32_t(total);
  }

  Tensor ids = empty_int32(radii, {total}), slots = empty_int32(radii, {total}), ranges = empty_int32(radii, {tiles + 1});
  int32_t* range = write<int32_t>(ranges);
  int32_t place = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    range[tile] = place;
    for (int64_t chunk = 0; chunk < shares; ++chunk) {
      const int32_t here = places[chunk * tiles + tile];
      places[chunk * tiles + tile] = place;
      place += here;
    }
  }
  range[tiles] = place;

  int32_t *id = write<int32_t>(ids), *slot = write<int32_t>(slots);
  for_each_chunk(visible, share, [&](int64_t begin, int64_t end, int64_t chunk) {
    for (int64_t i = begin; i < end; ++i) {
      int32_t next_slot = offset[order[i]];
      for_each_tile(image, splats, order[i], [&](int tile) {
        const int32_t position = places[chunk * tiles + tile]++;
        id[position] = order[i];
        slot[position] = next_slot++;
      });
    }
  });
  return {ids, slots, offsets, ranges};
}

static std::tuple<Tensor, Tensor, Tensor, Tensor> bin(Tensor means2d, Tensor conics, Tensor depths, Tensor reaches,
                                                      Tensor radii, int64_t width, int64_t height) {
  const Image image = {int(width), int(height)};
  return is_double(means2d) ? run_bin<double>(means2d, conics, depths, reaches, radii, image)
                            : run_bin<float>(means2d, conics, depths, reaches, radii, image);
}

}  // namespace gsr

STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CPU, m) { m.impl("bin", TORCH_BOX(&gsr::bin)); }

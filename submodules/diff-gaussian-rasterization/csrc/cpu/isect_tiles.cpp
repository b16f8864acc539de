// isect_tiles on the CPU: which splats each tile sees, near ones first.
//
// A splat's tiles are found once, row by row of tiles, in the order of the arrays. Splats are then sorted by depth (a stable
// radix sort, so ties stay in index order) and dealt out to their tiles in that order: each tile's list is sorted without
// ever sorting an intersection. The order is unique, so neither it nor anything after it depends on the number of threads.
#include <algorithm>
#include <cstring>
#include <memory>

#include "kernels.h"
#include "launch.h"
#include "parallel.h"

namespace dgr {
namespace cpu {

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

// The spans of all splats, in chunks whose memory stays where it is.
struct AllSpans {
  std::unique_ptr<TileReach[]> tile_reaches;  // (N)
  std::vector<std::unique_ptr<TileSpan[]>> chunks;
};

// Also writes each splat's number of tiles to counts (N).
template <class T>
static AllSpans find_all_spans(const Image& image, const SplatInput<T>& splats, int64_t n, int32_t* counts) {
  constexpr int64_t CHUNK = 4096;
  AllSpans all;
  all.tile_reaches.reset(new TileReach[n]);
  all.chunks.resize((n + CHUNK - 1) / CHUNK);
  for_each_chunk(n, CHUNK, [&](int64_t begin, int64_t end, int64_t chunk) {
    const int64_t rows = kernels<T>().tile_rows(image, splats, begin, end, all.tile_reaches.get());
    all.chunks[chunk].reset(new TileSpan[rows]);
    kernels<T>().tile_spans(image, splats, begin, end, all.tile_reaches.get(), all.chunks[chunk].get(), counts);
  });
  return all;
}

// Calls f(splat, tile) for order[begin, end), each splat's tiles row by row.
template <class F>
static void for_each_intersection(const Image& image, const AllSpans& all, const std::vector<int32_t>& order,
                                  int64_t begin, int64_t end, const F& f) {
  constexpr int64_t AHEAD = 8;  // splats in order of depth lie anywhere in memory: ask for them in time
  for (int64_t i = begin; i < end; ++i) {
    if (i + 2 * AHEAD < end) __builtin_prefetch(&all.tile_reaches[order[i + 2 * AHEAD]]);
    if (i + AHEAD < end) __builtin_prefetch(all.tile_reaches[order[i + AHEAD]].spans);
    const TileReach reach = all.tile_reaches[order[i]];
    for (int row = 0; row < reach.rows; ++row) {
      const int tiles = (reach.first_row + row) * image.tiles_x();
      for (int x = reach.spans[row].first; x <= reach.spans[row].last; ++x) f(order[i], tiles + x);
    }
  }
}

// counts (N) -> isect_offsets (N + 1), where each splat's slots begin; returns their number.
static int64_t offsets_from_counts(int32_t* isect_offsets, int64_t n) {
  int64_t total = 0;
  for (int64_t i = 0; i <= n; ++i) {
    const int32_t count = i < n ? isect_offsets[i] : 0;
    isect_offsets[i] = int32_t(total);
    total += count;
  }
  return total;
}

// How many intersections each share of the order has in each tile -> where it writes its first; and where tiles begin.
static void ranges_from_counts(std::vector<int32_t>& places, int64_t tiles, int64_t shares, int32_t* tile_ranges) {
  int32_t place = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    tile_ranges[tile] = place;
    for (int64_t share = 0; share < shares; ++share) {
      const int32_t here = places[share * tiles + tile];
      places[share * tiles + tile] = place;
      place += here;
    }
  }
  tile_ranges[tiles] = place;
}

template <class T>
int isect_tiles(const Image& image, const SplatInput<T>& splats, int64_t n, int32_t* isect_offsets,
                int32_t* tile_ranges, const Allocator& allocator, void*) {
  const int64_t tiles = image.tiles();
  const AllSpans all = find_all_spans<T>(image, splats, n, isect_offsets);
  const int64_t total = offsets_from_counts(isect_offsets, n);
  if (total > INT32_MAX) return TOO_MANY_INTERSECTIONS;
  const std::vector<int32_t> order = order_by_depth(n, splats.radii, splats.depths);

  // Splats in depth order are dealt in as many shares as there are threads: fewer would idle, more would cost counters.
  constexpr int64_t WORTH_SHARING = 1024;
  const int64_t visible = int64_t(order.size()), share = std::max(visible / num_threads() + 1, WORTH_SHARING);
  const int64_t shares = (visible + share - 1) / share;
  std::vector<int32_t> places(shares * tiles, 0);
  for_each_chunk(visible, share, [&](int64_t begin, int64_t end, int64_t chunk) {
    int32_t* counts = &places[chunk * tiles];
    for_each_intersection(image, all, order, begin, end, [&](int32_t, int tile) { ++counts[tile]; });
  });
  ranges_from_counts(places, tiles, shares, tile_ranges);

  const auto list = [&](BufferKind kind) {
    return static_cast<int32_t*>(allocator.allocate(allocator.context, kind, total * sizeof(int32_t)));
  };
  int32_t *flatten_ids = list(BufferKind::FlattenIds), *grad_slots = list(BufferKind::GradSlots);
  for_each_chunk(visible, share, [&](int64_t begin, int64_t end, int64_t chunk) {
    int32_t *next = &places[chunk * tiles], splat = -1, next_slot = 0;
    for_each_intersection(image, all, order, begin, end, [&](int32_t i, int tile) {
      if (i != splat) next_slot = isect_offsets[i];
      splat = i;
      flatten_ids[next[tile]] = i;
      grad_slots[next[tile]++] = next_slot++;
    });
  });
  return 0;
}
DGR_INSTANTIATE_ISECT_TILES(float)
DGR_INSTANTIATE_ISECT_TILES(double)

}  // namespace cpu
}  // namespace dgr

// isect_tiles on CUDA: which splats each tile sees, near ones first.
//
// Splats are sorted by depth, and write their tiles in that order; a stable sort of these by tile alone then leaves
// each tile's list in order of depth. That moves less than half the bytes of one sort by tile and depth together
// (docs/measurements/gpu.md). The order is unique: ties in depth stay in order of the index.
#include "../math/ellipse.h"
#include "../math/pixels.h"
#include "device.cuh"
#include "isect_sort.cuh"

namespace dgr {
namespace cuda {

constexpr int ISECT_THREADS = 256;
constexpr int GROUP = 8;  // lanes that share a splat, a row of tiles each

__device__ __forceinline__ unsigned group_mask() { return ((1u << GROUP) - 1) << (threadIdx.x % WARP / GROUP * GROUP); }

// Both kernels must see the same tiles, or a splat would write more of them than it counted. So the two functions that
// find them are compiled once and called: inlined into each kernel, they could be rounded in two ways.

// The tiles with a pixel of a range; first > last if there is none.
template <class T>
__device__ __forceinline__ TileSpan tiles_of(const PixelRange<T>& range) {
  return range.first > range.last ? TileSpan{1, 0} : TileSpan{int(range.first) / TILE, int(range.last) / TILE};
}

// Where a splat lies.
template <class T>
struct LocatedSplat {
  T u, v;
  Ellipse<T> ellipse;
  int first_row, rows;  // of tiles
};
template <class T>
__device__ __noinline__ LocatedSplat<T> locate(const Image& image, const SplatInput<T>& splats, int64_t i) {
  const T u = splats.means2d[2 * i], v = splats.means2d[2 * i + 1];
  const Ellipse<T> e = ellipse(splats.inv_cov_factor[3 * i], splats.inv_cov_factor[3 * i + 1],
                               splats.inv_cov_factor[3 * i + 2], splats.cutoff_sigmas[i]);
  const TileSpan rows = tiles_of(pixels_within(v - e.half_height, v + e.half_height, image.height));
  return {u, v, e, rows.first, rows.last - rows.first + 1};
}

// The tiles that a splat reaches in a row of them.
template <class T>
__device__ __noinline__ TileSpan tile_span(int width, LocatedSplat<T> s, int row) {
  const T top = T(row * TILE) + T(0.5) - s.v;
  const Interval<T> x = extent_over_rows(s.ellipse, top, top + T(TILE - 1));
  return x.low > x.high ? TileSpan{1, 0} : tiles_of(pixels_within(s.u + x.low, s.u + x.high, width));
}

// Positive floats order as their bits do.
template <class T>
struct DepthKey;
template <>
struct DepthKey<float> {
  using type = uint32_t;
};
template <>
struct DepthKey<double> {
  using type = uint64_t;
};
template <class T>
using Key = typename DepthKey<T>::type;

template <class T>
__global__ void __launch_bounds__(ISECT_THREADS)
    count_tiles(Image image, SplatInput<T> splats, int64_t n, int32_t* counts, Key<T>* keys, int32_t* ids) {
  const int64_t i = (int64_t(blockIdx.x) * ISECT_THREADS + threadIdx.x) / GROUP;
  if (i >= n) return;
  const int lane = threadIdx.x % GROUP;
  int32_t count = 0;
  if (splats.radii[i] > 0) {
    const LocatedSplat<T> s = locate(image, splats, i);
    for (int row = lane; row < s.rows; row += GROUP) {
      const TileSpan span = tile_span(image.width, s, s.first_row + row);
      count += span.last - span.first + 1;
    }
  }
  for (int distance = GROUP / 2; distance > 0; distance /= 2) count += __shfl_xor_sync(group_mask(), count, distance);
  if (lane != 0) return;
  counts[i] = count;
  memcpy(&keys[i], &splats.depths[i], sizeof keys[i]);
  ids[i] = int32_t(i);
}

// counts in another order
__global__ void __launch_bounds__(ISECT_THREADS)
    gather_counts(const int32_t* counts, const int32_t* order, int64_t n, int32_t* ordered) {
  const int64_t j = int64_t(blockIdx.x) * ISECT_THREADS + threadIdx.x;
  if (j < n) ordered[j] = counts[order[j]];
}

// isect_offsets[n], which the sums before it leave out.
__global__ void write_total(int32_t* isect_offsets, int64_t n, int32_t total) { isect_offsets[n] = total; }

// Intersections in order of depth, each splat's row by row of tiles.
struct Intersections {
  uint32_t* tiles;  // (M)
  int32_t* slots;   // (M)
  int32_t* splats;  // (M) of each slot
};

template <class T>
__global__ void __launch_bounds__(ISECT_THREADS)
    write_tiles(Image image, int tiles_x, SplatInput<T> splats, int64_t n, const int32_t* order,
                const int32_t* isect_offsets, const int32_t* places, Intersections out) {
  const int64_t j = (int64_t(blockIdx.x) * ISECT_THREADS + threadIdx.x) / GROUP;
  if (j >= n) return;
  const int lane = threadIdx.x % GROUP;
  const int32_t id = order[j];
  if (splats.radii[id] <= 0) return;
  const LocatedSplat<T> s = locate(image, splats, id);
  int32_t place = places[j], slot = isect_offsets[id];
  for (int first = 0; first < s.rows; first += GROUP) {
    const int row = s.first_row + first + lane;
    const TileSpan span = first + lane < s.rows ? tile_span(image.width, s, row) : TileSpan{1, 0};
    const int32_t length = span.last - span.first + 1;
    int32_t end = length;  // of the rows up to this one
    for (int distance = 1; distance < GROUP; distance *= 2) {
      const int32_t before = __shfl_up_sync(group_mask(), end, distance, GROUP);
      if (lane >= distance) end += before;
    }
    for (int32_t k = 0; k < length; ++k) {
      const int32_t from_start = end - length + k;
      out.tiles[place + from_start] = uint32_t(row * tiles_x + span.first + k);
      out.slots[place + from_start] = slot + from_start;
      out.splats[slot + from_start] = id;
    }
    const int32_t all = __shfl_sync(group_mask(), end, GROUP - 1, GROUP);
    place += all;
    slot += all;
  }
}

// With the intersections sorted: their splats, and where each tile begins. One thread more than there are intersections
// closes the last ranges.
__global__ void __launch_bounds__(ISECT_THREADS)
    write_ranges(int tiles, int64_t count, const uint32_t* sorted_tiles, const int32_t* slots, const int32_t* splats,
                 int32_t* flatten_ids, int32_t* tile_ranges) {
  const int64_t k = int64_t(blockIdx.x) * ISECT_THREADS + threadIdx.x;
  if (k > count) return;
  if (k < count) flatten_ids[k] = splats[slots[k]];
  const int previous = k == 0 ? -1 : int(sorted_tiles[k - 1]), here = k == count ? tiles : int(sorted_tiles[k]);
  for (int tile = previous + 1; tile <= here; ++tile) tile_ranges[tile] = int32_t(k);
}

static int bits_of(uint32_t largest) {
  int bits = 1;
  while (largest >>= 1) ++bits;
  return bits;
}

// Splats by depth, and where each writes its first tile.
struct DepthOrder {
  int32_t *order, *places;  // (N)
};

template <class T>
static int order_by_depth(int64_t n, const int32_t* counts, const Key<T>* keys, const int32_t* ids, DepthOrder out,
                          const Allocator& allocator, void* stream) {
  Key<T>* sorted_keys = scratch<Key<T>>(allocator, n);
  int32_t* ordered = scratch<int32_t>(allocator, n);
  DGR_TRY(sort_by_key(keys, sorted_keys, ids, out.order, n, int(8 * sizeof(Key<T>)), allocator, stream));
  DGR_TRY(launch(gather_counts, blocks_for(n, ISECT_THREADS), ISECT_THREADS, stream, counts, out.order, n, ordered));
  return exclusive_sums(ordered, out.places, n, allocator, stream);
}

template <class T>
static int write_lists(const Image& image, const SplatInput<T>& splats, int64_t n, const DepthOrder& by_depth,
                       const int32_t* isect_offsets, int64_t total, int32_t* tile_ranges, const Allocator& allocator,
                       void* stream) {
  int32_t* flatten_ids =
      static_cast<int32_t*>(allocator.allocate(allocator.context, BufferKind::FlattenIds, total * sizeof(int32_t)));
  int32_t* grad_slots =
      static_cast<int32_t*>(allocator.allocate(allocator.context, BufferKind::GradSlots, total * sizeof(int32_t)));
  const Intersections unsorted = {scratch<uint32_t>(allocator, total), scratch<int32_t>(allocator, total),
                                  scratch<int32_t>(allocator, total)};
  uint32_t* sorted_tiles = scratch<uint32_t>(allocator, total);
  if (total > 0) {
    DGR_TRY(launch(write_tiles<T>, blocks_for(n, ISECT_THREADS / GROUP), ISECT_THREADS, stream, image, image.tiles_x(),
                   splats, n, by_depth.order, isect_offsets, by_depth.places, unsorted));
    DGR_TRY(sort_by_key(unsorted.tiles, sorted_tiles, unsorted.slots, grad_slots, total, bits_of(image.tiles() - 1),
                        allocator, stream));
  }
  return launch(write_ranges, blocks_for(total + 1, ISECT_THREADS), ISECT_THREADS, stream, image.tiles(), total,
                sorted_tiles, grad_slots, unsorted.splats, flatten_ids, tile_ranges);
}

template <class T>
int isect_tiles(const Image& image, const SplatInput<T>& splats, int64_t n, int32_t* isect_offsets,
                int32_t* tile_ranges, const Allocator& allocator, void* stream) {
  int32_t *counts = scratch<int32_t>(allocator, n), *ids = scratch<int32_t>(allocator, n);
  Key<T>* keys = scratch<Key<T>>(allocator, n);
  const DepthOrder by_depth = {scratch<int32_t>(allocator, n), scratch<int32_t>(allocator, n)};
  int64_t total = 0;
  if (n > 0) {
    HostTotal sum;
    DGR_TRY(launch(count_tiles<T>, blocks_for(n, ISECT_THREADS / GROUP), ISECT_THREADS, stream, image, splats, n,
                   counts, keys, ids));
    // While the total travels, the device sorts: the host waits for no work that it could not have queued before.
    DGR_TRY(sum.begin(counts, n, allocator, stream));
    DGR_TRY(exclusive_sums(counts, isect_offsets, n, allocator, stream));
    DGR_TRY(order_by_depth<T>(n, counts, keys, ids, by_depth, allocator, stream));
    DGR_TRY(sum.wait(total));
    if (total > INT32_MAX) return TOO_MANY_INTERSECTIONS;
  }
  DGR_TRY(launch(write_total, 1, 1, stream, isect_offsets, n, int32_t(total)));
  return write_lists(image, splats, n, by_depth, isect_offsets, total, tile_ranges, allocator, stream);
}

DGR_INSTANTIATE_ISECT_TILES(float)
DGR_INSTANTIATE_ISECT_TILES(double)

}  // namespace cuda
}  // namespace dgr

// blend_statistics on CUDA: what each splat weighs at its pixels, and how much of the distortion is its.
#include "slots.cuh"

namespace dgr {
namespace cuda {

constexpr int STATISTICS_BATCH = 64;

// Columns are Σw, max w, Σw·(m − M)².
struct SumOrMaximum {
  template <class T>
  __device__ __forceinline__ T operator()(int column, T a, T b) const {
    return column == 1 ? (a > b ? a : b) : a + b;
  }
};

// Records [0, count) of a batch at a warp's pixels, first first.
template <Depths D, class T, int SIZE>
__device__ __forceinline__ void measure_batch(const BlendInput<T>& in, const Batch<T, 0, SIZE>& batch, int start,
                                              int count, const TilePixel& at, PixelMeasure<T>& p, int end,
                                              const PixelState<const T, const int32_t>& state, T& surface_end,
                                              WarpSums<T, SIZE, STATISTICS_SLOT>& sums) {
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, held = sum_of_lane<2>();
  for (int first = 0; first < count; first += WARP) {
    unsigned marked = 0;
    for (unsigned set = records_of_warp(batch, first, count); set != 0; set &= set - 1) {
      const int bit = __ffs(int(set)) - 1, i = first + bit;
      const PixelSplat<T, 0>& q = batch.records[i].splat;
      const T limit = start + i < end ? in.alpha_min : ended<T>();
      const Pair<T> pair = pair_at(q, at);
      const T alpha = pair_alpha(q.opacity, pair.falloff.weight, limit, in.alpha_max).counted;
      if (!__any_sync(ALL_LANES, alpha > T(0))) continue;
      if constexpr (D == Depths::Surfaces)
        if (at.inside && T(start + i) >= surface_end) {
          const auto pixel = [&](const auto* plane) { return T(plane[at.pixel]); };
          const Surface<T> surface = surface_at(read_surfaces<T>(in, state, pixel), T(start + i));
          enter_surface(p, surface, in.inverse_distortion);
          surface_end = surface.end;
        }
      const PairShare<T> part = measure(p, depth_at<D>(q, pair.dx, pair.dy, in.inverse_distortion), alpha);
      T values[2] = {part.weight, part.distortion};
      warp_sums(values);
      const T most = warp_maximum(part.weight);
      if (held >= 0) sums.at[warp][i][2 * held] = values[0];
      if (lane == 0) sums.at[warp][i][1] = most;
      marked |= 1u << bit;
    }
    if (lane == 0) sums.marked[warp][first / WARP] = marked;
  }
}

template <class T, Depths D>
__global__ void __launch_bounds__(TILE_THREADS, tiles_at_once<T, 0>())
    statistics_kernel(BlendInput<T> in, const PackedSplat<T, 0>* splats, BlendStatistics<T> out) {
  __shared__ Batch<T, 0, STATISTICS_BATCH> batch;
  __shared__ WarpSums<T, STATISTICS_BATCH, STATISTICS_SLOT> sums;
  const int own = threadIdx.x;
  const TilePixel at = tile_pixel(in);
  PixelMeasure<T> p = {};
  int end = 0;
  T surface_end = T(0);
  if (at.inside) {
    p = read_measure<T>(in, out.state, [&](const T* plane) { return plane == nullptr ? T(0) : plane[at.pixel]; });
    end = out.state.end[at.pixel];
  }
  for (int start = 0; start < at.end - at.begin; start += STATISTICS_BATCH) {
    const int left = at.end - at.begin - start, count = left < STATISTICS_BATCH ? left : STATISTICS_BATCH;
    if (own < count) gather(in, splats[in.flatten_ids[at.begin + start + own]], own, batch);
    __syncthreads();
    measure_batch<D>(in, batch, start, count, at, p, end, out.state, surface_end, sums);
    __syncthreads();
    write_slots(sums, out.grad_slots + at.begin + start, count, out.statistics, SumOrMaximum{});
  }
  if (at.inside) out.median_depth[at.pixel] = p.median;
}

template <class T>
__global__ void __launch_bounds__(REDUCE_THREADS)
    finish_statistics(int64_t n, const int32_t* isect_offsets, const Slot<T, STATISTICS_SLOT>* slots,
                      SplatStatistics<T> out) {
  const int64_t i = (int64_t(blockIdx.x) * REDUCE_THREADS + threadIdx.x) / REDUCE_GROUP;
  if (i >= n) return;
  const Slot<T, STATISTICS_SLOT> s = reduce_slots(slots, isect_offsets[i], isect_offsets[i + 1], SumOrMaximum{});
  if (threadIdx.x % REDUCE_GROUP != 0) return;
  out.weight_sum[i] = s.at[0];
  out.max_contribution[i] = s.at[1];
  out.distortion_share[i] = s.at[2];
}

template <class T>
int blend_statistics(const BlendInput<T>& in, int64_t n, const int32_t* isect_offsets, int64_t intersections,
                     const BlendStatistics<T>& statistics, const SplatStatistics<T>& gathered,
                     const Allocator& allocator, void* stream) {
  using SlotOf = Slot<T, STATISTICS_SLOT>;
  SlotOf* slots = scratch<SlotOf>(allocator, intersections);
  BlendStatistics<T> out = statistics;
  out.statistics = reinterpret_cast<T*>(slots);
  PackedSplat<T, 0>* splats;
  DGR_TRY(pack(in, n, allocator, stream, splats));
  const Depths depths = depths_of(in);
  const auto kernel = depths == Depths::Center ? statistics_kernel<T, Depths::Center>
                      : depths == Depths::Ray  ? statistics_kernel<T, Depths::Ray>
                                               : statistics_kernel<T, Depths::Surfaces>;
  DGR_TRY(launch(kernel, tile_grid(in.image), TILE_THREADS, stream, in, splats, out));
  return launch(finish_statistics<T>, blocks_for(n, REDUCE_THREADS / REDUCE_GROUP), REDUCE_THREADS, stream, n,
                isect_offsets, slots, gathered);
}

DGR_INSTANTIATE_BLEND_STATISTICS(float)
DGR_INSTANTIATE_BLEND_STATISTICS(double)

}  // namespace cuda
}  // namespace dgr

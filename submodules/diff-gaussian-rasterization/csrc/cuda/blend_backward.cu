// blend_backward on CUDA: a block for each tile, a thread for each pixel, splats from far to near.
//
// A warp adds up a splat's sums over its 32 pixels in registers (reduce.cuh), puts them in shared memory, and
// after a batch the block writes what its warps have found to the splats' slots.
#include "../gradients.h"
#include "slots.cuh"

namespace dgr {
namespace cuda {

// Records in a batch: as many as let three tiles share a multiprocessor of 100 KiB, and fit in the 48 KiB that a block may
// have, its sums and its splats together.
template <class T, int C>
constexpr int backward_batch() {
  return (C <= 4 ? 256 : 128) / sizeof(T);
}

struct Sum {
  template <class T>
  __device__ __forceinline__ T operator()(int, T a, T b) const {
    return a + b;
  }
};

// Records [0, count) of a batch at a warp's pixels, last first.
template <bool Absgrad, Depths D, bool Distortion, class T, int C, int SIZE>
__device__ __forceinline__ void walk_batch(const BlendInput<T>& in, const Batch<T, C, SIZE>& batch, int start,
                                           int count, int longest, const TilePixel& at, PixelBackward<T, C>& p, int end,
                                           const PixelState<const T, const int32_t>& state, T& surface_begin,
                                           WarpSums<T, SIZE, sum_count<C, Absgrad, D>()>& sums) {
  constexpr int COUNT = sum_count<C, Absgrad, D>();
  const int warp = threadIdx.x / WARP, held = sum_of_lane<COUNT>();
  const int seen = longest - start < count ? longest - start : count;  // of the batch, by this warp
  for (int first = (count - 1) / WARP * WARP; first >= 0; first -= WARP) {
    unsigned marked = 0;
    for (unsigned set = records_of_warp(batch, first, seen); set != 0;) {
      const int bit = WARP - 1 - __clz(int(set)), i = first + bit;
      set &= ~(1u << bit);
      const PixelSplat<T, C>& q = batch.records[i].splat;
      const Pair<T> pair = pair_at(q, at);
      const T limit = start + i < end ? in.alpha_min : ended<T>();
      const PairAlpha<T> alpha = pair_alpha(q.opacity, pair.falloff.weight, limit, in.alpha_max);
      if (!__any_sync(ALL_LANES, alpha.counted > T(0))) continue;
      if constexpr (D == Depths::Surfaces)
        if (at.inside && T(start + i) < surface_begin) {
          const auto pixel = [&](const auto* plane) { return T(plane[at.pixel]); };
          const Surface<T> surface = surface_at(read_surfaces<T>(in, state, pixel), T(start + i));
          enter_surface(p.walk, surface, in.inverse_distortion);
          surface_begin = surface.begin;
        }
      const PairDepth<T> depth = depth_at<D>(q, pair.dx, pair.dy, in.inverse_distortion);
      const PairCotangent<T> v = blend_vjp<D, Distortion>(p.walk, q, depth, alpha.counted, alpha.free, p.v);
      SplatSums<T, C> s = {};
      add_pair<Absgrad, D>(s, q, v, pair.falloff.slant, pair.dx, pair.dy, p.v);
      T values[COUNT];
      put_in_row<Absgrad, D>(s, values);
      warp_sums(values);
      if (held >= 0) sums.at[warp][i][held] = values[0];
      marked |= 1u << bit;
    }
    if (threadIdx.x % WARP == 0) sums.marked[warp][first / WARP] = marked;
  }
}

template <class T, int C, bool Absgrad, Depths D, bool Distortion>
__global__ void __launch_bounds__(TILE_THREADS, tiles_at_once<T, C>())
    blend_backward_kernel(BlendInput<T> in, const PackedSplat<T, C>* splats, BlendCotangents<T> v) {
  constexpr int BATCH = backward_batch<T, C>(), COUNT = sum_count<C, Absgrad, D>();
  __shared__ Batch<T, C, BATCH> batch;
  __shared__ WarpSums<T, BATCH, COUNT> sums;
  __shared__ int longest;
  const int own = threadIdx.x;
  const TilePixel at = tile_pixel(in);
  PixelBackward<T, C> p = {};
  int end = 0;
  T surface_begin = never<T>();
  if (at.inside) {
    p = read_pixel<T, C>(in, v, [&](const T* plane) { return plane == nullptr ? T(0) : plane[at.pixel]; });
    end = v.state.end[at.pixel];
  }

  const int longest_of_warp = warp_maximum(end);
  if (own == 0) longest = 0;
  __syncthreads();
  if (own % WARP == 0) atomicMax(&longest, longest_of_warp);
  T background[C];
#pragma unroll
  for (int c = 0; c < C; ++c) background[c] = p.walk.transmittance * p.v.color.at[c];
  const T v_background = block_sum<C, TILE_WARPS>(background);  // which waits for the block
  if (own < C) v.v_background[C * at.tile + own] = v_background;

  const int last = longest;
  clear_slots<COUNT>(v.grad_slots + at.begin + last, at.end - at.begin - last, v.sums);
  for (int stop = last; stop > 0; stop -= BATCH) {
    const int start = stop > BATCH ? stop - BATCH : 0, count = stop - start;
    if (own < count) gather(in, splats[in.flatten_ids[at.begin + start + own]], own, batch);
    __syncthreads();
    walk_batch<Absgrad, D, Distortion>(in, batch, start, count, longest_of_warp, at, p, end, v.state, surface_begin,
                                       sums);
    __syncthreads();
    write_slots(sums, v.grad_slots + at.begin + start, count, v.sums, Sum{});
  }
}

// A Gaussian's slots become its gradients.
template <class T, int C, bool Absgrad, Depths D, int COUNT = sum_count<C, Absgrad, D>()>
__global__ void __launch_bounds__(REDUCE_THREADS)
    finish_gradients(BlendInput<T> in, int64_t n, const int32_t* isect_offsets, const Slot<T, COUNT>* slots,
                     SplatGradients<T> out) {
  const int64_t i = (int64_t(blockIdx.x) * REDUCE_THREADS + threadIdx.x) / REDUCE_GROUP;
  if (i >= n) return;
  const int32_t begin = isect_offsets[i], end = isect_offsets[i + 1];
  const Slot<T, COUNT> s = reduce_slots(slots, begin, end, Sum{});
  if (threadIdx.x % REDUCE_GROUP != 0) return;
  write_gradients<C, Absgrad, D>(in, i, begin < end, s.at, out);
}

// Colors, on which training spends its time, have a kernel for what no loss looks at; other channels one without depths.
template <class T, int C, bool Absgrad, Depths D>
static auto kernel_for(const BlendCotangents<T>& v) {
  if constexpr (C == 3 && D != Depths::Surfaces)
    if (v.v_distortion == nullptr) return blend_backward_kernel<T, C, Absgrad, D, false>;
  return blend_backward_kernel<T, C, Absgrad, D, D != Depths::None>;
}

template <int C, bool Absgrad, Depths D, class T>
static int blend_backward_of(const BlendInput<T>& in, int64_t n, const int32_t* isect_offsets, int64_t intersections,
                             BlendCotangents<T> v, const SplatGradients<T>& gradients, const Allocator& allocator,
                             void* stream) {
  using SlotOf = Slot<T, sum_count<C, Absgrad, D>()>;
  SlotOf* slots = scratch<SlotOf>(allocator, intersections);
  const int64_t tiles = in.image.tiles();
  v.sums = reinterpret_cast<T*>(slots);
  v.v_background = scratch<T>(allocator, C * tiles);
  PackedSplat<T, C>* splats;
  DGR_TRY(pack(in, n, allocator, stream, splats));
  DGR_TRY(launch(kernel_for<T, C, Absgrad, D>(v), tile_grid(in.image), TILE_THREADS, stream, in, splats, v));
  DGR_TRY(launch(finish_gradients<T, C, Absgrad, summed<D>()>, blocks_for(n, REDUCE_THREADS / REDUCE_GROUP),
                 REDUCE_THREADS, stream, in, n, isect_offsets, slots, gradients));
  return launch(sum_rows<C, T>, 1, SUM_THREADS, stream, v.v_background, tiles, gradients.background);
}

template <class T>
int blend_backward(const BlendInput<T>& in, int64_t n, const int32_t* isect_offsets, int64_t intersections,
                   const BlendCotangents<T>& v, const SplatGradients<T>& out, const Allocator& allocator,
                   void* stream) {
  return with_channels(in.channels, [&](auto channels) {
    return with_depths(depths_of(in, v), [&](auto depths) {
      constexpr int C = decltype(channels)::value;
      constexpr Depths D = decltype(depths)::value;
      return out.absgrad != nullptr
                 ? blend_backward_of<C, true, D>(in, n, isect_offsets, intersections, v, out, allocator, stream)
                 : blend_backward_of<C, false, D>(in, n, isect_offsets, intersections, v, out, allocator, stream);
    });
  });
}

DGR_INSTANTIATE_BLEND_BACKWARD(float)
DGR_INSTANTIATE_BLEND_BACKWARD(double)

}  // namespace cuda
}  // namespace dgr

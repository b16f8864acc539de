// blend_backward on CUDA: a block for each tile, a thread for each pixel, splats from far to near.
//
// A warp adds up a splat's twelve sums over its 32 pixels in registers (reduce.cuh), puts them in shared memory, and
// after a batch the block writes what its warps have found to the splats' slots.
#include "slots.cuh"

namespace gsr {
namespace cuda {

// As many as let three tiles share a multiprocessor of 100 KiB, and fit in the 48 KiB that a block may have.
template <class T>
constexpr int backward_batch() {
  return 256 / sizeof(T);
}

struct Sum {
  template <class T>
  __device__ __forceinline__ T operator()(int, T a, T b) const {
    return a + b;
  }
};

// A pixel's incoming gradients, and where its walk starts: behind its last splat.
template <class T>
struct PixelBackward {
  PixelCotangent<T> v;
  PixelWalk<T> walk;
  int end;
};
template <class T>
__device__ __forceinline__ PixelBackward<T> load_pixel(const BlendInput<T>& in, const BlendCotangents<T>& v,
                                                       const TilePixel& at) {
  PixelBackward<T> p = {};
  if (!at.inside) return p;
  const int64_t plane = int64_t(in.image.width) * in.image.height;
  const auto load = [&](const T* pixels) { return pixels == nullptr ? T(0) : pixels[at.pixel]; };
  if (v.v_color != nullptr)
    p.v = {v.v_color[at.pixel], v.v_color[plane + at.pixel], v.v_color[2 * plane + at.pixel], T(0), T(0), T(0)};
  p.v.inverse_depth = load(v.v_inv_depth);
  p.v.depth = load(v.v_depth);
  p.v.distortion = load(v.v_distortion);
  p.walk.transmittance = v.state.transmittance[at.pixel];
  p.walk.behind = p.v.r * in.background[0] + p.v.g * in.background[1] + p.v.b * in.background[2] - load(v.v_alpha);
  p.walk.reference = v.state.reference[at.pixel];
  p.walk.reference_factor = reference_factor(in, p.walk.reference);
  p.walk.offset = v.state.offset[at.pixel];
  p.end = v.state.end[at.pixel];
  return p;
}

// Records [0, count) of a batch at a warp's pixels, last first.
template <bool Depths, bool Distortion, class T, int SIZE>
__device__ __forceinline__ void walk_batch(const BlendInput<T>& in, const Batch<T, SIZE>& batch, int start, int count,
                                           int longest, const TilePixel& at, PixelBackward<T>& p,
                                           WarpSums<T, SIZE, SLOT>& sums) {
  const int warp = threadIdx.x / WARP, held = sum_of_lane<SLOT>();
  const int seen = longest - start < count ? longest - start : count;  // of the batch, by this warp
  for (int first = (count - 1) / WARP * WARP; first >= 0; first -= WARP) {
    unsigned marked = 0;
    for (unsigned set = records_of_warp(batch, first, seen); set != 0;) {
      const int bit = WARP - 1 - __clz(int(set)), i = first + bit;
      set &= ~(1u << bit);
      const PixelSplat<T>& q = batch.records[i].splat;
      const Pair<T> pair = pair_at(q, at);
      const T limit = start + i < p.end ? in.alpha_min : ended<T>();
      const PairAlpha<T> alpha = pair_alpha(q.opacity, pair.falloff.weight, limit, in.alpha_max);
      if (!__any_sync(ALL_LANES, alpha.counted > T(0))) continue;
      const PairCotangent<T> v = blend_vjp<Depths, Distortion>(p.walk, q, alpha.counted, alpha.free, p.v);
      SplatSums<T> s = {};
      add_pair(s, q, v, pair.falloff.slant, pair.dx, pair.dy, p.v);
      T values[SLOT] = {s.red,      s.green,    s.blue, s.depth,  s.total, s.slant,
                        s.slant_dx, s.slant_dy, s.row,  s.row_dy, s.abs_u, s.abs_v};
      warp_sums(values);
      if (held >= 0) sums.at[warp][i][held] = values[0];
      marked |= 1u << bit;
    }
    if (threadIdx.x % WARP == 0) sums.marked[warp][first / WARP] = marked;
  }
}

template <class T, bool Depths, bool Distortion>
__global__ void __launch_bounds__(TILE_THREADS, tiles_at_once<T>(4))
    blend_backward_kernel(BlendInput<T> in, const PackedSplat<T>* splats, BlendCotangents<T> v) {
  constexpr int BATCH = backward_batch<T>();
  __shared__ Batch<T, BATCH> batch;
  __shared__ WarpSums<T, BATCH, SLOT> sums;
  __shared__ int longest;
  const int own = threadIdx.x;
  const TilePixel at = tile_pixel(in);
  PixelBackward<T> p = load_pixel(in, v, at);

  const int longest_of_warp = warp_maximum(p.end);
  if (own == 0) longest = 0;
  __syncthreads();
  if (own % WARP == 0) atomicMax(&longest, longest_of_warp);
  T background[3] = {p.walk.transmittance * p.v.r, p.walk.transmittance * p.v.g, p.walk.transmittance * p.v.b};
  const T v_background = block_sum<3, TILE_WARPS>(background);  // which waits for the block
  if (own < 3) v.v_background[3 * at.tile + own] = v_background;

  const int last = longest;
  clear_slots<SLOT>(v.slots + at.begin + last, at.end - at.begin - last, v.sums);
  for (int stop = last; stop > 0; stop -= BATCH) {
    const int start = stop > BATCH ? stop - BATCH : 0, count = stop - start;
    if (own < count) gather(in, splats[in.ids[at.begin + start + own]], own, batch);
    __syncthreads();
    walk_batch<Depths, Distortion>(in, batch, start, count, longest_of_warp, at, p, sums);
    __syncthreads();
    write_slots(sums, v.slots + at.begin + start, count, v.sums, Sum{});
  }
}

// A Gaussian's slots become its gradients.
template <class T>
__global__ void __launch_bounds__(REDUCE_THREADS) finish_gradients(BlendInput<T> in, int64_t n, const int32_t* offsets,
                                                                   const Slot<T, SLOT>* slots, SplatGradients<T> out) {
  const int64_t i = (int64_t(blockIdx.x) * REDUCE_THREADS + threadIdx.x) / REDUCE_GROUP;
  if (i >= n) return;
  const int32_t begin = offsets[i], end = offsets[i + 1];
  const Slot<T, SLOT> s = reduce_slots(slots, begin, end, Sum{});
  if (threadIdx.x % REDUCE_GROUP != 0) return;
  const SplatSums<T> total = {s.at[0], s.at[1], s.at[2], s.at[3], s.at[4],  s.at[5],
                              s.at[6], s.at[7], s.at[8], s.at[9], s.at[10], s.at[11]};
  SplatCotangent<T> v = {};
  if (begin < end) v = finish(total, in.conics[3 * i], in.conics[3 * i + 1], in.conics[3 * i + 2], in.opacities[i]);
  out.means2d[2 * i] = v.u;
  out.means2d[2 * i + 1] = v.v;
  out.absgrad[2 * i] = v.abs_u;
  out.absgrad[2 * i + 1] = v.abs_v;
  out.conics[3 * i] = v.xx;
  out.conics[3 * i + 1] = v.xy;
  out.conics[3 * i + 2] = v.yy;
  out.opacities2d[i] = v.opacity;
  out.colors[3 * i] = total.red;
  out.colors[3 * i + 1] = total.green;
  out.colors[3 * i + 2] = total.blue;
  out.depths[i] = total.depth;
}

template <class T>
static auto kernel_for(const BlendCotangents<T>& v) {
  if (v.v_distortion != nullptr) return blend_backward_kernel<T, true, true>;
  if (v.v_inv_depth != nullptr || v.v_depth != nullptr) return blend_backward_kernel<T, true, false>;
  return blend_backward_kernel<T, false, false>;
}

template <class T>
int blend_backward(const BlendInput<T>& in, int64_t n, const int32_t* offsets, int64_t intersections,
                   const BlendCotangents<T>& cotangents, const SplatGradients<T>& gradients, const Memory& memory,
                   void* stream) {
  using SlotOf = Slot<T, SLOT>;
  SlotOf* slots = scratch<SlotOf>(memory, intersections);
  const int64_t tiles = in.image.tiles();
  BlendCotangents<T> v = cotangents;
  v.sums = reinterpret_cast<T*>(slots);
  v.v_background = scratch<T>(memory, 3 * tiles);
  PackedSplat<T>* splats = scratch<PackedSplat<T>>(memory, n);
  GSR_TRY(pack(in, n, splats, stream));
  GSR_TRY(launch(kernel_for(v), tile_grid(in.image), TILE_THREADS, stream, in, splats, v));
  GSR_TRY(launch(finish_gradients<T>, blocks_for(n, REDUCE_THREADS / REDUCE_GROUP), REDUCE_THREADS, stream, in, n,
                 offsets, slots, gradients));
  return launch(sum_rows<3, T>, 1, SUM_THREADS, stream, v.v_background, tiles, gradients.background);
}

#define GSR_INSTANTIATE(T)                                                                                          \
  template int blend_backward<T>(const BlendInput<T>&, int64_t, const int32_t*, int64_t, const BlendCotangents<T>&, \
                                 const SplatGradients<T>&, const Memory&, void*);
GSR_INSTANTIATE(float)
GSR_INSTANTIATE(double)
#undef GSR_INSTANTIATE

}  // namespace cuda
}  // namespace gsr

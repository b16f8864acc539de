// blend on CUDA: a block for each tile, a thread for each pixel, splats from near to far.
#include "tile.cuh"

namespace gsr {
namespace cuda {

constexpr int FORWARD_BATCH = 256;

template <class T>
__device__ __forceinline__ void write_pixel(const BlendInput<T>& in, const BlendOutput<T>& out, int64_t pixel,
                                            const PixelSums<T>& sums, int end) {
  const int64_t plane = int64_t(in.image.width) * in.image.height;
  out.color[pixel] = sums.r + sums.transmittance * in.background[0];
  out.color[plane + pixel] = sums.g + sums.transmittance * in.background[1];
  out.color[2 * plane + pixel] = sums.b + sums.transmittance * in.background[2];
  out.inv_depth[pixel] = sums.inverse_depth;
  out.depth[pixel] = sums.depth;
  out.alpha[pixel] = sums.weight;
  out.distortion[pixel] = distortion(sums);
  out.state.transmittance[pixel] = sums.transmittance;
  out.state.reference[pixel] = sums.reference;
  out.state.offset[pixel] = mean_offset(sums);
  out.state.end[pixel] = end;
}

template <class T>
__global__ void __launch_bounds__(TILE_THREADS, tiles_at_once<T>(4))
    blend_kernel(BlendInput<T> in, const PackedSplat<T>* splats, BlendOutput<T> out) {
  __shared__ Batch<T, FORWARD_BATCH> batch;
  const TilePixel pixel = tile_pixel(in);
  PixelSums<T> sums = empty_pixel<T>();
  T limit = pixel.inside ? in.alpha_min : ended<T>();
  int end = pixel.end - pixel.begin;
  for (int start = pixel.begin; start < pixel.end; start += FORWARD_BATCH) {
    if (__syncthreads_and(limit == ended<T>())) break;
    const int count = pixel.end - start < FORWARD_BATCH ? pixel.end - start : FORWARD_BATCH, own = threadIdx.x;
    if (own < count) gather(in, splats[in.ids[start + own]], own, batch);
    __syncthreads();
    for (int first = 0; first < count; first += WARP) {
      if (__all_sync(ALL_LANES, limit == ended<T>())) break;
      for (unsigned set = records_of_warp(batch, first, count); set != 0; set &= set - 1) {
        const int i = first + __ffs(int(set)) - 1;
        const PixelSplat<T>& q = batch.records[i].splat;
        const T alpha = pair_alpha(q.opacity, pair_at(q, pixel).falloff.weight, limit, in.alpha_max).counted;
        if (alpha == T(0)) continue;
        const T w = alpha * sums.transmittance, next = sums.transmittance - w;
        if (next < in.transmittance_min) {
          limit = ended<T>();
          end = start - pixel.begin + i;
        } else {
          gsr::blend(sums, q, w, next);
        }
      }
    }
  }
  if (pixel.inside) write_pixel(in, out, pixel.pixel, sums, end);
}

template <class T>
int blend(const BlendInput<T>& in, int64_t n, const BlendOutput<T>& out, const Memory& memory, void* stream) {
  PackedSplat<T>* splats = scratch<PackedSplat<T>>(memory, n);
  GSR_TRY(pack(in, n, splats, stream));
  return launch(blend_kernel<T>, tile_grid(in.image), TILE_THREADS, stream, in, splats, out);
}

template int blend<float>(const BlendInput<float>&, int64_t, const BlendOutput<float>&, const Memory&, void*);
template int blend<double>(const BlendInput<double>&, int64_t, const BlendOutput<double>&, const Memory&, void*);

}  // namespace cuda
}  // namespace gsr

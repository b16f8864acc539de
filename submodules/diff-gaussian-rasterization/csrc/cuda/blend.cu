// blend on CUDA: a block for each tile, a thread for each pixel, splats from near to far.
#include "tile.cuh"

namespace dgr {
namespace cuda {

// As many as fit in the 48 KiB that a block may have, with room for other tiles.
template <class T, int C>
constexpr int forward_batch() {
  return C * sizeof(T) > 32 ? 128 : 256;
}

template <class T, int C, Depths D>
__global__ void __launch_bounds__(TILE_THREADS, tiles_at_once<T, C>())
    blend_kernel(BlendInput<T> in, const PackedSplat<T, C>* splats, BlendOutput<T> out) {
  constexpr int BATCH = forward_batch<T, C>();
  __shared__ Batch<T, C, BATCH> batch;
  const TilePixel pixel = tile_pixel(in);
  PixelSums<T, C> sums = first_pixel<T, C>(
      in, [&](const T* plane) { return plane == nullptr || !pixel.inside ? T(0) : plane[pixel.pixel]; });
  PixelSurfaces<T> surfaces = no_surfaces<T>();
  T limit = pixel.inside ? in.alpha_min : ended<T>();
  int end = pixel.end - pixel.begin;
  for (int start = pixel.begin; start < pixel.end; start += BATCH) {
    if (__syncthreads_and(limit == ended<T>())) break;
    const int count = pixel.end - start < BATCH ? pixel.end - start : BATCH, own = threadIdx.x;
    if (own < count) gather(in, splats[in.flatten_ids[start + own]], own, batch);
    __syncthreads();
    for (int first = 0; first < count; first += WARP) {
      if (__all_sync(ALL_LANES, limit == ended<T>())) break;
      for (unsigned set = records_of_warp(batch, first, count); set != 0; set &= set - 1) {
        const int i = first + __ffs(int(set)) - 1;
        const PixelSplat<T, C>& q = batch.records[i].splat;
        const Pair<T> pair = pair_at(q, pixel);
        const T alpha = pair_alpha(q.opacity, pair.falloff.weight, limit, in.alpha_max).counted;
        if (alpha == T(0)) continue;
        const Passage<T> light = pass(sums.transmittance, alpha, in.transmittance_min);
        if (light.ends) {
          limit = ended<T>();
          end = start - pixel.begin + i;
        } else {
          const PairDepth<T> at = depth_at<D>(q, pair.dx, pair.dy, in.inverse_distortion);
          if constexpr (D == Depths::Surfaces)
            blend_surface(sums, surfaces, q, at, light.weight, light.transmittance, in.distortion_gap,
                          T(start - pixel.begin + i));
          else
            dgr::blend<D>(sums, q, at, light.weight, light.transmittance);
        }
      }
    }
  }
  if (pixel.inside)
    write_pixel<D>(in, out, sums, surfaces, end, [&](auto* plane, auto value) { plane[pixel.pixel] = value; });
}

template <class T>
int blend(const BlendInput<T>& in, int64_t n, const BlendOutput<T>& out, const Allocator& allocator, void* stream) {
  return with_channels(in.channels, [&](auto channels) -> int {
    constexpr int C = decltype(channels)::value;
    PackedSplat<T, C>* splats;
    DGR_TRY(pack(in, n, allocator, stream, splats));
    const Depths depths = depths_of(in);
    const auto kernel = depths == Depths::Center ? blend_kernel<T, C, Depths::Center>
                        : depths == Depths::Ray  ? blend_kernel<T, C, Depths::Ray>
                                                 : blend_kernel<T, C, Depths::Surfaces>;
    return launch(kernel, tile_grid(in.image), TILE_THREADS, stream, in, splats, out);
  });
}

DGR_INSTANTIATE_BLEND(float)
DGR_INSTANTIATE_BLEND(double)

}  // namespace cuda
}  // namespace dgr

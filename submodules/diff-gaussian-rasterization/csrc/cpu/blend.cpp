// blend, blend_backward and blend_statistics on the CPU: tiles in parallel, then sums over each Gaussian's slots in order.
#include "../gradients.h"
#include "kernels.h"
#include "launch.h"
#include "parallel.h"

namespace dgr {
namespace cpu {

// f(tile, scratch) for every tile.
template <class F>
static void for_each_tile(const Image& image, size_t scratch_bytes, const F& f) {
  for_each_task(image.tiles(), [&](int64_t tile) { f(int(tile), thread_scratch(scratch_bytes)); });
}

// The kernels for a number of channels.
template <class T>
static const BlendKernels<T>& blend_kernels(int channels) {
  int kind = 0;
  while (CHANNEL_COUNTS[kind] != channels) ++kind;
  return kernels<T>().blends[kind];
}

template <class T>
int blend(const BlendInput<T>& in, int64_t, const BlendOutput<T>& out, const Allocator&, void*) {
  const BlendKernels<T>& table = blend_kernels<T>(in.channels);
  const auto blend = table.blend[int(depths_of(in))];
  for_each_tile(in.image, table.scratch_bytes, [&](int tile, void* scratch) { blend(in, out, tile, scratch); });
  return 0;
}

// ---- backward

// A Gaussian's slots, added in their order, become its gradients.
template <int C, bool Absgrad, Depths D, class T>
static void reduce_slots(const BlendInput<T>& in, int64_t n, const int32_t* isect_offsets, const T* sums,
                         const SplatGradients<T>& out) {
  constexpr int COUNT = sum_count<C, Absgrad, D>();
  for_each_chunk(n, 4096, [&](int64_t begin, int64_t end, int64_t) {
    for (int64_t i = begin; i < end; ++i) {
      T total[COUNT] = {};
      for (int64_t slot = isect_offsets[i]; slot < isect_offsets[i + 1]; ++slot)
        for (int k = 0; k < COUNT; ++k) total[k] += sums[slot * COUNT + k];
      write_gradients<C, Absgrad, D>(in, i, isect_offsets[i] < isect_offsets[i + 1], total, out);
    }
  });
}

template <int C, bool Absgrad, Depths D, class T>
static void blend_backward_of(const BlendInput<T>& in, int64_t n, const int32_t* isect_offsets, int64_t intersections,
                              BlendCotangents<T> v, const SplatGradients<T>& out, const Allocator& allocator) {
  const BlendKernels<T>& table = blend_kernels<T>(C);
  const auto backward = (Absgrad ? table.backward_with_absgrad : table.backward)[int(D)];
  v.sums = scratch<T>(allocator, intersections * sum_count<C, Absgrad, D>());
  std::vector<T> v_background(C * int64_t(in.image.tiles()));
  v.v_background = v_background.data();
  for_each_tile(in.image, table.scratch_bytes, [&](int tile, void* scratch) { backward(in, v, tile, scratch); });
  reduce_slots<C, Absgrad, summed<D>()>(in, n, isect_offsets, v.sums, out);
  for (int c = 0; c < C; ++c) out.background[c] = 0;
  for (size_t i = 0; i < v_background.size(); ++i) out.background[i % C] += v_background[i];
}

template <class T>
int blend_backward(const BlendInput<T>& in, int64_t n, const int32_t* isect_offsets, int64_t intersections,
                   const BlendCotangents<T>& v, const SplatGradients<T>& out, const Allocator& allocator, void*) {
  with_channels(in.channels, [&](auto channels) {
    with_depths(depths_of(in, v), [&](auto depths) {
      constexpr int C = decltype(channels)::value;
      constexpr Depths D = decltype(depths)::value;
      if (out.absgrad != nullptr)
        blend_backward_of<C, true, D>(in, n, isect_offsets, intersections, v, out, allocator);
      else
        blend_backward_of<C, false, D>(in, n, isect_offsets, intersections, v, out, allocator);
    });
  });
  return 0;
}

// ---- statistics

template <class T>
int blend_statistics(const BlendInput<T>& in, int64_t n, const int32_t* isect_offsets, int64_t intersections,
                     const BlendStatistics<T>& given, const SplatStatistics<T>& out, const Allocator& allocator,
                     void*) {
  BlendStatistics<T> statistics = given;
  statistics.statistics = scratch<T>(allocator, intersections * STATISTICS_SLOT);
  const auto measure = kernels<T>().blend_statistics[int(depths_of(in))];
  for_each_tile(in.image, kernels<T>().statistics_scratch_bytes,
                [&](int tile, void* scratch) { measure(in, statistics, tile, scratch); });
  const T* values = statistics.statistics;
  for (int64_t i = 0; i < n; ++i) {
    T total = 0, most = 0, part = 0;
    for (int64_t slot = isect_offsets[i]; slot < isect_offsets[i + 1]; ++slot) {
      total += values[STATISTICS_SLOT * slot];
      most = values[STATISTICS_SLOT * slot + 1] > most ? values[STATISTICS_SLOT * slot + 1] : most;
      part += values[STATISTICS_SLOT * slot + 2];
    }
    out.weight_sum[i] = total;
    out.max_contribution[i] = most;
    out.distortion_share[i] = part;
  }
  return 0;
}

DGR_INSTANTIATE_BLEND(float)
DGR_INSTANTIATE_BLEND(double)
DGR_INSTANTIATE_BLEND_BACKWARD(float)
DGR_INSTANTIATE_BLEND_BACKWARD(double)
DGR_INSTANTIATE_BLEND_STATISTICS(float)
DGR_INSTANTIATE_BLEND_STATISTICS(double)

}  // namespace cpu
}  // namespace dgr

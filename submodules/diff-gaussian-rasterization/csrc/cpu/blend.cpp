// blend, blend_backward and blend_statistics on the CPU: tiles in parallel, then sums over each Gaussian's slots in order.
#include "../math/blend.h"
#include "kernels.h"
#include "launch.h"
#include "parallel.h"

namespace gsr {
namespace cpu {

// f(tile, scratch) for every tile.
template <class T, class F>
static void for_each_tile(const Image& image, const F& f) {
  WorkerScratch scratch(kernels<T>().scratch_bytes);
  for_each_task(image.tiles(), [&](int64_t tile, int64_t worker) { f(int(tile), scratch.of(worker)); });
}

template <class T>
int blend(const BlendInput<T>& in, int64_t, const BlendOutput<T>& out, const Memory&, void*) {
  for_each_tile<T>(in.image, [&](int tile, void* scratch) { kernels<T>().blend(in, out, tile, scratch); });
  return 0;
}

// ---- backward

template <class T>
static SplatSums<T> sum_slots(const T* sums, int64_t begin, int64_t end) {
  T s[SLOT] = {};
  for (int64_t slot = begin; slot < end; ++slot)
    for (int k = 0; k < SLOT; ++k) s[k] += sums[slot * SLOT + k];
  return {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11]};
}

// A Gaussian's slots, added in their order, become its gradients.
template <class T>
static void reduce_slots(const BlendInput<T>& in, int64_t n, const int32_t* offsets, const T* sums,
                         const SplatGradients<T>& out) {
  for_each_chunk(n, 4096, [&](int64_t begin, int64_t end, int64_t) {
    for (int64_t i = begin; i < end; ++i) {
      const SplatSums<T> total = sum_slots(sums, offsets[i], offsets[i + 1]);
      SplatCotangent<T> v = {};
      if (offsets[i] < offsets[i + 1])
        v = finish(total, in.conics[3 * i], in.conics[3 * i + 1], in.conics[3 * i + 2], in.opacities[i]);
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
  });
}

template <class T>
int blend_backward(const BlendInput<T>& in, int64_t n, const int32_t* offsets, int64_t intersections,
                   const BlendCotangents<T>& given, const SplatGradients<T>& out, const Memory& memory, void*) {
  BlendCotangents<T> v = given;
  v.sums = scratch<T>(memory, intersections * SLOT);
  std::vector<T> v_background(3 * int64_t(in.image.tiles()));
  v.v_background = v_background.data();
  for_each_tile<T>(in.image, [&](int tile, void* scratch) { kernels<T>().blend_backward(in, v, tile, scratch); });
  reduce_slots(in, n, offsets, v.sums, out);
  for (int c = 0; c < 3; ++c) out.background[c] = 0;
  for (size_t i = 0; i < v_background.size(); ++i) out.background[i % 3] += v_background[i];
  return 0;
}

// ---- statistics

template <class T>
int blend_statistics(const BlendInput<T>& in, int64_t n, const int32_t* offsets, int64_t intersections,
                     const BlendStatistics<T>& given, const SplatStatistics<T>& out, const Memory& memory, void*) {
  BlendStatistics<T> statistics = given;
  statistics.statistics = scratch<T>(memory, intersections * STATISTICS_SLOT);
  for_each_tile<T>(in.image,
                   [&](int tile, void* scratch) { kernels<T>().blend_statistics(in, statistics, tile, scratch); });
  const T* values = statistics.statistics;
  for (int64_t i = 0; i < n; ++i) {
    T total = 0, most = 0, part = 0;
    for (int64_t slot = offsets[i]; slot < offsets[i + 1]; ++slot) {
      total += values[STATISTICS_SLOT * slot];
      most = values[STATISTICS_SLOT * slot + 1] > most ? values[STATISTICS_SLOT * slot + 1] : most;
      part += values[STATISTICS_SLOT * slot + 2];
    }
    out.weight_sum[i] = total;
    out.weight_max[i] = most;
    out.distortion_share[i] = part;
  }
  return 0;
}

#define GSR_INSTANTIATE(T)                                                                                            \
  template int blend<T>(const BlendInput<T>&, int64_t, const BlendOutput<T>&, const Memory&, void*);                  \
  template int blend_backward<T>(const BlendInput<T>&, int64_t, const int32_t*, int64_t, const BlendCotangents<T>&,   \
                                 const SplatGradients<T>&, const Memory&, void*);                                     \
  template int blend_statistics<T>(const BlendInput<T>&, int64_t, const int32_t*, int64_t, const BlendStatistics<T>&, \
                                   const SplatStatistics<T>&, const Memory&, void*);
GSR_INSTANTIATE(float)
GSR_INSTANTIATE(double)
#undef GSR_INSTANTIATE

}  // namespace cpu
}  // namespace gsr

// blend, blend_backward and blend_statistics on the CPU: tiles in parallel, then sums over each Gaussian's slots in order.
#include "../math/blend.h"
#include "kernels.h"
#include "tensors.h"

namespace gsr {

// What all three operators are given.
struct BlendTensors {
  const Tensor &means2d, &conics, &opacities2d, &colors, &depths, &background, &reaches, &ids, &slots, &offsets,
      &ranges;
};
struct BlendSettings {
  Image image;
  double alpha_min, alpha_max, transmittance_min;
  bool inverse_distortion;
};

template <class T>
static BlendInput<T> input_of(const BlendTensors& t, const BlendSettings& s) {
  return {
      s.image,           read<T>(t.means2d), read<T>(t.conics),      read<T>(t.opacities2d), read<T>(t.colors),
      read<T>(t.depths), read<T>(t.reaches), read<T>(t.background),  read<int32_t>(t.ids),   read<int32_t>(t.ranges),
      T(s.alpha_min),    T(s.alpha_max),     T(s.transmittance_min), s.inverse_distortion};
}

// f(tile, scratch) for every tile.
template <class T, class F>
static void for_each_tile(const Image& image, const F& f) {
  WorkerScratch scratch(kernels<T>().scratch_bytes);
  for_each_task(image.tiles(), [&](int64_t tile, int64_t worker) { f(int(tile), scratch.of(worker)); });
}

// ---- forward

struct BlendOutputTensors {
  Tensor color, inv_depth, depth, alpha, distortion, transmittance, reference, offset, end;
};

template <class T>
static void run_blend(const BlendInput<T>& in, BlendOutputTensors& t) {
  const BlendOutput<T> out = {
      write<T>(t.color),
      write<T>(t.inv_depth),
      write<T>(t.depth),
      write<T>(t.alpha),
      write<T>(t.distortion),
      {write<T>(t.transmittance), write<T>(t.reference), write<T>(t.offset), write<int32_t>(t.end)}};
  for_each_tile<T>(in.image, [&](int tile, void* scratch) { kernels<T>().blend(in, out, tile, scratch); });
}

static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> blend_forward(
    Tensor means2d, Tensor conics, Tensor opacities2d, Tensor colors, Tensor depths, Tensor background, Tensor reaches,
    Tensor ids, Tensor slots, Tensor offsets, Tensor ranges, int64_t width, int64_t height, double alpha_min,
    double alpha_max, double transmittance_min, bool inverse_distortion) {
  const BlendTensors t = {means2d, conics, opacities2d, colors,  depths, background,
                          reaches, ids,    slots,       offsets, ranges};
  const BlendSettings s = {{int(width), int(height)}, alpha_min, alpha_max, transmittance_min, inverse_distortion};
  const auto plane = [&](int64_t channels) { return empty(means2d, {channels, height, width}); };
  BlendOutputTensors out = {plane(3), plane(1), plane(1),
                            plane(1), plane(1), plane(1),
                            plane(1), plane(1), empty_int32(means2d, {1, height, width})};
  if (is_double(means2d))
    run_blend(input_of<double>(t, s), out);
  else
    run_blend(input_of<float>(t, s), out);
  return {out.color,         out.inv_depth, out.depth,  out.alpha, out.distortion,
          out.transmittance, out.reference, out.offset, out.end};
}

// ---- backward

struct BlendCotangentTensors {
  const Tensor &transmittance, &reference, &offset, &end, &v_color, &v_inv_depth, &v_depth, &v_alpha, &v_distortion;
};
struct SplatCotangentTensors {
  Tensor means2d, absgrad, conics, opacities2d, colors, depths, background;
};

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
                         SplatCotangentTensors& out) {
  T *means2d = write<T>(out.means2d), *absgrad = write<T>(out.absgrad), *conics = write<T>(out.conics),
    *opacities = write<T>(out.opacities2d), *colors = write<T>(out.colors), *depths = write<T>(out.depths);
  for_each_chunk(n, 4096, [&](int64_t begin, int64_t end, int64_t) {
    for (int64_t i = begin; i < end; ++i) {
      const SplatSums<T> total = sum_slots(sums, offsets[i], offsets[i + 1]);
      SplatCotangent<T> v = {};
      if (offsets[i] < offsets[i + 1])
        v = finish(total, in.conics[3 * i], in.conics[3 * i + 1], in.conics[3 * i + 2], in.opacities[i]);
      means2d[2 * i] = v.u;
      means2d[2 * i + 1] = v.v;
      absgrad[2 * i] = v.abs_u;
      absgrad[2 * i + 1] = v.abs_v;
      conics[3 * i] = v.xx;
      conics[3 * i + 1] = v.xy;
      conics[3 * i + 2] = v.yy;
      opacities[i] = v.opacity;
      colors[3 * i] = total.red;
      colors[3 * i + 1] = total.green;
      colors[3 * i + 2] = total.blue;
      depths[i] = total.depth;
    }
  });
}

template <class T>
static void run_blend_backward(const BlendTensors& t, const BlendSettings& s, const BlendCotangentTensors& v,
                               SplatCotangentTensors& out) {
  const BlendInput<T> in = input_of<T>(t, s);
  Tensor sums = empty(t.means2d, {t.ids.size(0), SLOT}), v_background = empty(t.means2d, {s.image.tiles(), 3});
  const BlendCotangents<T> cotangents = {
      read_if_any<T>(v.v_color),
      read_if_any<T>(v.v_inv_depth),
      read_if_any<T>(v.v_depth),
      read_if_any<T>(v.v_alpha),
      read_if_any<T>(v.v_distortion),
      {read<T>(v.transmittance), read<T>(v.reference), read<T>(v.offset), read<int32_t>(v.end)},
      read<int32_t>(t.slots),
      write<T>(sums),
      write<T>(v_background)};
  for_each_tile<T>(s.image,
                   [&](int tile, void* scratch) { kernels<T>().blend_backward(in, cotangents, tile, scratch); });
  reduce_slots(in, t.means2d.size(0), read<int32_t>(t.offsets), read<T>(sums), out);
  T* background = write<T>(out.background);
  for (int c = 0; c < 3; ++c) background[c] = 0;
  for (int64_t i = 0; i < 3 * int64_t(s.image.tiles()); ++i) background[i % 3] += read<T>(v_background)[i];
}

static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> blend_backward(
    Tensor means2d, Tensor conics, Tensor opacities2d, Tensor colors, Tensor depths, Tensor background, Tensor reaches,
    Tensor ids, Tensor slots, Tensor offsets, Tensor ranges, int64_t width, int64_t height, double alpha_min,
    double alpha_max, double transmittance_min, bool inverse_distortion, Tensor transmittance, Tensor reference,
    Tensor offset, Tensor end, Tensor v_color, Tensor v_inv_depth, Tensor v_depth, Tensor v_alpha,
    Tensor v_distortion) {
  const BlendTensors t = {means2d, conics, opacities2d, colors,  depths, background,
                          reaches, ids,    slots,       offsets, ranges};
  const BlendSettings s = {{int(width), int(height)}, alpha_min, alpha_max, transmittance_min, inverse_distortion};
  const BlendCotangentTensors v = {transmittance, reference, offset,  end,         v_color,
                                   v_inv_depth,   v_depth,   v_alpha, v_distortion};
  SplatCotangentTensors out = {new_like(means2d), new_like(means2d), new_like(conics),    new_like(opacities2d),
                               new_like(colors),  new_like(depths),  new_like(background)};
  if (is_double(means2d))
    run_blend_backward<double>(t, s, v, out);
  else
    run_blend_backward<float>(t, s, v, out);
  return {out.means2d, out.absgrad, out.conics, out.opacities2d, out.colors, out.depths, out.background};
}

// ---- statistics

struct StatisticsTensors {
  Tensor weight_sum, weight_max, distortion_share;
};

template <class T>
static void run_statistics(const BlendTensors& t, const BlendSettings& s, const Tensor& reference, const Tensor& offset,
                           const Tensor& end, StatisticsTensors& out) {
  const BlendInput<T> in = input_of<T>(t, s);
  Tensor slots = empty(t.means2d, {t.ids.size(0), STATISTICS_SLOT});
  const BlendStatistics<T> statistics = {
      {nullptr, read<T>(reference), read<T>(offset), read<int32_t>(end)}, read<int32_t>(t.slots), write<T>(slots)};
  for_each_tile<T>(s.image,
                   [&](int tile, void* scratch) { kernels<T>().blend_statistics(in, statistics, tile, scratch); });
  const int32_t* offsets = read<int32_t>(t.offsets);
  const T* values = read<T>(slots);
  T *weight_sum = write<T>(out.weight_sum), *weight_max = write<T>(out.weight_max),
    *share = write<T>(out.distortion_share);
  for (int64_t i = 0; i < t.means2d.size(0); ++i) {
    T total = 0, most = 0, part = 0;
    for (int64_t slot = offsets[i]; slot < offsets[i + 1]; ++slot) {
      total += values[3 * slot];
      most = values[3 * slot + 1] > most ? values[3 * slot + 1] : most;
      part += values[3 * slot + 2];
    }
    weight_sum[i] = total;
    weight_max[i] = most;
    share[i] = part;
  }
}

static std::tuple<Tensor, Tensor, Tensor> blend_statistics(
    Tensor means2d, Tensor conics, Tensor opacities2d, Tensor colors, Tensor depths, Tensor background, Tensor reaches,
    Tensor ids, Tensor slots, Tensor offsets, Tensor ranges, int64_t width, int64_t height, double alpha_min,
    double alpha_max, double transmittance_min, bool inverse_distortion, Tensor reference, Tensor offset, Tensor end) {
  const BlendTensors t = {means2d, conics, opacities2d, colors,  depths, background,
                          reaches, ids,    slots,       offsets, ranges};
  const BlendSettings s = {{int(width), int(height)}, alpha_min, alpha_max, transmittance_min, inverse_distortion};
  StatisticsTensors out = {new_like(depths), new_like(depths), new_like(depths)};
  if (is_double(means2d))
    run_statistics<double>(t, s, reference, offset, end, out);
  else
    run_statistics<float>(t, s, reference, offset, end, out);
  return {out.weight_sum, out.weight_max, out.distortion_share};
}

}  // namespace gsr

STABLE_TORCH_LIBRARY_IMPL(diff_gaussian_rasterization, CPU, m) {
  m.impl("blend", TORCH_BOX(&gsr::blend_forward));
  m.impl("blend_backward", TORCH_BOX(&gsr::blend_backward));
  m.impl("blend_statistics", TORCH_BOX(&gsr::blend_statistics));
}

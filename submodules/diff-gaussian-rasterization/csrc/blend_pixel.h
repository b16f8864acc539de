// What a pixel writes after its last splat, and what it reads before it walks back, whatever a backend's pixels are: lanes
// or threads.
#pragma once
#include "math/blend.h"
#include "math/footprint.h"
#include "params.h"

DGR_NAMESPACE_BEGIN

template <class T>
DGR_FN DepthSlope<T> slope_of(const BlendInput<T>& in, int64_t i) {
  if (in.depth_slopes == nullptr) return {T(0), T(0)};
  return {in.depth_slopes[2 * i], in.depth_slopes[2 * i + 1]};
}

// Of (m − M)² at a pixel where the sensor measured `depth`, 0 where it did not. Only there it is infinite.
template <class V, class T>
DGR_FN V distortion_limit(const BlendInput<T>& in, V depth) {
  const T limit = minimum(in.sensor_limit * in.sensor_limit, std::numeric_limits<T>::max());
  return select(depth > V(T(0)), V(limit), unlimited<V>());
}

// A pixel before its first splat; get(plane) reads a pixel of an image, 0 where that is null.
template <class V, int C, class T, class Get>
DGR_FN PixelSums<V, C> first_pixel(const BlendInput<T>& in, const Get& get) {
  const V depth = get(in.sensor_depth);
  return measured_pixel<V, C>(depth, distortion_limit<V>(in, depth), in.inverse_distortion);
}

// The depths of a forward pass.
template <class T>
Depths depths_of(const BlendInput<T>& in) {
  if (in.distortion_gap < std::numeric_limits<T>::infinity()) return Depths::Surfaces;
  return in.depth_slopes == nullptr ? Depths::Center : Depths::Ray;
}

template <class V, int C, class T, class End, class Put>
DGR_FN void write_light(const BlendInput<T>& in, const BlendOutput<T>& out, const PixelSums<V, C>& sums, End end,
                        const Put& put) {
  const int64_t plane = int64_t(in.image.width) * in.image.height;
  for (int c = 0; c < C; ++c) put(out.color + c * plane, sums.color.at[c] + sums.transmittance * V(in.background[c]));
  put(out.inv_depth, sums.inverse_depth);
  put(out.depth, sums.depth);
  put(out.alpha, sums.weight);
  put(out.state.transmittance, sums.transmittance);
  put(out.state.end, end);
}
// put(plane, value) writes a pixel of an image; `end` is how many ids of the tile the pixel saw.
template <Depths D, class V, int C, class T, class End, class Put>
DGR_FN void write_pixel(const BlendInput<T>& in, const BlendOutput<T>& out, const PixelSums<V, C>& sums,
                        PixelSurfaces<V>& surfaces, End end, const Put& put) {
  write_light(in, out, sums, end, put);
  if constexpr (D != Depths::Surfaces) {
    put(out.distortion, distortion(sums, sums.weight));
    put(out.state.reference, sums.reference);
    put(out.state.offset, mean_offset(sums, sums.weight));
  } else {
    const int64_t plane = int64_t(in.image.width) * in.image.height;
    put(out.distortion, surfaces.distortion + distortion(sums, surfaces.weight));
    put_in_table(sums, surfaces);
    for (int c = 0; c < SURFACES; ++c) {
      put(out.state.reference + c * plane, surfaces.table.reference[c]);
      put(out.state.offset + c * plane, surfaces.table.offset[c]);
      if (c + 1 < SURFACES) put(out.state.surface_ends + c * plane, surfaces.table.end[c]);
    }
  }
}
// What write_pixel wrote of a pixel's surfaces.
template <class V, class T, class Get>
DGR_FN SurfaceTable<V> read_surfaces(const BlendInput<T>& in, const PixelState<const T, const int32_t>& state,
                                     const Get& get) {
  const int64_t plane = int64_t(in.image.width) * in.image.height;
  SurfaceTable<V> table;
  for (int c = 0; c < SURFACES; ++c) {
    table.reference[c] = get(state.reference + c * plane);
    table.offset[c] = get(state.offset + c * plane);
    if (c + 1 < SURFACES) table.end[c] = get(state.surface_ends + c * plane);
  }
  return table;
}

// A pixel's incoming gradients, and where its walk starts: behind its last splat.
template <class V, int C>
struct PixelBackward {
  PixelCotangent<V, C> v;
  PixelWalk<V> walk;
};
template <class V, int C, class T, class Get>
DGR_FN PixelBackward<V, C> read_pixel(const BlendInput<T>& in, const BlendCotangents<T>& v, const Get& get) {
  const int64_t plane = int64_t(in.image.width) * in.image.height;
  PixelCotangent<V, C> g = {{}, get(v.v_inv_depth), get(v.v_depth), get(v.v_distortion)};
  for (int c = 0; c < C; ++c) g.color.at[c] = get(v.v_color == nullptr ? nullptr : v.v_color + c * plane);
  V behind = g.color.at[0] * V(in.background[0]);
  for (int c = 1; c < C; ++c) behind += g.color.at[c] * V(in.background[c]);
  behind = behind - get(v.v_alpha);
  const V reference = get(v.state.reference);
  return {g,
          {get(v.state.transmittance), behind, reference, reference_factor(reference, in.inverse_distortion),
           distortion_limit<V>(in, get(in.sensor_depth)), get(v.state.offset)}};
}
template <class V, class T, class Get>
DGR_FN PixelMeasure<V> read_measure(const BlendInput<T>& in, const PixelState<const T, const int32_t>& state,
                                    const Get& get) {
  const V reference = get(state.reference);
  const V limit = distortion_limit<V>(in, get(in.sensor_depth));
  return {V(T(1)), reference, reference_factor(reference, in.inverse_distortion), limit, get(state.offset), V(T(0))};
}

DGR_NAMESPACE_END

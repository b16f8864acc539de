// Pieces of an image in its photo's exposure, W pixels at a time.
#pragma once
#include "../math/exposure.h"
#include "../params.h"
#include "simd.h"

DGR_NAMESPACE_BEGIN

template <class T>
DGR_FN Exposure<T> load_exposure(const T* numbers) {
  Exposure<T> exposure;
  for (int i = 0; i < EXPOSURE; ++i) exposure.at[i] = numbers[i];
  return exposure;
}
template <class L, class T>
DGR_FN Vec3<L> load_color(const T* image, int64_t pixels, int64_t first, int64_t count) {
  return {load_some<L>(image + first, count), load_some<L>(image + pixels + first, count),
          load_some<L>(image + 2 * pixels + first, count)};
}
template <class L, class T>
DGR_FN void store_color(T* image, int64_t pixels, int64_t first, int64_t count, Vec3<L> color) {
  store_some(image + first, count, color.x);
  store_some(image + pixels + first, count, color.y);
  store_some(image + 2 * pixels + first, count, color.z);
}

template <class L, class T>
void expose_piece(const ExposureInput<T>& in, T* shown, int64_t begin, int64_t end) {
  const Exposure<T> exposure = load_exposure(in.exposure);
  for_each_lanes<L>(begin, end, [&](int64_t first, int64_t count) {
    store_color(shown, in.pixels, first, count, expose(exposure, load_color<L>(in.color, in.pixels, first, count)));
  });
}

// Pixels beyond the image are black and have no cotangent, by which they add nothing.
template <class L, class T>
void expose_backward_piece(const ExposureInput<T>& in, const T* v_shown, T* v_color, int64_t begin, int64_t end,
                           T* out) {
  const Exposure<T> exposure = load_exposure(in.exposure);
  L sums[EXPOSURE];
  for (L& each : sums) each = L(T(0));
  for_each_lanes<L>(begin, end, [&](int64_t first, int64_t count) {
    const Vec3<L> v = load_color<L>(v_shown, in.pixels, first, count);
    store_color(v_color, in.pixels, first, count, expose_vjp(exposure, v));
    add_exposure_vjp(load_color<L>(in.color, in.pixels, first, count), v, sums);
  });
  for (int i = 0; i < EXPOSURE; ++i) out[i] = sum(sums[i]);
}

DGR_NAMESPACE_END

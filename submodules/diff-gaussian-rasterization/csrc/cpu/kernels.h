// The kernels of one instruction set, as a table that dispatch.cpp chooses once.
#pragma once
#include <cstddef>

#include "../params.h"

namespace dgr {

// Of a number of channels, by Depths where there are several. One tile; `scratch` has scratch_bytes, 64-byte aligned, for this
// thread alone.
template <class T>
struct BlendKernels {
  using Backward = void (*)(const BlendInput<T>&, const BlendCotangents<T>&, int tile, void* scratch);
  void (*blend[4])(const BlendInput<T>&, const BlendOutput<T>&, int tile, void* scratch);  // of None there is none
  Backward backward[4], backward_with_absgrad[4];
  size_t scratch_bytes;
};

template <class T>
struct Kernels {
  // Gaussians [begin, end) to splats; returns how many were culled for values that are not finite.
  int64_t (*project)(const ProjectSettings&, const GaussianArrays<T>&, const SplatArrays<T>&, int64_t begin,
                     int64_t end);
  // Their gradients; v_pose (12: rotation row-major, translation) is what they add to the camera's.
  void (*project_backward)(const ProjectSettings&, const GaussianArrays<T>&, const GaussianCotangents<T>&,
                           int64_t begin, int64_t end, T* v_pose);
  // Where splats [begin, end) lie: their rows of tiles, whose sum is returned; then, to `spans` one after the other, their spans,
  // and how many tiles each has.
  int64_t (*tile_rows)(const Image&, const SplatInput<T>&, int64_t begin, int64_t end, TileReach*);
  void (*tile_spans)(const Image&, const SplatInput<T>&, int64_t begin, int64_t end, TileReach*, TileSpan* spans,
                     int32_t* counts);
  BlendKernels<T> blends[CHANNEL_KINDS];  // by CHANNEL_COUNTS
  // By Depths, of which there is no None.
  void (*blend_statistics[4])(const BlendInput<T>&, const BlendStatistics<T>&, int tile, void* scratch);
  size_t statistics_scratch_bytes;
  // One tile of two images' difference, and of its gradient by x; `scratch` has photometric_scratch_bytes.
  void (*photometric)(const PhotometricShape&, const PhotometricInput<T>&, const PhotometricOutput<T>&, int64_t tile,
                      void* scratch);
  void (*photometric_backward)(const PhotometricShape&, const PhotometricInput<T>&, const PhotometricCotangents<T>&,
                               int64_t tile, void* scratch);
  size_t photometric_scratch_bytes;
  // Pixels [begin, end) of the depth terms: what they add to `sums` (WEIGHTED_SUMS), and their gradients.
  void (*inv_depth_l1)(const InvDepthSettings&, const InvDepthInput<T>&, int64_t begin, int64_t end, T* sums);
  void (*inv_depth_l1_backward)(const InvDepthSettings&, const InvDepthInput<T>&, const MeanCotangent<T>&,
                                const InvDepthGradients<T>&, int64_t begin, int64_t end);
  void (*mean_distortion)(const DistortionSettings&, const DistortionInput<T>&, int64_t begin, int64_t end, T* sums);
  void (*mean_distortion_backward)(const DistortionSettings&, const DistortionInput<T>&, const MeanCotangent<T>&,
                                   T* v_distortion, int64_t begin, int64_t end);
  // Gaussians [begin, end): what needles among them cost, added to `sums` (WEIGHTED_SUMS), and the gradient.
  void (*effective_rank_cost)(const RankInput<T>&, int64_t begin, int64_t end, T* sums);
  void (*effective_rank_cost_backward)(const RankInput<T>&, const MeanCotangent<T>&, T* v_log_scales, int64_t begin,
                                       int64_t end);
  // Pixels [begin, end) in an exposure; backward: `sums` (12) is what they add to the exposure's gradient.
  void (*expose)(const ExposureInput<T>&, T* shown, int64_t begin, int64_t end);
  void (*expose_backward)(const ExposureInput<T>&, const T* v_shown, T* v_color, int64_t begin, int64_t end, T* sums);
  // Numbers [begin, end) of the arrays.
  void (*adam)(const AdamSettings&, const AdamArrays<T>&, int64_t begin, int64_t end);
};

// The best instruction set that this processor has, or the one that DGR_ISA names (v1, v3, v4), for tests.
template <class T>
const Kernels<T>& kernels();

}  // namespace dgr

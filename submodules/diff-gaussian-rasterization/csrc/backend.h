// A backend as C++ sees it: one host function for each operator, for float and double, without a header of torch's or
// CUDA's. cpu/launch.h and cuda/launch.h read this file, each with DGR_BACKEND naming its namespace.
//
// Inputs, outputs and meaning are those of the operators in ops.cpp; the structs are params.h's, and every result is the
// same bits in every run. The value returned is 0, TOO_MANY_INTERSECTIONS, or an error of the device's. On CUDA pointers
// are the device's, and all work is queued on `stream` (a cudaStream_t) of the current device; only `isect_tiles` waits for it.
#pragma once
#include <cstddef>
#include <cstdint>

#include "params.h"

namespace dgr {

constexpr int TOO_MANY_INTERSECTIONS = -1;  // over 2^31 − 1 of them
constexpr const char* TOO_MANY_INTERSECTIONS_TEXT = "over 2^31 splat-tile intersections; render a smaller image";

namespace DGR_BACKEND {

// Memory from the caller, at least 16-byte aligned. It must stay while the queued work uses it; memory that is freed in
// the order of the stream, like torch's, may be freed as soon as the function returns. Where there is none left it throws.
enum class BufferKind : int {
  Scratch,
  FlattenIds,  // isect_tiles' outputs, (M) int32, whose size is known only half-way
  GradSlots,
};
struct Allocator {
  void* context;
  void* (*allocate)(void* context, BufferKind kind, size_t bytes);
};

// `count` numbers of scratch.
template <class T>
T* scratch(const Allocator& allocator, int64_t count) {
  return static_cast<T*>(
      allocator.allocate(allocator.context, BufferKind::Scratch, (count > 0 ? count : 1) * sizeof(T)));
}

// num_nonfinite: 1 number.
template <class T>
int project(const ProjectSettings&, const GaussianArrays<T>&, const SplatArrays<T>&, int64_t* num_nonfinite,
            void* stream);
// v_viewmat: (4, 4).
template <class T>
int project_backward(const ProjectSettings&, const GaussianArrays<T>&, const GaussianCotangents<T>&, T* v_viewmat,
                     const Allocator&, void* stream);

// Reads means2d, inv_cov_factor, depths, cutoff_sigmas and radii of n splats; writes isect_offsets (n + 1) and tile_ranges (tiles + 1), and asks
// `allocator` for flatten_ids and grad_slots, which it then writes.
template <class T>
int isect_tiles(const Image&, const SplatInput<T>&, int64_t n, int32_t* isect_offsets, int32_t* tile_ranges,
                const Allocator& allocator, void* stream);

// Of n splats.
template <class T>
int blend(const BlendInput<T>&, int64_t n, const BlendOutput<T>&, const Allocator&, void* stream);

// The gradients of n splats. `isect_offsets` and `intersections` (M) are isect_tiles'. The cotangents' `sums` and `v_background` need not be set.
template <class T>
int blend_backward(const BlendInput<T>&, int64_t n, const int32_t* isect_offsets, int64_t intersections,
                   const BlendCotangents<T>&, const SplatGradients<T>&, const Allocator&, void* stream);

template <class T>
struct SplatStatistics {
  T* weight_sum;        // (N)
  T* max_contribution;  // (N)
  T* distortion_share;  // (N)
};
// The statistics' `statistics` need not be set.
template <class T>
int blend_statistics(const BlendInput<T>&, int64_t n, const int32_t* isect_offsets, int64_t intersections,
                     const BlendStatistics<T>&, const SplatStatistics<T>&, const Allocator&, void* stream);

template <class T>
struct PhotometricMeans {
  T* l1;     // ()
  T* dssim;  // ()
  T* share;  // () 1/Σ w; 0 where there is no weight
};
// The output's `sums` need not be set.
template <class T>
int photometric(const PhotometricShape&, const PhotometricInput<T>&, PhotometricOutput<T>, const PhotometricMeans<T>&,
                const Allocator&, void* stream);
template <class T>
int photometric_backward(const PhotometricShape&, const PhotometricInput<T>&, const PhotometricCotangents<T>&,
                         void* stream);

// The mean of |1/Z − 1/Z*|, and its gradients.
template <class T>
int inv_depth_l1(const InvDepthSettings&, const InvDepthInput<T>&, const WeightedMean<T>&, const Allocator&,
                 void* stream);
template <class T>
int inv_depth_l1_backward(const InvDepthSettings&, const InvDepthInput<T>&, const MeanCotangent<T>&,
                          const InvDepthGradients<T>&, void* stream);
// The mean of the distortion, plain or robust, and its gradient.
template <class T>
int mean_distortion(const DistortionSettings&, const DistortionInput<T>&, const WeightedMean<T>&, const Allocator&,
                    void* stream);
template <class T>
int mean_distortion_backward(const DistortionSettings&, const DistortionInput<T>&, const MeanCotangent<T>&,
                             T* v_distortion, void* stream);

// The mean over the visible Gaussians of what their effective rank costs, and its gradient.
template <class T>
int effective_rank_cost(const RankInput<T>&, const WeightedMean<T>&, const Allocator&, void* stream);
template <class T>
int effective_rank_cost_backward(const RankInput<T>&, const MeanCotangent<T>&, T* v_log_scales, void* stream);

// An image in its photo's exposure, and its gradients.
template <class T>
int expose(const ExposureInput<T>&, T* shown, void* stream);
template <class T>
int expose_backward(const ExposureInput<T>&, const T* v_shown, T* v_color, T* v_exposure, const Allocator&,
                    void* stream);

// A step for each of `count` parameters, all of the same rows.
template <class T>
int adam(const AdamSettings&, const AdamArrays<T>* parameters, int count, const AdamRows&, void* stream);

}  // namespace DGR_BACKEND
}  // namespace dgr

// What the file of an operator ends with, in the backend's namespace, for float and for double.
#define DGR_INSTANTIATE_PROJECT(T)                                                                                     \
  template int project<T>(const ProjectSettings&, const GaussianArrays<T>&, const SplatArrays<T>&, int64_t*, void*);   \
  template int project_backward<T>(const ProjectSettings&, const GaussianArrays<T>&, const GaussianCotangents<T>&, T*, \
                                   const Allocator&, void*);
#define DGR_INSTANTIATE_ISECT_TILES(T) \
  template int isect_tiles<T>(const Image&, const SplatInput<T>&, int64_t, int32_t*, int32_t*, const Allocator&, void*);
#define DGR_INSTANTIATE_BLEND(T) \
  template int blend<T>(const BlendInput<T>&, int64_t, const BlendOutput<T>&, const Allocator&, void*);
#define DGR_INSTANTIATE_BLEND_BACKWARD(T)                                                                           \
  template int blend_backward<T>(const BlendInput<T>&, int64_t, const int32_t*, int64_t, const BlendCotangents<T>&, \
                                 const SplatGradients<T>&, const Allocator&, void*);
#define DGR_INSTANTIATE_BLEND_STATISTICS(T)                                                                           \
  template int blend_statistics<T>(const BlendInput<T>&, int64_t, const int32_t*, int64_t, const BlendStatistics<T>&, \
                                   const SplatStatistics<T>&, const Allocator&, void*);
#define DGR_INSTANTIATE_PHOTOMETRIC(T)                                                                   \
  template int photometric<T>(const PhotometricShape&, const PhotometricInput<T>&, PhotometricOutput<T>, \
                              const PhotometricMeans<T>&, const Allocator&, void*);                      \
  template int photometric_backward<T>(const PhotometricShape&, const PhotometricInput<T>&,              \
                                       const PhotometricCotangents<T>&, void*);
#define DGR_INSTANTIATE_DEPTH_TERMS(T)                                                                             \
  template int inv_depth_l1<T>(const InvDepthSettings&, const InvDepthInput<T>&, const WeightedMean<T>&,           \
                               const Allocator&, void*);                                                           \
  template int inv_depth_l1_backward<T>(const InvDepthSettings&, const InvDepthInput<T>&, const MeanCotangent<T>&, \
                                        const InvDepthGradients<T>&, void*);                                       \
  template int mean_distortion<T>(const DistortionSettings&, const DistortionInput<T>&, const WeightedMean<T>&,    \
                                  const Allocator&, void*);                                                        \
  template int mean_distortion_backward<T>(const DistortionSettings&, const DistortionInput<T>&,                   \
                                           const MeanCotangent<T>&, T*, void*);
#define DGR_INSTANTIATE_EFFECTIVE_RANK(T)                                                                    \
  template int effective_rank_cost<T>(const RankInput<T>&, const WeightedMean<T>&, const Allocator&, void*); \
  template int effective_rank_cost_backward<T>(const RankInput<T>&, const MeanCotangent<T>&, T*, void*);
#define DGR_INSTANTIATE_EXPOSURE(T)                           \
  template int expose<T>(const ExposureInput<T>&, T*, void*); \
  template int expose_backward<T>(const ExposureInput<T>&, const T*, T*, T*, const Allocator&, void*);
#define DGR_INSTANTIATE_ADAM(T) \
  template int adam<T>(const AdamSettings&, const AdamArrays<T>*, int, const AdamRows&, void*);

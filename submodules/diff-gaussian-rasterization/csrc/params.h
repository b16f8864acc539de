// What the kernels are told: plain structs of sizes, settings and pointers, the same for every backend.
//
// T is float or double. Arrays are dense and row-major; N Gaussians, M intersections (a splat in a tile), an image of H×W
// pixels in tiles of TILE×TILE.
#pragma once
#include <cstdint>
#include <type_traits>

namespace dgr {

constexpr int TILE = 16;            // pixels
constexpr int STATISTICS_SLOT = 3;  // Σw, max w, Σw·(m − M)²
constexpr int SURFACES = 4;         // of a pixel, at most: what lies behind is the last one's

struct Image {
  int width, height;  // pixels
  int tiles_x() const { return (width + TILE - 1) / TILE; }
  int tiles_y() const { return (height + TILE - 1) / TILE; }
  int tiles() const { return tiles_x() * tiles_y(); }
};

// The numbers of channels that blend's kernels are compiled for.
constexpr int CHANNEL_COUNTS[] = {1, 3, 4, 8, 16};
constexpr int CHANNEL_KINDS = sizeof(CHANNEL_COUNTS) / sizeof(int);

// f(C) with C a constant of the program; what f returns. `channels` is one of CHANNEL_COUNTS.
template <int Kind = 0, class F>
auto with_channels(int channels, const F& f) {
  if constexpr (Kind + 1 < CHANNEL_KINDS)
    if (channels != CHANNEL_COUNTS[Kind]) return with_channels<Kind + 1>(channels, f);
  return f(std::integral_constant<int, CHANNEL_COUNTS[Kind]>());
}

struct ProjectSettings {
  Image image;
  double fx, fy, cx, cy;  // pixels
  double near;            // world units: Gaussians at z ≤ near are culled
  double scale_modifier;
  double alpha_min;
  int sh_degree;  // 0..3; −1: `features` are colors as they are
  int sh_count;   // coefficients that a Gaussian has, at least (degree + 1)²
  int channels;   // C of its color; 3 with SH
  bool antialiasing;
  double
      depth_reach;  // standard deviations, for depths along each pixel's ray (math/footprint.h); 0: the centers' depths
};

template <class T>
struct GaussianArrays {
  int64_t count;       // N
  const T* means;      // (N, 3) world units
  const T* scales;     // (N, 3) standard deviations, world units
  const T* quats;      // (N, 4) w x y z
  const T* opacities;  // (N)
  const T* features;   // (N, sh_count, 3), or (N, C) colors
  const T* sh_rest;    // (N, sh_count − 1, 3) where `features` has the first coefficients alone, (N, 3); else null
  const T* viewmat;    // (4, 4) world to camera
};

template <class T, class Count = int32_t>
struct SplatArrays {
  T* means2d;         // (N, 2) pixels
  T* inv_cov_factor;  // (N, 3) triangular factor xx, xy, yy of the inverse covariance, 1/pixels
  T* opacities;       // (N)
  T* colors;          // (N, C)
  T* depths;          // (N) world units
  T* depth_slopes;    // (N, 2) of the inverse depth over the pixels, 1/(world units·pixel); null: 0
  T* cutoff_sigmas;   // (N) standard deviations from the center within which alpha ≥ alpha_min
  Count* radii;       // (N) pixels, 0: touches no pixel
};

template <class T>
struct GaussianCotangents {
  const T* v_means2d;         // (N, 2)
  const T* v_inv_cov_factor;  // (N, 3)
  const T* v_opacities2d;     // (N)
  const T* v_colors;          // (N, C)
  const T* v_depths;          // (N)
  const T* v_depth_slopes;    // (N, 2), null where there are none
  const int32_t* radii;       // (N)
  T* v_means;                 // (N, 3)
  T* v_scales;                // (N, 3)
  T* v_quats;                 // (N, 4)
  T* v_opacities;             // (N)
  T* v_features;              // (N, sh_count, 3), (N, C) or (N, 3): as the features
  T* v_sh_rest;               // (N, sh_count − 1, 3), or null
};

template <class T>
using SplatInput = SplatArrays<const T, const int32_t>;

// Tiles first..last of a row of tiles; none if first > last.
struct TileSpan {
  int32_t first, last;
};
// The rows of tiles that a splat cutoff_sigmas, and its span in each.
struct TileReach {
  const TileSpan* spans;
  int32_t first_row, rows;
};

template <class T>
struct BlendInput {
  Image image;
  int channels;  // C, one of CHANNEL_COUNTS
  const T* means2d;
  const T* inv_cov_factor;
  const T* opacities;
  const T* colors;
  const T* depths;
  const T* depth_slopes;  // null: all pixels of a splat have the center's depth
  const T* cutoff_sigmas;
  const T* background;         // (C)
  const int32_t* flatten_ids;  // (M) Gaussians by tile, in each tile near ones first
  const int32_t* tile_ranges;  // (tiles + 1) where each tile's ids begin
  T alpha_min, alpha_max, transmittance_min;
  bool inverse_distortion;  // the distortion measures 1/z, not z
  T distortion_gap;  // relative step of the measure to another surface of the pixel; infinite: all it sees is one
  const T*
      sensor_depth;  // (H, W) the depth about which the distortion is measured, 0 for the pixel's mean; may be null
  T sensor_limit;    // a splat's distance from it counts at most as this, in the distortion's measure
};

// A pixel's state after its last splat, which the backward pass starts from.
template <class T, class Count>
struct PixelState {
  T* transmittance;     // (H, W) T_end
  T* reference;         // (H, W) the sensor's depth, or z of the first splat that counts; (SURFACES, H, W) with a gap
  T* offset;            // the same of M − m₀, from that splat's measure
  Count* end;           // (H, W) how many ids of its tile a pixel saw
  Count* surface_ends;  // (SURFACES − 1, H, W) with a gap: where in its tile's ids a pixel's surfaces end
};

template <class T>
struct BlendOutput {
  T* color;       // (C, H, W)
  T* inv_depth;   // (H, W)
  T* depth;       // (H, W)
  T* alpha;       // (H, W)
  T* distortion;  // (H, W)
  PixelState<T, int32_t> state;
};

// Null where no gradient comes.
template <class T>
struct BlendCotangents {
  const T* v_color;       // (C, H, W)
  const T* v_inv_depth;   // (H, W)
  const T* v_depth;       // (H, W)
  const T* v_alpha;       // (H, W)
  const T* v_distortion;  // (H, W)
  PixelState<const T, const int32_t> state;
  const int32_t* grad_slots;  // (M) the slot of each intersection
  T* sums;                    // (M, sum_count) to be added up over a Gaussian's slots in their order, then finished
  T* v_background;            // (tiles, C)
};

template <class T>
struct SplatGradients {
  T* means2d;         // (N, 2)
  T* absgrad;         // (N, 2); null if nobody asks for it
  T* inv_cov_factor;  // (N, 3)
  T* opacities2d;     // (N)
  T* colors;          // (N, C)
  T* depths;          // (N)
  T* depth_slopes;    // (N, 2); null where there are none
  T* background;      // (C)
};

template <class T>
struct BlendStatistics {
  PixelState<const T, const int32_t> state;
  const int32_t* grad_slots;  // (M)
  T* statistics;              // (M, STATISTICS_SLOT)
  T* median_depth;            // (H, W) z of the splat with which half of the light is taken, 0 where it never is
};

// Two images' difference, channel by channel, in tiles of PHOTOMETRIC_ROWS×PHOTOMETRIC_COLUMNS on the CPU.
constexpr int PHOTOMETRIC_ROWS = 32, PHOTOMETRIC_COLUMNS = 128;  // pixels
constexpr int PHOTOMETRIC_SUMS = 3;                              // Σ w·|x − y|, Σ w·(1 − ssim), Σ w

// The maps of partial derivatives, in the order in which they are kept.
enum SsimPartial { SSIM_SQUARES, SSIM_PRODUCT, SSIM_MEAN_X, SSIM_MEAN_Y };

struct PhotometricShape {
  int64_t channels;   // C
  int height, width;  // pixels
  int64_t tiles_x() const { return (width + PHOTOMETRIC_COLUMNS - 1) / PHOTOMETRIC_COLUMNS; }
  int64_t tiles_of_channel() const { return tiles_x() * ((height + PHOTOMETRIC_ROWS - 1) / PHOTOMETRIC_ROWS); }
  int64_t pixels() const { return channels * height * width; }
};

template <class T>
struct PhotometricInput {
  const T* x;     // (C, H, W)
  const T* y;     // (C, H, W)
  const T* mask;  // (1, H, W) weights w in [0,1]; null: all 1
};

template <class T>
struct PhotometricOutput {
  T* sums;            // (tiles or blocks, PHOTOMETRIC_SUMS), to be added up in their order
  T* partials;        // (partial_count, C, H, W), of Σ w·(1 − ssim) by the windows' means: see SsimPartial
  int partial_count;  // 0; 3: all that the image's gradient needs; 4: the target's too
};

template <class T>
struct PhotometricCotangents {
  const T* mean;     // (C, H, W) partials by x's windows' means
  const T* squares;  // (C, H, W)
  const T* product;  // (C, H, W)
  const T* share;    // () 1/Σ w; 0 where there is no weight
  const T* v_l1;     // () of the mean Σ w·|x − y| / Σ w
  const T* v_dssim;  // () of the mean Σ w·(1 − ssim) / Σ w
  T* v_x;            // (C, H, W)
};

// A weighted mean; see math/weighted_mean.h.
constexpr int WEIGHTED_SUMS = 2;  // Σ w·f, Σ w

struct InvDepthSettings {
  int64_t pixels;
  double unit;       // world units: depths are taken in it
  double depth_max;  // in `unit`: a target that is as far, or infinite, does not count
};
template <class T>
struct InvDepthInput {
  const T* inv_depth;  // (H, W) Σ(w/z), 1/world units
  const T* alpha;      // (H, W) Σw; a pixel where it is 0 does not count
  const T* target;     // (H, W) Z*, world units; one that is not above 0 does not count
  const bool* valid;   // (H, W) whether the target counts; null: all do
  const T* weight;     // (H, W) ≥ 0; null: all 1
};
template <class T>
struct InvDepthGradients {
  T* inv_depth;  // (H, W)
  T* alpha;      // (H, W)
};

struct DistortionSettings {
  int64_t pixels;
  double unit;   // world units: depths are taken in it
  double scale;  // s of s²·ln(1 + D/s²), in `unit`; 0: D itself
};
template <class T>
struct DistortionInput {
  const T* distortion;  // (H, W) world units²
  const T* alpha;       // (H, W) Σw; a pixel where it is 0 does not count
  const T* mask;        // (H, W) weights ≥ 0; null: all 1
};

// Of a weighted mean.
template <class T>
struct WeightedMean {
  T* value;  // () Σ w·f / Σ w
  T* share;  // () 1/Σ w; both are 0 where there is no weight
};
template <class T>
struct MeanCotangent {
  const T* value;  // () of the mean
  const T* share;  // ()
};

// What needles cost; see math/effective_rank.h.
template <class T>
struct RankInput {
  int64_t rows;
  double min_rank;      // r₀, from which on a Gaussian costs nothing
  const T* log_scales;  // (N, 3)
  const bool* visible;  // (N,) what counts
};

// An image in its photo's exposure; see math/exposure.h.
template <class T>
struct ExposureInput {
  int64_t pixels;
  const T* color;     // (3, H, W)
  const T* exposure;  // (3, 4)
};

struct AdamSettings {
  int64_t step;  // 1 for the first
  double beta1, beta2, epsilon;
};
// What moves.
struct AdamRows {
  int64_t count;
  const bool* visible;  // (count) which rows; null: all
  const bool* finite;   // () whether anything does; null: yes
};

// One parameter of N rows; all arrays are (N, columns).
template <class T>
struct AdamArrays {
  int64_t columns;
  T* values;
  const T* gradients;
  T* firsts;   // running mean of the gradient
  T* seconds;  // running mean of its square
  double rate;
};

}  // namespace dgr

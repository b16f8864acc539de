// Compiled once for each instruction set, with DGR_ISA naming it (v1, v3, v4: the x86-64 levels; portable elsewhere).
#include "kernels.h"

#include "adam_kernel.h"
#include "blend_backward.h"
#include "blend_forward.h"
#include "blend_statistics.h"
#include "depth_terms_kernel.h"
#include "effective_rank_kernel.h"
#include "exposure_kernel.h"
#include "isect_kernel.h"
#include "photometric_kernel.h"
#include "project_kernel.h"
DGR_NAMESPACE_BEGIN

#if defined(__AVX512F__)
constexpr int REGISTER = 64;  // bytes
#elif defined(__AVX__)
constexpr int REGISTER = 32;
#else
constexpr int REGISTER = 16;
#endif

// At least 4 lanes: float64 needs no speed, and a tile then has at most 64 strips.
template <class T>
using Widest = Lanes<T, (REGISTER / sizeof(T) > 4 ? REGISTER / sizeof(T) : 4)>;

constexpr size_t larger(size_t a, size_t b) { return a > b ? a : b; }

template <class T>
struct Table {
  using L = Widest<T>;
  template <int C>
  static constexpr BlendKernels<T> blends() {
    return {{nullptr, blend_tile<L, T, C, Depths::Center>, blend_tile<L, T, C, Depths::Ray>,
             blend_tile<L, T, C, Depths::Surfaces>},
            {backward<C, false, Depths::None>, backward<C, false, Depths::Center>, backward<C, false, Depths::Ray>,
             backward<C, false, Depths::Surfaces>},
            {backward<C, true, Depths::None>, backward<C, true, Depths::Center>, backward<C, true, Depths::Ray>,
             backward<C, true, Depths::Surfaces>},
            larger(sizeof(ForwardScratch<L, T, C>), sizeof(BackwardScratch<L, T, C>))};
  }
  template <int C, bool Absgrad, Depths D>
  static constexpr auto backward = blend_tile_backward<L, T, C, Absgrad, D>;

  static const Kernels<T>& get() {
    static const Kernels<T> table = {
        project_block<L, T>,
        project_backward_block<L, T>,
        tile_rows<L, T>,
        tile_spans<L, T>,
        {blends<CHANNEL_COUNTS[0]>(), blends<CHANNEL_COUNTS[1]>(), blends<CHANNEL_COUNTS[2]>(),
         blends<CHANNEL_COUNTS[3]>(), blends<CHANNEL_COUNTS[4]>()},
        {nullptr, tile_statistics<L, T, Depths::Center>, tile_statistics<L, T, Depths::Ray>,
         tile_statistics<L, T, Depths::Surfaces>},
        sizeof(StatisticsScratch<L, T>),
        photometric_tile<L, T>,
        photometric_tile_backward<L, T>,
        larger(sizeof(DifferenceScratch<T>), sizeof(DifferenceBackwardScratch<T>)),
        inv_depth_l1_piece<L, T>,
        inv_depth_l1_backward_piece<L, T>,
        mean_distortion_piece<L, T>,
        mean_distortion_backward_piece<L, T>,
        effective_rank_cost_piece<L, T>,
        effective_rank_cost_backward_piece<L, T>,
        expose_piece<L, T>,
        expose_backward_piece<L, T>,
        adam_piece<L, T>};
    return table;
  }
};

DGR_NAMESPACE_END

namespace dgr {
#define DGR_TABLE_(isa, type) kernels_##isa##_##type
#define DGR_TABLE(isa, type) DGR_TABLE_(isa, type)
const Kernels<float>& DGR_TABLE(DGR_ISA, float)() { return Table<float>::get(); }
const Kernels<double>& DGR_TABLE(DGR_ISA, double)() { return Table<double>::get(); }
}  // namespace dgr

// What needles cost on the CPU: chunks of Gaussians in parallel.
#include "kernels.h"
#include "launch.h"
#include "weighted_mean.h"

namespace dgr {
namespace cpu {

template <class T>
int effective_rank_cost(const RankInput<T>& in, const WeightedMean<T>& mean, const Allocator&, void*) {
  const Kernels<T>& table = kernels<T>();
  mean_of_chunks(in.rows, mean,
                 [&](int64_t begin, int64_t end, T* sums) { table.effective_rank_cost(in, begin, end, sums); });
  return 0;
}

template <class T>
int effective_rank_cost_backward(const RankInput<T>& in, const MeanCotangent<T>& v, T* v_log_scales, void*) {
  const Kernels<T>& table = kernels<T>();
  for_each_chunk(in.rows, MEAN_CHUNK, [&](int64_t begin, int64_t end, int64_t) {
    table.effective_rank_cost_backward(in, v, v_log_scales, begin, end);
  });
  return 0;
}

DGR_INSTANTIATE_EFFECTIVE_RANK(float)
DGR_INSTANTIATE_EFFECTIVE_RANK(double)

}  // namespace cpu
}  // namespace dgr

// Weighted means on the CPU: chunks in parallel, whose sums are added up in their order.
#pragma once
#include "parallel.h"

namespace dgr {
namespace cpu {

constexpr int64_t MEAN_CHUNK = 8192;  // pixels or Gaussians

template <class T>
void write_mean(const std::vector<T>& sums, const WeightedMean<T>& mean) {
  double totals[WEIGHTED_SUMS] = {};
  for (size_t i = 0; i < sums.size(); ++i) totals[i % WEIGHTED_SUMS] += sums[i];
  const double share = totals[1] == 0 ? 0 : 1 / totals[1];
  *mean.value = T(totals[0] * share);
  *mean.share = T(share);
}

// `add(begin, end, sums)` puts there what a chunk adds up to.
template <class T, class Add>
void mean_of_chunks(int64_t count, const WeightedMean<T>& mean, const Add& add) {
  std::vector<T> sums((count + MEAN_CHUNK - 1) / MEAN_CHUNK * WEIGHTED_SUMS);
  for_each_chunk(count, MEAN_CHUNK,
                 [&](int64_t begin, int64_t end, int64_t chunk) { add(begin, end, &sums[chunk * WEIGHTED_SUMS]); });
  write_mean(sums, mean);
}

}  // namespace cpu
}  // namespace dgr

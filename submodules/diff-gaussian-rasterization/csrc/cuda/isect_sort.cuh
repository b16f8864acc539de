// The device-wide steps of `isect_tiles`: sums and stable sorts. isect_sort.cu does them with CUB; the tests' emulator has its
// own.
#pragma once
#include "launch.h"

namespace dgr {
namespace cuda {

// sums[i] is the sum of the first i counts; `sums` has `count` places.
int exclusive_sums(const int32_t* counts, int32_t* sums, int64_t count, const Allocator&, void* stream);

// Sorts values by the lowest `bits` of their keys; equal keys keep their order.
template <class Key>
int sort_by_key(const Key* keys, Key* sorted_keys, const int32_t* values, int32_t* sorted_values, int64_t count,
                int bits, const Allocator&, void* stream);

// The sum of `count` counts, on its way to the host while the device goes on. One at a time in a thread.
class HostTotal {
 public:
  HostTotal() = default;
  ~HostTotal();
  HostTotal(const HostTotal&) = delete;
  HostTotal& operator=(const HostTotal&) = delete;

  int begin(const int32_t* counts, int64_t count, const Allocator&, void* stream);
  int wait(int64_t& total);

 private:
  int64_t* total_ = nullptr;
  void* event_ = nullptr;
};

}  // namespace cuda
}  // namespace dgr

// The one file that needs CUB.
#include "isect_sort.cuh"

#include <cub/cub.cuh>

#include "device.cuh"

namespace dgr {
namespace cuda {

// Calls f(temporary storage, its size) twice, as CUB wants: to learn the size, then to do the work.
template <class F>
static int with_storage(const Allocator& allocator, const F& f) {
  size_t bytes = 0;
  DGR_TRY(f(nullptr, bytes));
  return f(scratch<char>(allocator, int64_t(bytes)), bytes);
}

static cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

int exclusive_sums(const int32_t* counts, int32_t* sums, int64_t count, const Allocator& allocator, void* stream) {
  return with_storage(allocator, [&](void* storage, size_t& bytes) {
    return cub::DeviceScan::ExclusiveSum(storage, bytes, counts, sums, count, stream_of(stream));
  });
}

template <class Key>
int sort_by_key(const Key* keys, Key* sorted_keys, const int32_t* values, int32_t* sorted_values, int64_t count,
                int bits, const Allocator& allocator, void* stream) {
  return with_storage(allocator, [&](void* storage, size_t& bytes) {
    return cub::DeviceRadixSort::SortPairs(storage, bytes, keys, sorted_keys, values, sorted_values, count, 0, bits,
                                           stream_of(stream));
  });
}
template int sort_by_key<uint32_t>(const uint32_t*, uint32_t*, const int32_t*, int32_t*, int64_t, int, const Allocator&,
                                   void*);
template int sort_by_key<uint64_t>(const uint64_t*, uint64_t*, const int32_t*, int32_t*, int64_t, int, const Allocator&,
                                   void*);

struct Add {
  __host__ __device__ int64_t operator()(int64_t a, int64_t b) const { return a + b; }
};

// Where the device writes to the host: 8 bytes that a thread keeps, since to pin memory is to wait for the device.
static int pinned_number(int64_t*& number) {
  static thread_local int64_t* kept = nullptr;
  if (kept == nullptr) DGR_TRY(cudaHostAlloc(reinterpret_cast<void**>(&kept), sizeof *kept, cudaHostAllocPortable));
  number = kept;
  return 0;
}

// In 64 bits: the sum may be more than the lists can hold.
int HostTotal::begin(const int32_t* counts, int64_t count, const Allocator& allocator, void* stream) {
  int64_t* sum = scratch<int64_t>(allocator, 1);
  DGR_TRY(with_storage(allocator, [&](void* storage, size_t& bytes) {
    return cub::DeviceReduce::Reduce(storage, bytes, counts, sum, count, Add{}, int64_t(0), stream_of(stream));
  }));
  cudaEvent_t event = nullptr;
  DGR_TRY(pinned_number(total_));
  DGR_TRY(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  event_ = event;
  DGR_TRY(cudaMemcpyAsync(total_, sum, sizeof *sum, cudaMemcpyDeviceToHost, stream_of(stream)));
  return cudaEventRecord(event, stream_of(stream));
}

int HostTotal::wait(int64_t& total) {
  DGR_TRY(cudaEventSynchronize(static_cast<cudaEvent_t>(event_)));
  total = *total_;
  return 0;
}

HostTotal::~HostTotal() {
  if (event_ != nullptr) cudaEventDestroy(static_cast<cudaEvent_t>(event_));
}

}  // namespace cuda
}  // namespace dgr

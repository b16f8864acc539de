// The one file that needs CUB.
#include "bin_sort.cuh"

#include <cub/cub.cuh>

#include "device.cuh"

namespace gsr {
namespace cuda {

// Calls f(temporary storage, its size) twice, as CUB wants: to learn the size, then to do the work.
template <class F>
static int with_storage(const Memory& memory, const F& f) {
  size_t bytes = 0;
  GSR_TRY(f(nullptr, bytes));
  return f(scratch<char>(memory, int64_t(bytes)), bytes);
}

static cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

int exclusive_sums(const int32_t* counts, int32_t* sums, int64_t count, const Memory& memory, void* stream) {
  return with_storage(memory, [&](void* storage, size_t& bytes) {
    return cub::DeviceScan::ExclusiveSum(storage, bytes, counts, sums, count, stream_of(stream));
  });
}

template <class Key>
int sort_by_key(const Key* keys, Key* sorted_keys, const int32_t* values, int32_t* sorted_values, int64_t count,
                int bits, const Memory& memory, void* stream) {
  return with_storage(memory, [&](void* storage, size_t& bytes) {
    return cub::DeviceRadixSort::SortPairs(storage, bytes, keys, sorted_keys, values, sorted_values, count, 0, bits,
                                           stream_of(stream));
  });
}
template int sort_by_key<uint32_t>(const uint32_t*, uint32_t*, const int32_t*, int32_t*, int64_t, int, const Memory&,
                                   void*);
template int sort_by_key<uint64_t>(const uint64_t*, uint64_t*, const int32_t*, int32_t*, int64_t, int, const Memory&,
                                   void*);

struct Add {
  __host__ __device__ int64_t operator()(int64_t a, int64_t b) const { return a + b; }
};

// Where the device writes to the host: 8 bytes that a thread keeps, since to pin memory is to wait for the device.
static int pinned_number(int64_t*& number) {
  static thread_local int64_t* kept = nullptr;
  if (kept == nullptr) GSR_TRY(cudaHostAlloc(reinterpret_cast<void**>(&kept), sizeof *kept, cudaHostAllocPortable));
  number = kept;
  return 0;
}

// In 64 bits: the sum may be more than the lists can hold.
int HostTotal::begin(const int32_t* counts, int64_t count, const Memory& memory, void* stream) {
  int64_t* sum = scratch<int64_t>(memory, 1);
  GSR_TRY(with_storage(memory, [&](void* storage, size_t& bytes) {
    return cub::DeviceReduce::Reduce(storage, bytes, counts, sum, count, Add{}, int64_t(0), stream_of(stream));
  }));
  cudaEvent_t event = nullptr;
  GSR_TRY(pinned_number(total_));
  GSR_TRY(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  event_ = event;
  GSR_TRY(cudaMemcpyAsync(total_, sum, sizeof *sum, cudaMemcpyDeviceToHost, stream_of(stream)));
  return cudaEventRecord(event, stream_of(stream));
}

int HostTotal::wait(int64_t& total) {
  GSR_TRY(cudaEventSynchronize(static_cast<cudaEvent_t>(event_)));
  total = *total_;
  return 0;
}

HostTotal::~HostTotal() {
  if (event_ != nullptr) cudaEventDestroy(static_cast<cudaEvent_t>(event_));
}

}  // namespace cuda
}  // namespace gsr

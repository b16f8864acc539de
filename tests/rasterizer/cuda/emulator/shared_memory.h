// __shared__ memory: thread_local, so that blocks which are on the card together, each in a thread of the machine, have
// their own. There is no other thread_local variable in the emulated library.
#pragma once
#include <link.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#define __shared__ static thread_local

namespace emulator {

// All of this thread's, whichever kernel it belongs to.
struct SharedMemory {
  char* begin;
  size_t bytes;
};
inline SharedMemory shared_memory() {
  static thread_local char anchor[16];  // lies in it; and a thread that has none yet has it from here on
  struct Search {
    const char* anchor;
    SharedMemory found;
  } search = {anchor, {nullptr, 0}};
  const auto look = [](dl_phdr_info* library, size_t, void* context) {
    Search& s = *static_cast<Search*>(context);
    for (int i = 0; i < library->dlpi_phnum; ++i) {
      const auto& segment = library->dlpi_phdr[i];
      char* const begin = static_cast<char*>(library->dlpi_tls_data);
      if (segment.p_type != PT_TLS || begin == nullptr) continue;
      if (s.anchor >= begin && s.anchor < begin + segment.p_memsz) s.found = {begin, size_t(segment.p_memsz)};
    }
    return s.found.begin != nullptr ? 1 : 0;
  };
  dl_iterate_phdr(look, &search);
  if (search.found.begin == nullptr) throw std::runtime_error("the emulator does not find its shared memory");
  return search.found;
}

inline void fill_shared_memory(int byte) {
  const SharedMemory memory = shared_memory();
  std::memset(memory.begin, byte, memory.bytes);
}

}  // namespace emulator

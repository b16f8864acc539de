// What sanitizers must hear of fibers. Without them there is nothing here that does anything.
#pragma once
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
void AnnotateIgnoreSyncBegin(const char* file, int line);
void AnnotateIgnoreSyncEnd(const char* file, int line);
}
#define EMULATOR_TSAN(call) call
#else
#define EMULATOR_TSAN(call)
#endif

namespace emulator {

// What was written before `release` is there after `acquire`, as ThreadSanitizer is told. Nothing else orders the memory
// of two CUDA threads, though they run one after the other.
class Meeting {
 public:
  void release() { EMULATOR_TSAN(__tsan_release(this)); }
  void acquire() { EMULATOR_TSAN(__tsan_acquire(this)); }

 private:
  char address_ = 0;
};

// While it lives, this fiber reads and writes the emulator's own memory, which is not looked at.
class Unwatched {
 public:
  Unwatched() {
    EMULATOR_TSAN(AnnotateIgnoreReadsBegin(__FILE__, __LINE__));
    EMULATOR_TSAN(AnnotateIgnoreWritesBegin(__FILE__, __LINE__));
  }
  ~Unwatched() {
    EMULATOR_TSAN(AnnotateIgnoreWritesEnd(__FILE__, __LINE__));
    EMULATOR_TSAN(AnnotateIgnoreReadsEnd(__FILE__, __LINE__));
  }
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
};

// While it lives, locks order no memory: blocks that take turns do not wait for each other on a card.
class Unordered {
 public:
  Unordered() { EMULATOR_TSAN(AnnotateIgnoreSyncBegin(__FILE__, __LINE__)); }
  ~Unordered() { EMULATOR_TSAN(AnnotateIgnoreSyncEnd(__FILE__, __LINE__)); }
  Unordered(const Unordered&) = delete;
  Unordered& operator=(const Unordered&) = delete;
};

}  // namespace emulator

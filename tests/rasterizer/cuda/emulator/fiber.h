// A function that stops and goes on, on a stack of its own.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "sanitizers.h"

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define EMULATOR_OWN_SWITCH 1
#else
#define EMULATOR_OWN_SWITCH 0
#include <ucontext.h>
#endif

namespace emulator {

#if EMULATOR_OWN_SWITCH
// Saves the registers that a function must preserve on this stack, and goes on with those of the other.
extern "C" void emulator_switch(void** from, void* to);
asm(R"(
.text
.type emulator_switch,@function
emulator_switch:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret
.size emulator_switch,.-emulator_switch
)");
using Context = void*;
#else
using Context = ucontext_t;
#endif

class Fiber {
 public:
  Fiber() = default;
  ~Fiber() { forget(); }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  bool is_started() const { return started_; }
  bool has_overrun() const { return std::memcmp(stack_.get(), &CANARY, sizeof CANARY) != 0; }

  // The next `enter` calls `body` from the stack's beginning. It must never return.
  void start(void (*body)()) {
    forget();
    if (!stack_) stack_.reset(new char[STACK]);
    std::memcpy(stack_.get(), &CANARY, sizeof CANARY);
    EMULATOR_TSAN(known_ = __tsan_create_fiber(0));
    started_ = true;
#if EMULATOR_OWN_SWITCH
    // As emulator_switch leaves a stack: six registers, the address to return to; body() finds it aligned as after a
    // call.
    const uintptr_t top = (reinterpret_cast<uintptr_t>(stack_.get()) + STACK) / 16 * 16;
    void** words = reinterpret_cast<void**>(top) - 8;
    for (int i = 0; i < 8; ++i) words[i] = nullptr;
    words[6] = reinterpret_cast<void*>(body);
    inside_ = words;
#else
    getcontext(&inside_);
    inside_.uc_stack.ss_sp = stack_.get();
    inside_.uc_stack.ss_size = STACK;
    inside_.uc_link = nullptr;
    makecontext(&inside_, body, 0);
#endif
  }
  // What it was about to do will never be done.
  void forget() {
    if (started_) {
      EMULATOR_TSAN(__tsan_destroy_fiber(known_));
    }
    started_ = false;
  }

  // Runs it until it leaves.
  void enter() {
    EMULATOR_TSAN(owner_ = __tsan_get_current_fiber());
    EMULATOR_TSAN(__tsan_switch_to_fiber(known_, __tsan_switch_to_fiber_no_sync));
#if EMULATOR_OWN_SWITCH
    emulator_switch(&outside_, inside_);
#else
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, stack_.get(), STACK);
#endif
    swapcontext(&outside_, &inside_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
#endif
  }
  // From inside, first of all.
  void arrive() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &outer_stack_, &outer_size_);
#endif
  }
  // From inside: goes on where it was entered.
  void leave() {
    EMULATOR_TSAN(__tsan_switch_to_fiber(owner_, __tsan_switch_to_fiber_no_sync));
#if EMULATOR_OWN_SWITCH
    emulator_switch(&inside_, outside_);
#else
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, outer_stack_, outer_size_);
#endif
    swapcontext(&inside_, &outside_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, &outer_stack_, &outer_size_);
#endif
#endif
  }

 private:
  static constexpr size_t STACK = size_t(1) << 18;  // bytes; touched pages alone cost memory
  static constexpr uint64_t CANARY = 0x9e3779b97f4a7c15;

  std::unique_ptr<char[]> stack_;
  Context inside_{}, outside_{};
  bool started_ = false;
#if defined(__SANITIZE_ADDRESS__)
  const void* outer_stack_ = nullptr;
  size_t outer_size_ = 0;
#endif
#if defined(__SANITIZE_THREAD__)
  void *known_ = nullptr, *owner_ = nullptr;  // ThreadSanitizer's names of it and of who has entered it
#endif
};

}  // namespace emulator

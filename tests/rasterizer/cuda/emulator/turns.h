// Whose turn it is: in which order blocks, warps and lanes run, and which of the blocks that are on the card together.
#pragma once
#include <algorithm>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "sanitizers.h"

namespace emulator {

class Turns {
 public:
  unsigned seed = 0;       // another order for each but 0, which is the natural one
  unsigned residents = 1;  // blocks at a time

  void begin() { random_.seed(seed); }
  void shuffle(std::vector<unsigned>& order) {
    if (seed != 0) std::shuffle(order.begin(), order.end(), random_);
  }

  // Calls work(0), work(1), … for each resident, of which one runs at a time. They are threads of the machine, so that each
  // has a copy of what is thread_local. Throws the first thing that one of them has thrown.
  void share(const std::function<void(unsigned)>& work) {
    if (residents < 2) return work(0);
    failure_ = nullptr;
    working_.clear();
    for (unsigned resident = 0; resident < residents; ++resident) working_.push_back(resident);
    turn_ = working_[random_() % residents];
    std::vector<std::thread> threads;
    for (unsigned resident = 0; resident < residents; ++resident)
      threads.emplace_back([this, resident, &work] { take_part(resident, work); });
    for (std::thread& thread : threads) thread.join();
    working_.clear();
    if (failure_) std::rethrow_exception(failure_);
  }
  // Between two steps of a block: now and then another goes on.
  void pass() {
    if (working_.size() < 2 || random_() % PATIENCE != 0) return;
    const unsigned own = turn_;
    give();
    wait_for(own);
    if (failure_) throw Stopped{};
  }

 private:
  static constexpr unsigned PATIENCE = 64;  // steps, on average
  struct Stopped {};

  std::mt19937 random_;
  std::vector<unsigned> working_;
  unsigned turn_ = 0;
  std::exception_ptr failure_;
  std::mutex mutex_;
  std::condition_variable given_;

  void take_part(unsigned resident, const std::function<void(unsigned)>& work) {
    const Unwatched unwatched;
    wait_for(resident);
    try {
      if (!failure_) work(resident);
    } catch (const Stopped&) {  // by another's failure
    } catch (...) {
      failure_ = std::current_exception();
    }
    working_.erase(std::find(working_.begin(), working_.end(), resident));
    if (!working_.empty()) give();
  }
  void give() {
    const Unordered unordered;
    const std::lock_guard<std::mutex> lock(mutex_);
    turn_ = working_[random_() % working_.size()];
    given_.notify_all();
  }
  void wait_for(unsigned resident) {
    const Unordered unordered;
    std::unique_lock<std::mutex> lock(mutex_);
    given_.wait(lock, [&] { return turn_ == resident; });
  }
};

}  // namespace emulator

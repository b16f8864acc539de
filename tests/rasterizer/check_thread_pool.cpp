// What csrc/cpu/thread_pool.h promises; prints a line for each promise that holds. Argument: how often.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cpu/thread_pool.h"

using dgr::run_tasks;

static void check(bool holds, const char* what) {
  if (holds) return;
  std::printf("FAILED: %s\n", what);
  std::exit(1);
}

// How often each task was done, by how many threads.
struct Job {
  explicit Job(int tasks, std::function<void()> each = {}) : done(tasks), each(std::move(each)) {}
  std::vector<std::atomic<int>> done;
  std::atomic<int> inside{0};
  std::function<void()> each;
  std::mutex mutex;
  std::set<std::thread::id> threads;

  void run(int count) { run_tasks(int64_t(done.size()), count, task, this); }
  static void task(void* context, int64_t task) {
    Job& job = *static_cast<Job*>(context);
    ++job.inside;
    {
      const std::lock_guard<std::mutex> lock(job.mutex);
      job.threads.insert(std::this_thread::get_id());
    }
    if (job.each) job.each();
    ++job.done[task];
    --job.inside;
  }
  void check_done(int count) const {
    check(inside == 0, "nobody is inside when it returns");
    for (const auto& times : done) check(times == 1, "each task is done once");
    check(int(threads.size()) <= count, "there are no more threads than asked for");
  }
};

static void every_task_is_done_once(int times) {
  for (int i = 0; i < times; ++i) {
    const int threads = 1 + i % 5;
    Job job(i % 50);
    job.run(threads);
    job.check_done(threads);
    if (i % 100 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));  // long enough to fall asleep
  }
}

static void helpers_do_help() {
  for (int attempt = 0; attempt < 100; ++attempt) {
    Job job(20, [] { std::this_thread::sleep_for(std::chrono::milliseconds(1)); });
    job.run(4);
    if (job.threads.size() == 4) return;
  }
  check(false, "helpers come when there is something to do");
}

static void callers_side_by_side(int times) {
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) callers.emplace_back([=] { every_task_is_done_once(times); });
  for (std::thread& caller : callers) caller.join();
}

static void calls_inside_calls() {
  Job outer(20, [] {
    Job inner(5);
    inner.run(3);
    inner.check_done(3);
  });
  outer.run(3);
  outer.check_done(3);
}

static void exceptions_reach_the_caller() {
  for (int i = 0; i < 50; ++i) {
    Job job(10, [] { throw std::runtime_error("thrown"); });
    bool caught = false;
    try {
      job.run(3);
    } catch (const std::runtime_error&) {
      caught = true;
    }
    check(caught, "an exception reaches the caller");
    every_task_is_done_once(1);
  }
}

static void a_child_has_threads_of_its_own(int times) {
  std::fflush(stdout);  // or the child would print it again
  const pid_t child = fork();
  check(child >= 0, "there can be a child");
  if (child == 0) {
    every_task_is_done_once(times);
    helpers_do_help();
    std::exit(0);  // as a whole program ends
  }
  int status = 0;
  check(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child works and ends");
}

static double processor_seconds() {
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  return double(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         1e-6 * double(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static void idle_helpers_sleep() {
  every_task_is_done_once(10);
  const double before = processor_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  check(processor_seconds() - before < 0.1, "helpers sleep when there is nothing to do");
}

int main(int, char** arguments) {
  const int times = std::atoi(arguments[1]);
  const bool forks =
      times > 0 && arguments[2] == nullptr;  // ThreadSanitizer cannot follow a fork of a program with threads
  const auto passed = [](const char* what) { std::printf("%s ok \n", what); };
  every_task_is_done_once(times), passed("every task is done once");
  helpers_do_help(), passed("helpers do help");
  callers_side_by_side(times), passed("callers side by side");
  calls_inside_calls(), passed("calls inside calls");
  exceptions_reach_the_caller(), passed("exceptions reach the caller");
  idle_helpers_sleep(), passed("idle helpers sleep");
  if (forks) a_child_has_threads_of_its_own(times), passed("a child has threads of its own");
}

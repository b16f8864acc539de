// Threads that help the caller of an operator, and cost next to nothing while there is none.
#pragma once
#include <cstdint>

namespace dgr {

// Calls run(context, task) once for each task in [0, tasks), on the calling thread and on up to `threads` - 1 others;
// each takes the next task when it is free. Returns when all are done, and throws what the first of them threw. A helper
// may come late or not at all: another program has its core, another caller has the helpers, or the tasks are done before
// it was worth to wake one.
void run_tasks(int64_t tasks, int64_t threads, void (*run)(void* context, int64_t task), void* context);

}  // namespace dgr

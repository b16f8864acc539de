// Threads that help the caller of an operator, and cost next to nothing while there is none.
#pragma once
#include <cstdint>

namespace dgr {

// Calls work(context, worker) on the calling thread, as worker 0, and on up to `workers` − 1 others, each with a number of its own;
// returns when all that began have returned, and throws what the first of them threw. A helper may come late or not at
// all: another program has its core, or another caller has the helpers. So worker 0 alone must be enough for the whole work.
void run_on_threads(int64_t workers, void (*work)(void* context, int64_t worker), void* context);

}  // namespace dgr

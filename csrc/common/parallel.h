// Threads for the CPU kernels.
#pragma once

#include <cstdint>

namespace apnt::cpu {

using RangeFn = void (*)(int64_t begin, int64_t end, void* context);

// Calls fn on disjoint ranges that cover [begin, end), on several threads, and returns when all are done. A range has at
// least `grain` elements unless it is the last. Ranges are as long as the number of threads allows. Implemented by the
// library that the kernels are linked into.
void parallel_for(int64_t begin, int64_t end, int64_t grain, RangeFn fn, void* context);

}  // namespace apnt::cpu

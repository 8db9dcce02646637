// Threads for the CPU kernels.
#pragma once

#include <cstdint>

namespace apnt::cpu {

using RangeFn = void (*)(int64_t begin, int64_t end, void* context);

// Calls fn on disjoint ranges that cover [begin, end), on several threads, and returns when all are done. A
// range has at least `grain` elements unless it is the last. Ranges are as long as the number of threads
// allows. Implemented by the library that the kernels are linked into.
void parallel_for(int64_t begin, int64_t end, int64_t grain, RangeFn fn, void* context);

// The largest number of threads that parallel_for uses.
int64_t num_threads();

// The same for a callable (begin, end).
template <class F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const F& body) {
  parallel_for(
      begin, end, grain,
      [](int64_t first, int64_t last, void* context) { (*static_cast<const F*>(context))(first, last); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace apnt::cpu

// Work shared between the threads of PyTorch, without OpenMP in this library.
#pragma once

#include <cstdint>

namespace apnt::cpu {

using RangeFn = void (*)(int64_t begin, int64_t end, void* context);

// Calls fn with disjoint ranges that cover [begin, end), each of at least `grain` but the last.
void parallel_for(int64_t begin, int64_t end, int64_t grain, RangeFn fn, void* context);

// The same for a callable (begin, end).
template <class F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, F& body) {
  parallel_for(
      begin, end, grain,
      [](int64_t first, int64_t last, void* context) { (*static_cast<F*>(context))(first, last); }, &body);
}

}  // namespace apnt::cpu

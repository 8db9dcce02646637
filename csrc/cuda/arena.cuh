// Divides a launch's workspace into arrays.
#pragma once

#include "cuda/runtime.cuh"

namespace apnt::cuda {

// Returns parts of the memory, aligned to 256 bytes. Without memory it returns null pointers and only counts
// the bytes.
class Arena {
 public:
  explicit Arena(void* memory) : memory_(static_cast<char*>(memory)) {}

  template <class A>
  A* take(int64_t elements, bool wanted = true) {
    if (!wanted) return nullptr;
    const int64_t at = bytes_;
    bytes_ += ceil_div(elements * int64_t(sizeof(A)), int64_t{256}) * 256;
    return memory_ ? reinterpret_cast<A*>(memory_ + at) : nullptr;
  }
  int64_t bytes() const { return bytes_; }

 private:
  char* memory_;
  int64_t bytes_ = 0;
};

}  // namespace apnt::cuda

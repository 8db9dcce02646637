// Memory for intermediate values, aligned to a cache line and uninitialised. It does not keep its contents
// when it grows (common/growing_array.h does).
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

namespace apnt {
namespace {  // one copy for every set of instructions

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count) { reserve(count); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }

  T* get() const { return data_; }

  // At least `count` elements.
  void reserve(int64_t count) {
    if (count <= count_) return;
    reset();
    constexpr size_t kLine = 64;
    const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + kLine - 1) / kLine * kLine;
    void* data = std::aligned_alloc(kLine, bytes);
    if (data == nullptr) throw std::bad_alloc();
    data_ = static_cast<T*>(data);
    count_ = count;
  }

  void reset() {
    std::free(data_);
    data_ = nullptr;
    count_ = 0;
  }

 private:
  T* data_ = nullptr;
  int64_t count_ = 0;
};

}  // namespace
}  // namespace apnt

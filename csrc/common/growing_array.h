// An array that keeps its elements when it grows, as std::vector does. That one's code is shared between
// object files: a copy that was compiled for AVX-512 could run on a machine without it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

#include "common/pages.h"

namespace apnt {
namespace {  // one copy for every set of instructions

template <class T>
class GrowingArray {
 public:
  GrowingArray() = default;
  GrowingArray(const GrowingArray&) = delete;
  GrowingArray& operator=(const GrowingArray&) = delete;
  ~GrowingArray() { std::free(data_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return size_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }
  T& back() { return data_[size_ - 1]; }
  void clear() { size_ = 0; }

  // Makes room for `count` elements behind the last and returns the address of the first.
  T* make_room(int64_t count) {
    if (size_ + count > capacity_) grow(size_ + count);
    return data_ + size_;
  }

  // Counts `count` elements that were written there.
  void advance(int64_t count) { size_ += count; }

  void push(const T& value) {
    *make_room(1) = value;
    ++size_;
  }

  // Sets the number of elements; new ones are uninitialised.
  void resize(int64_t count) {
    if (count > capacity_) grow(count);
    size_ = count;
  }

 private:
  void grow(int64_t count) {
    const int64_t capacity = count > 2 * capacity_ ? count : 2 * capacity_;
    void* data = std::realloc(data_, static_cast<size_t>(capacity) * sizeof(T));
    if (data == nullptr) throw std::bad_alloc();
    use_large_pages(data, capacity * static_cast<int64_t>(sizeof(T)));
    data_ = static_cast<T*>(data);
    capacity_ = capacity;
  }

  T* data_ = nullptr;
  int64_t size_ = 0;
  int64_t capacity_ = 0;
};

}  // namespace
}  // namespace apnt

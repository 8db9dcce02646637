// patch_swap of channels-last features (N, H, W, C), as the network has them: patches of 1 or 3 pixels.
//
// Where all patches around a pixel were moved alike, the result is one pixel of the input: runs of these are
// copied. Elsewhere what is read is added up; where all nine reads lie in the image, without asking for each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "common/buffer.h"
#include "common/parallel.h"
#include "cpu/patch_swap.h"
#include "cpu/patch_swap_lanes.h"
#include "cpu/rounding.h"
#include "cpu/write_row.h"

namespace apnt::cpu {
namespace {

constexpr int64_t kLastRow = 32 << 10;   // bytes of a tile's row: some tens of rows lie in a core's cache
constexpr int64_t kLastRows = 64;        // rows of a tile
constexpr int64_t kLastMixed = 4 << 10;  // bytes of pixels that are added up before they are written

// Offsets of the patches that reach row y: those of rows y - half .. y + half, as far as these lie in the
// image.
struct NearRows {
  const int32_t *dy[3] = {}, *dx[3] = {};
  int count = 0, own = 0;

  NearRows(const SwapArgs& a, const int32_t* field, int64_t y) {
    const int half = a.patch / 2;
    for (int64_t row = std::max<int64_t>(y - half, 0); row <= std::min(y + half, a.h - 1); ++row, ++count) {
      if (row == y) own = count;
      dy[count] = field + row * a.w;
      dx[count] = dy[count] + a.h * a.w;
    }
  }
};

// What is known of the pixels [x0, x1) of a row before they are read.
class LastPixels {
 public:
  enum Kind : uint8_t { kMixed, kNine, kAlike };

  explicit LastPixels(int64_t width)
      : kind_(width), column_(width + 2), safe_(width + 2), at_(3 * (width + 2)) {}

  void find(const SwapArgs& a, const NearRows& near, int64_t y, int64_t x0, int64_t x1) {
    x0_ = x0;
    first_ = std::max<int64_t>(x0 - 1, 0);  // column of the near rows' first patch
    const int64_t width = std::min(x1 + 1, a.w) - first_, skip = x0 - first_;
    stride_ = width;
    const int32_t *dy = near.dy[near.own] + first_, *dx = near.dx[near.own] + first_;
    uint8_t *column = column_.get(), *safe = safe_.get(), *kind = kind_.get();
    for (int64_t i = 0; i < width; ++i) column[i] = safe[i] = 1;
    for (int k = 0; k < near.count; ++k) {
      const int32_t *y_of = near.dy[k] + first_, *x_of = near.dx[k] + first_;
      int32_t* const at = at_.get() + k * stride_;
      for (int64_t i = 0; i < width; ++i) {
        column[i] &= (y_of[i] == dy[i]) & (x_of[i] == dx[i]);
        // Unsigned sums: what is above or before the image is a large number.
        const uint32_t row = uint32_t(y) + uint32_t(y_of[i]);
        const uint32_t left = uint32_t(first_ + i) + uint32_t(x_of[i]) - 1;
        safe[i] &= (row < uint32_t(a.h)) & (left + 2 < uint32_t(a.w)) & (left < uint32_t(a.w));
        at[i] = int32_t(row * uint32_t(a.w) + uint32_t(x_of[i]));
      }
    }
    if (a.patch == 1) {
      for (int64_t i = 0; i < x1 - x0; ++i) kind[i] = kAlike;
      return;
    }
    for (int64_t x = x0; x < x1; ++x) {
      const int64_t i = x - x0 + skip, left = std::max<int64_t>(x - 1, 0) - first_;
      const int64_t right = std::min(x + 1, a.w - 1) - first_;
      const bool alike = column[left] & column[i] & column[right] & (dy[left] == dy[i]) &
                         (dx[left] == dx[i]) & (dy[right] == dy[i]) & (dx[right] == dx[i]);
      const bool nine = (near.count == 3) & (right - left == 2) & safe[left] & safe[i] & safe[right];
      kind[x - x0] = alike ? kAlike : nine ? kNine : kMixed;
    }
  }

  Kind operator[](int64_t x) const { return static_cast<Kind>(kind_.get()[x - x0_]); }

  // The pixel of the image that the patch around column i of near row k gives to pixel x; for kNine.
  int64_t read(int k, int64_t i, int64_t x) const { return at_.get()[k * stride_ + i - first_] + x; }

 private:
  Buffer<uint8_t> kind_, column_, safe_;
  Buffer<int32_t> at_;
  int64_t x0_ = 0, first_ = 0, stride_ = 0;
};

template <class L, class T>
class LastRows {
 public:
  using Sum = typename L::Sum;
  using Single = Plain<Sum, 1>;

  LastRows(const SwapArgs& a, int64_t width, bool stream)
      : a_(a),
        stream_(stream),
        group_(std::max<int64_t>(kLastMixed / (a.c * static_cast<int64_t>(sizeof(T))), 1)),
        pixels_(width),
        mixed_(group_ * a.c) {}

  // Pixels [x0, x1) of row y.
  void row(const T* in, const int32_t* field, T* out, int64_t y, int64_t x0, int64_t x1) {
    in_ = in;
    const NearRows near(a_, field, y);
    pixels_.find(a_, near, y, x0, x1);
    T* const to = out + y * a_.w * a_.c;
    const int32_t *dy = near.dy[near.own], *dx = near.dx[near.own];
    for (int64_t x = x0; x < x1;) {
      const int64_t first = x;
      if (pixels_[x] == LastPixels::kAlike) {
        while (++x < x1 && pixels_[x] == LastPixels::kAlike && dy[x] == dy[first] && dx[x] == dx[first]) {
        }
        copy(dy[first], dx[first], y, first, x, to);
        continue;
      }
      for (; x < x1 && x < first + group_ && pixels_[x] != LastPixels::kAlike; ++x) {
        T* const mixed = mixed_.get() + (x - first) * a_.c;
        if (pixels_[x] == LastPixels::kNine)
          add(x, mixed);
        else
          mix(near, y, x, mixed);
      }
      write_row(to + first * a_.c, mixed_.get(), (x - first) * a_.c * sizeof(T), stream_);
    }
  }

 private:
  // Pixels [begin, end) of row y, read from one offset; zeros where that leads out of the image.
  void copy(int64_t dy, int64_t dx, int64_t y, int64_t begin, int64_t end, T* row) const {
    int64_t left = std::clamp(-dx, begin, end), right = std::clamp(a_.w - dx, left, end);
    if (y + dy < 0 || y + dy >= a_.h) left = right = end;
    std::memset(static_cast<void*>(row + begin * a_.c), 0, (left - begin) * a_.c * sizeof(T));
    if (right > left)
      write_row(row + left * a_.c, in_ + ((y + dy) * a_.w + left + dx) * a_.c,
                (right - left) * a_.c * sizeof(T), stream_);
    std::memset(static_cast<void*>(row + right * a_.c), 0, (end - right) * a_.c * sizeof(T));
  }

  // The mean of nine reads.
  void add(int64_t x, T* to) const {
    const T* from[9];
    for (int k = 0; k < 3; ++k)  // in the order of patch_swap_body.h, for the same rounding
      for (int i = 0; i < 3; ++i) from[3 * k + i] = in_ + pixels_.read(k, x + 1 - i, x) * a_.c;
    mean(from, std::integral_constant<int, 9>(), to);
  }

  // The mean of what is read for a pixel, of which some lies outside or is not there.
  void mix(const NearRows& near, int64_t y, int64_t x, T* to) const {
    const int half = a_.patch / 2;
    const T* from[9];
    int count = 0;
    for (int k = 0; k < near.count; ++k)
      for (int64_t i = std::min(x + half, a_.w - 1); i >= std::max<int64_t>(x - half, 0); --i) {
        const int64_t row = y + near.dy[k][i], column = x + near.dx[k][i];
        if (row < 0 || row >= a_.h || column < 0 || column >= a_.w) continue;
        from[count++] = in_ + (row * a_.w + column) * a_.c;
      }
    mean(from, count, to);
  }

  // Of `count` pixels; zeros of none. The loop over a constant number of them is unrolled.
  template <class Count>
  void mean(const T* const (&from)[9], Count count, T* to) const {
    int64_t c = 0;
    for (; c + L::lanes <= a_.c; c += L::lanes) mean_of<L>(from, count, c, to);
    for (; c < a_.c; ++c) mean_of<Single>(from, count, c, to);
  }

  template <class M, class Count>
  static void mean_of(const T* const (&from)[9], Count count, int64_t c, T* to) {
    const int reads = count;
    typename M::V sum = M::zero();
#pragma GCC unroll 9
    for (int j = 0; j < reads; ++j) sum = M::add(sum, M::read(from[j] + c));
    M::write(to + c, M::mul(sum, M::fill(Sum(1) / std::max(reads, 1))));
  }

  const SwapArgs& a_;
  const bool stream_;
  const int64_t group_;
  LastPixels pixels_;
  Buffer<T> mixed_;
  const T* in_ = nullptr;
};

template <class L, class T>
void swap_last(const SwapArgs& a, int64_t streamed) {
  const int64_t pixel = a.c * static_cast<int64_t>(sizeof(T)), image = a.h * a.w * a.c;
  const int64_t width = std::min(std::max<int64_t>(kLastRow / pixel, 16), a.w);
  const int64_t across = ceil_div(a.w, width), down = ceil_div(a.h, kLastRows);
  const bool stream = a.n * a.h * a.w * pixel >= streamed;
  parallel_for(0, a.n * across * down, 1, [&](int64_t begin, int64_t end) {
    LastRows<L, T> rows(a, width, stream);
    for (int64_t i = begin; i < end; ++i) {
      // Down the image, so that what neighbours read is still in the cache.
      const int64_t n = i / (across * down), x = i / down % across * width, y = i % down * kLastRows;
      const T* const in = static_cast<const T*>(a.in) + n * image;
      T* const out = static_cast<T*>(a.out) + n * image;
      for (int64_t row = y; row < std::min(y + kLastRows, a.h); ++row)
        rows.row(in, a.offset + 2 * n * a.h * a.w, out, row, x, std::min(x + width, a.w));
    }
#ifdef __SSE2__
    if (stream) _mm_sfence();
#endif
  });
}

}  // namespace
}  // namespace apnt::cpu

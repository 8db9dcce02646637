// Copies of parts of a feature map in the layouts that the kernels read. Internal linkage, see elements.h.
#pragma once

#include "common/buffer.h"
#include "cpu/rounding.h"
#include "cpu/window_match_plan.h"

namespace apnt::cpu {
namespace {

constexpr double kNormFloor = 1e-6;

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// One image (C, H, W), zero outside, read in units.
template <class I, class T>
struct Map {
  using S = typename I::Scalar;
  using V = typename I::V;
  static constexpr int W = I::W;
  using Element = typename T::Element;

  const Element* data;
  int64_t c, h, w;
  bool last = false;  // (H, W, C) in memory, which pack_row alone reads

  Map(const Element* image, int64_t channels, int64_t height, int64_t width)
      : data(image), c(channels), h(height), w(width) {}
  Map(const void* images, int64_t image, const MatchPlan& p, bool channels_last = false)
      : data(static_cast<const Element*>(images) + image * p.c * p.h * p.w),
        c(p.c),
        h(p.h),
        w(p.w),
        last(channels_last) {}

  static int64_t units(int64_t channels) { return ceil_div(channels, T::channels); }

  const Element* at(int64_t unit, int64_t y, int64_t x) const {
    return data + (unit * T::channels * h + y) * w + x;
  }

  // W pixels of a row from column x on. The row is inside the image; x need not be.
  V load(int64_t unit, int64_t y, int64_t x) const {
    if (x >= w || x <= -W) return I::zero();
    const Element* row = at(unit, y, 0);
    const Element* next = T::channels > 1 && unit * T::channels + 1 < c ? row + h * w : nullptr;
    if (x >= 0 && x + W <= w) return I::load_units(T(), row + x, next ? next + x : nullptr, W);
    if (x >= 0) return I::load_units(T(), row + x, next ? next + x : nullptr, int(w - x));
    S shifted[2 * W];
    I::store(shifted, I::zero());
    I::store(shifted - x, I::load_units(T(), row, next, int(smaller(W + x, w))));
    return I::load(shifted);
  }

  // W pixels of W units in a row, all inside the map: (units, pixels). Prefetches the same pixels of the next
  // row: channels are far apart in memory, and every row of each would be a cache miss.
  void load_block(int64_t unit, int64_t y, int64_t x, V (&block)[W]) const {
    const int64_t plane = h * w;
    const Element* from = at(unit, y, x);
#pragma GCC unroll 16
    for (int k = 0; k < W; ++k, from += T::channels * plane) {
      block[k] = I::load_units(T(), from, T::channels > 1 ? from + plane : nullptr, W);
      __builtin_prefetch(from + w);
      if (T::channels > 1) __builtin_prefetch(from + plane + w);
    }
  }

  // use(j, W pixels from column x + j on) for j = 0, W, ... below count, a multiple of W. Prefetches the
  // same pixels of the unit `ahead` units later.
  template <class F>
  void for_row(int64_t unit, int64_t y, int64_t x, int64_t count, int64_t ahead, const F& use) const {
    if (x < 0 || x + count > w || (unit + ahead + 1) * T::channels > c) {
      for (int64_t j = 0; j < count; j += W) use(j, load(unit, y, x + j));
      return;
    }
    const int64_t plane = h * w;
    const Element* from = at(unit, y, x);
    const Element* later = from + ahead * T::channels * plane;
    __builtin_prefetch(later);
    if (T::channels > 1) __builtin_prefetch(later + plane);
    for (int64_t j = 0; j < count; j += W) {
      use(j, I::load_units(T(), from + j, T::channels > 1 ? from + plane + j : nullptr, W));
      __builtin_prefetch(later + j + W - 1);
      if (T::channels > 1) __builtin_prefetch(later + plane + j + W - 1);
    }
  }
};

// n elements of a pixel, next to each other in memory, at most a vector's; zeros after them.
template <class I, class T>
typename I::V load_channels(const typename T::Element* p, int64_t n) {
  if constexpr (T::channels == 1) {
    return I::load_units(T(), p, nullptr, int(n));
  } else {
    return I::load_pairs(p, int(n));
  }
}

// to[i] += v[i] for the first n <= W lanes.
template <class I>
void add_first(typename I::Scalar* to, typename I::V v, int64_t n) {
  if (n == I::W) {
    I::store(to, I::add(I::load(to), v));
    return;
  }
  typename I::Scalar lanes[I::W];
  I::store(lanes, v);
  for (int64_t i = 0; i < n; ++i) to[i] += lanes[i];
}

// pack_row of a row inside the image, where a pixel's channels lie next to each other.
template <class I, class T>
void pack_pixels(const Map<I, T>& map, int64_t y, int64_t x, int64_t cols, int64_t depth,
                 typename I::Scalar* row, typename I::Scalar* squares) {
  using V = typename I::V;
  constexpr int W = I::W;
  const typename T::Element* from = map.data + (y * map.w + x) * map.c;
  for (int64_t j = 0; j < cols; j += W) {
    const int64_t count = smaller(W, cols - j);
    for (int64_t u = 0; u < depth; u += W) {
      V block[W];
      const int64_t first = u * T::channels, n = smaller(W * T::channels, map.c - first);
      for (int64_t k = 0; k < W; ++k) {
        const bool known = k < count && x + j + k >= 0 && x + j + k < map.w && n > 0;
        block[k] = known ? load_channels<I, T>(from + (j + k) * map.c + first, n) : I::zero();
        if (k < count) I::store(row + (j + k) * depth + u, block[k]);
      }
      if (!squares) continue;
      // Added in the order of pack_row, so that the layout changes no bit.
      I::transpose(block);
      V sum = I::zero();
#pragma GCC unroll 16
      for (int k = 0; k < W; ++k) sum = I::dot(block[k], block[k], sum);
      add_first<I>(squares + j, sum, count);
    }
  }
}

// (cols, depth): the pixels of row y from column x on, one after the other with all their units, which fill
// whole vectors; zero outside the image. squares (cols): theirs, summed over the units, unless it is nullptr.
template <class I, class T>
void pack_row(const Map<I, T>& map, int64_t y, int64_t x, int64_t cols, int64_t depth,
              typename I::Scalar* row, typename I::Scalar* squares = nullptr) {
  constexpr int W = I::W;
  using S = typename I::Scalar;
  using V = typename I::V;
  if (squares) __builtin_memset(squares, 0, size_t(cols) * sizeof(S));
  if (y < 0 || y >= map.h) {
    __builtin_memset(row, 0, size_t(cols * depth) * sizeof(S));
    return;
  }
  if (map.last) return pack_pixels(map, y, x, cols, depth, row, squares);
  const int64_t units = Map<I, T>::units(map.c);
  for (int64_t u = 0; u < depth; u += W) {
    const bool full = (u + W) * T::channels <= map.c;
    for (int64_t j = 0; j < cols; j += W) {
      V block[W];
      const int64_t n = smaller(W, cols - j);
      if (full && x + j >= 0 && x + j + W <= map.w) {
        map.load_block(u, y, x + j, block);
      } else {
        for (int k = 0; k < W; ++k) block[k] = u + k < units ? map.load(u + k, y, x + j) : I::zero();
      }
      if (squares) {
        V sum = I::zero();
#pragma GCC unroll 16
        for (int k = 0; k < W; ++k) sum = I::dot(block[k], block[k], sum);
        add_first<I>(squares + j, sum, n);
      }
      I::transpose(block);
      S* to = row + j * depth + u;
      if (n == W) {
#pragma GCC unroll 16
        for (int k = 0; k < W; ++k) I::store(to + k * depth, block[k]);
      } else {
        for (int k = 0; k < n; ++k) I::store(to + k * depth, block[k]);
      }
    }
  }
}

// (rows, cols, depth): the pixels from (y, x) on, as pack_row packs them.
template <class I>
struct Region {
  using S = typename I::Scalar;

  int64_t y = 0, x = 0, rows = 0, cols = 0, depth = 0;
  Buffer<S> data, squares;

  const S* at(int64_t py, int64_t px) const { return data.get() + ((py - y) * cols + px - x) * depth; }

  template <class T>
  void pack(const Map<I, T>& map, int64_t y0, int64_t x0, int64_t n_rows, int64_t n_cols) {
    y = y0, x = x0, rows = n_rows, cols = n_cols;
    depth = round_up(Map<I, T>::units(map.c), I::W);
    // Kernels read a few pixels at a time and may read past the last one.
    data.reserve((rows * cols + I::kPixels + I::kDots) * depth);
    squares.reserve(rows * cols + I::W);
    for (int64_t i = 0; i < rows; ++i)
      pack_row(map, y + i, x, cols, depth, data.get() + i * cols * depth, squares.get() + i * cols);
    S* slack = data.get() + rows * cols * depth;
    __builtin_memset(slack, 0, size_t((I::kPixels + I::kDots) * depth) * sizeof(S));
  }
};

}  // namespace
}  // namespace apnt::cpu

// convolve for one set of instructions: APNT_VECTOR is its vector class, APNT_BODY the function's name.
//
// 3x3: Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, Fast Algorithms for Convolutional Neural
// Networks, 2016). A tile of 6x6 input pixels d and a filter g are transformed, multiplied at each of the 36
// points, and the sums over the channels are transformed to 4x4 outputs:
//
//     y = A' [ sum_c (G g G') * (B' d B) ] A
//
// That is a quarter of the multiplications of the plain sum, in 36 matrix products of (tiles, C) and (C, K)
// that are kept in the caches. The result's rounding errors are about four times those of the plain sum.
#pragma once

#include <algorithm>
#include <cstring>

#include "common/buffer.h"
#include "common/parallel.h"
#include "cpu/convolve.h"
#include "cpu/convolve_multiply.h"
#include "cpu/rounding.h"

namespace apnt::cpu {
namespace {

using X = APNT_VECTOR;
using V = X::V;
constexpr int W = X::W;
constexpr int kTile = 4, kSeen = 6, kPoints = 36;

// Bytes of transformed inputs and outputs that lie in a core's second cache beside the filters.
constexpr int64_t kCache = 384 << 10;

// Between the planes of the points: without it they would share the few places of a cache that belong to an
// address.
constexpr int64_t kGap = 16;

V subtract(const V& a, const V& b) { return X::dot(X::fill(-1), b, a); }

// B' d.
void transform_input(const V (&d)[kSeen], V (&t)[kSeen]) {
  const V a = X::dot(X::fill(-4), d[2], d[4]), b = X::dot(X::fill(-4), d[1], d[3]);
  const V c = subtract(d[4], d[2]), e = subtract(d[3], d[1]);
  t[0] = X::dot(X::fill(4), d[0], X::dot(X::fill(-5), d[2], d[4]));
  t[1] = X::add(a, b);
  t[2] = subtract(a, b);
  t[3] = X::dot(X::fill(2), e, c);
  t[4] = X::dot(X::fill(-2), e, c);
  t[5] = X::dot(X::fill(4), d[1], X::dot(X::fill(-5), d[3], d[5]));
}

// A' m.
void transform_output(const V (&m)[kSeen], V (&y)[kTile]) {
  const V a = X::add(m[1], m[2]), b = subtract(m[1], m[2]);
  const V c = X::add(m[3], m[4]), d = subtract(m[3], m[4]);
  y[0] = X::add(m[0], X::add(a, c));
  y[1] = X::dot(X::fill(2), d, b);
  y[2] = X::dot(X::fill(4), c, a);
  y[3] = X::dot(X::fill(8), d, X::add(b, m[5]));
}

// G.
constexpr double kFilter[kSeen][3] = {{1. / 4, 0, 0},
                                      {-1. / 6, -1. / 6, -1. / 6},
                                      {-1. / 6, 1. / 6, -1. / 6},
                                      {1. / 24, 1. / 12, 1. / 6},
                                      {1. / 24, -1. / 12, 1. / 6},
                                      {0, 0, 1}};

// G g G' of every filter: u (36, C, padded). Columns from K on are zeros.
void transform_filters(const ConvolveArgs& a, int64_t padded, float* u) {
  Buffer<double> buffer(9 * padded + 18 * padded);
  double *g = buffer.get(), *half = g + 9 * padded;  // (3, 3, padded), (6, 3, padded)
  std::memset(g, 0, 9 * padded * sizeof(double));
  for (int64_t c = 0; c < a.c; ++c) {
    for (int64_t k = 0; k < a.k; ++k)
      for (int r = 0; r < 3; ++r)
        for (int s = 0; s < 3; ++s)
          g[(3 * r + s) * padded + k] =
              a.weight[k * a.output + c * a.input + r * a.weight_row + s * a.weight_column];
    for (int r = 0; r < kSeen; ++r) {
      const double* f = kFilter[r];
      for (int64_t i = 0; i < 3 * padded; ++i)
        half[3 * r * padded + i] = f[0] * g[i] + f[1] * g[3 * padded + i] + f[2] * g[6 * padded + i];
      const double* row = half + 3 * r * padded;
      for (int s = 0; s < kSeen; ++s) {
        const double* e = kFilter[s];
        float* to = u + ((r * kSeen + s) * a.c + c) * padded;
        for (int64_t k = 0; k < padded; ++k)
          to[k] = float(e[0] * row[k] + e[1] * row[padded + k] + e[2] * row[2 * padded + k]);
      }
    }
  }
}

// y[0, n) = x + bias, of a pixel's n <= W channels, onto others unless that is nullptr.
void store_pixel(float* y, V x, V bias, bool relu, const float* onto, int64_t n) {
  x = X::add(x, bias);
  if (relu) x = X::max(X::zero(), x);  // max gives its second operand where the first is NaN, so NaN stays
  if (n == W) return X::store(y, onto ? X::add(x, X::load(onto)) : x);
  float lanes[W];
  X::store(lanes, x);
  if (onto)
    for (int64_t k = 0; k < n; ++k) lanes[k] += onto[k];
  std::memcpy(y, lanes, n * sizeof(float));
}

class Convolution {
 public:
  explicit Convolution(const ConvolveArgs& a)
      : a_(a), padded_(round_up(a.k, W)), bias_(padded_), u_((a.side == 3 ? kPoints : 1) * a.c * padded_) {
    std::memset(bias_.get(), 0, padded_ * sizeof(float));
    if (a.bias) std::memcpy(bias_.get(), a.bias, a.k * sizeof(float));
    if (a.side == 3) {
      transform_filters(a, padded_, u_.get());
    } else {
      std::memset(u_.get(), 0, a.c * padded_ * sizeof(float));
      for (int64_t c = 0; c < a.c; ++c)
        for (int64_t k = 0; k < a.k; ++k) u_.get()[c * padded_ + k] = a.weight[k * a.output + c * a.input];
    }
  }

  void run() const {
    const int64_t points = a_.side == 3 ? kPoints : 1;
    const int64_t bytes = kProductRows * points * (a_.c + padded_) * sizeof(float);
    const int64_t group = kProductRows * std::max<int64_t>(kCache / bytes, 1);
    const int64_t total = a_.n * down() * across();
    parallel_for(0, ceil_div(total, group), 1, [&](int64_t begin, int64_t end) {
      const int64_t v_plane = group * a_.c + kGap, m_plane = group * padded_ + kGap;
      Buffer<float> v(points * v_plane), m(points * m_plane), border(kPoints * a_.c);
      for (int64_t g = begin; g < end; ++g) {
        const int64_t first = g * group, count = std::min(group, total - first);
        if (a_.side == 3)
          tiles(first, count, v.get(), v_plane, m.get(), m_plane, border.get());
        else
          pixels(first, count, v.get(), m.get());
      }
    });
  }

 private:
  // Pixels from one place to the next, and how many places there are.
  int64_t step() const { return a_.side == 3 ? kTile : 1; }
  int64_t down() const { return ceil_div(a_.rows, step()); }
  int64_t across() const { return ceil_div(a_.w, step()); }

  // Where the outputs of a tile begin, or a pixel's lie. Divisions take as long as a pixel's sums, so that
  // only the first place of a group is divided for.
  struct Place {
    int64_t image, y, x;
  };
  Place place(int64_t i) const {
    const int64_t row = i / across();
    return {row / down(), row % down() * step(), i % across() * step()};
  }
  void advance(Place& at) const {
    if ((at.x += step()) < a_.w) return;
    at.x = 0;
    if ((at.y += step()) < a_.rows) return;
    at.y = 0;
    ++at.image;
  }

  void tiles(int64_t first, int64_t count, float* v, int64_t v_plane, float* m, int64_t m_plane,
             float* border) const {
    const int64_t rows = round_up(count, kProductRows);
    Place at = place(first);
    for (int64_t i = 0; i < count; ++i, advance(at)) read_tile(at, v + i * a_.c, v_plane, border);
    for (int p = 0; p < kPoints; ++p) {
      std::memset(v + p * v_plane + count * a_.c, 0, (rows - count) * a_.c * sizeof(float));
      multiply<X>({v + p * v_plane}, a_.c, u_.get() + p * a_.c * padded_, padded_, m + p * m_plane, rows);
    }
    at = place(first);
    for (int64_t i = 0; i < count; ++i, advance(at)) write_tile(at, m + i * padded_, m_plane);
  }

  // B' d B of a tile, a point after the other, `plane` apart.
  void read_tile(const Place& at, float* v, int64_t plane, float* border) const {
    const int64_t top = at.y + a_.top - 1, left = at.x - 1;
    const bool inside = top >= 0 && left >= 0 && top + kSeen <= a_.h && left + kSeen <= a_.w;
    for (int64_t p = 0; p < a_.count; ++p) {
      const ConvolvePart& part = a_.parts[p];
      const float* image = static_cast<const float*>(part.x) + at.image * part.image;
      if (inside) {
        read_part(image + top * part.row + left * part.pixel, part.row, part.pixel, part.channels, v, plane);
      } else {
        for (int64_t r = 0; r < kSeen; ++r)
          for (int64_t s = 0; s < kSeen; ++s) {
            float* to = border + (r * kSeen + s) * part.channels;
            const bool known = top + r >= 0 && top + r < a_.h && left + s >= 0 && left + s < a_.w;
            if (known)
              std::memcpy(to, image + (top + r) * part.row + (left + s) * part.pixel,
                          part.channels * sizeof(float));
            else
              std::memset(to, 0, part.channels * sizeof(float));
          }
        read_part(border, kSeen * part.channels, part.channels, part.channels, v, plane);
      }
      v += part.channels;
    }
  }

  static void read_part(const float* x, int64_t row, int64_t pixel, int64_t channels, float* v,
                        int64_t plane) {
    for (int64_t c = 0; c < channels; c += W) {
      V half[kSeen][kSeen];
#pragma GCC unroll 6
      for (int s = 0; s < kSeen; ++s) {
        V d[kSeen], t[kSeen];
#pragma GCC unroll 6
        for (int r = 0; r < kSeen; ++r) d[r] = X::load(x + r * row + s * pixel + c);
        transform_input(d, t);
#pragma GCC unroll 6
        for (int r = 0; r < kSeen; ++r) half[r][s] = t[r];
      }
#pragma GCC unroll 6
      for (int r = 0; r < kSeen; ++r) {
        V t[kSeen];
        transform_input(half[r], t);
#pragma GCC unroll 6
        for (int s = 0; s < kSeen; ++s) X::store(v + (r * kSeen + s) * plane + c, t[s]);
      }
    }
  }

  // A' m A of a tile, and where the image has pixels.
  void write_tile(const Place& at, const float* m, int64_t plane) const {
    const int64_t rows = std::min<int64_t>(kTile, a_.rows - at.y);
    const int64_t columns = std::min<int64_t>(kTile, a_.w - at.x);
    float* y = static_cast<float*>(a_.y) + at.image * a_.y_image + at.y * a_.y_row + at.x * a_.y_pixel;
    for (int64_t k = 0; k < a_.k; k += W) {
      const V bias = X::load(bias_.get() + k);
      const int64_t n = std::min<int64_t>(W, a_.k - k);
      V half[kTile][kSeen];
#pragma GCC unroll 6
      for (int s = 0; s < kSeen; ++s) {
        V d[kSeen], t[kTile];
#pragma GCC unroll 6
        for (int r = 0; r < kSeen; ++r) d[r] = X::load(m + (r * kSeen + s) * plane + k);
        transform_output(d, t);
#pragma GCC unroll 4
        for (int r = 0; r < kTile; ++r) half[r][s] = t[r];
      }
      for (int64_t r = 0; r < rows; ++r) {
        V t[kTile];
        transform_output(half[r], t);
        const float* const onto = onto_pixel<float>(a_, at.image, at.y + r, at.x);
#pragma GCC unroll 4
        for (int s = 0; s < kTile; ++s)
          if (s < columns)
            store_pixel(y + r * a_.y_row + s * a_.y_pixel + k, t[s], bias, a_.relu,
                        onto ? onto + s * a_.onto_pixel + k : nullptr, n);
      }
    }
  }

  // 1x1: a matrix product of pixels and filters.
  void pixels(int64_t first, int64_t count, float* v, float* m) const {
    const int64_t rows = round_up(count, kProductRows);
    Place at = place(first);
    for (int64_t i = 0; i < count; ++i, advance(at)) read_pixel(at, v + i * a_.c);
    std::memset(v + count * a_.c, 0, (rows - count) * a_.c * sizeof(float));
    multiply<X>({v}, a_.c, u_.get(), padded_, m, rows);
    at = place(first);
    for (int64_t i = 0; i < count; ++i, advance(at)) {
      float* const y =
          static_cast<float*>(a_.y) + at.image * a_.y_image + at.y * a_.y_row + at.x * a_.y_pixel;
      const float* const onto = onto_pixel<float>(a_, at.image, at.y, at.x);
      for (int64_t k = 0; k < a_.k; k += W) {
        const V x = X::load(m + i * padded_ + k), bias = X::load(bias_.get() + k);
        store_pixel(y + k, x, bias, a_.relu, onto ? onto + k : nullptr, std::min<int64_t>(W, a_.k - k));
      }
    }
  }

  void read_pixel(const Place& at, float* v) const {
    for (int64_t p = 0; p < a_.count; ++p) {
      const ConvolvePart& part = a_.parts[p];
      const float* x = static_cast<const float*>(part.x) + at.image * part.image +
                       (at.y + a_.top) * part.row + at.x * part.pixel;
      int64_t c = 0;
      if (part.channel == 1)
        for (; c + W <= part.channels; c += W) X::store(v + c, X::load(x + c));
      for (; c < part.channels; ++c) v[c] = x[c * part.channel];
      v += part.channels;
    }
  }

  const ConvolveArgs& a_;
  const int64_t padded_;  // K in whole vectors
  Buffer<float> bias_, u_;
};

}  // namespace

void APNT_BODY(const ConvolveArgs& args) { Convolution(args).run(); }

}  // namespace apnt::cpu

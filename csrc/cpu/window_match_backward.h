// Gradients of window_match's score, compiled once per instruction set; the compiler vectorises. Internal
// linkage, see elements.h.
//
// With k a target pixel, j = k + offset[k], u a place in the patch, P and Q the patches of target at k and of
// source at j:
//   score[k] = <P, Q> / norm;  share[k] = grad[k] / norm
//   d target[k + u] = share[k] * source[j + u] - pull_target[k] * target[k + u],  pull_target = grad * score
//   / |P|**2 d source[j + u] = share[k] * target[k + u] - pull_source[k] * source[j + u],  pull_source = grad
//   * score / |Q|**2
// with a pull only where the score is divided by that norm and the norm is above its floor. The pulls of a
// pixel add up to one factor per pixel. Sums over channels belong to one thread's rows and sums over pixels
// to one thread's channels, so that nothing depends on the threads.
#pragma once

#include <cmath>

#include "common/half.h"
#include "cpu/window_match_pack.h"

namespace apnt::cpu {
namespace {

template <class E, class A>
class MatchBackward {
 public:
  MatchBackward(const MatchBackwardArgs& args, int64_t image)
      : p(args),
        half(p.patch / 2),
        plane(p.h * p.w),
        by_source(p.norm == Norm::search || p.norm == Norm::cosine),
        by_target(p.norm == Norm::cosine || p.norm == Norm::paper),
        source(static_cast<const E*>(p.source) + image * p.c * plane),
        target(static_cast<const E*>(p.target) + image * p.c * plane),
        offset_y(p.offset + 2 * image * plane),
        offset_x(offset_y + plane),
        grad(static_cast<const A*>(p.grad_score) + image * plane),
        grad_source(static_cast<A*>(p.grad_source)),
        grad_target(static_cast<A*>(p.grad_target)) {
    if (grad_source) grad_source += image * p.c * plane;
    if (grad_target) grad_target += image * p.c * plane;
  }

  void run() {
    share.reserve(plane);
    const int64_t rows = larger(1, 100000 / (p.c * p.w));
    if (by_source || by_target) {
      pull_source.reserve(plane);
      pull_target.reserve(plane);
      sum_source.reserve(plane);
      sum_target.reserve(plane);
      parallel_for(0, p.h, rows, [this](int64_t first, int64_t last) {
        if (by_source) squares(source, first, last, sum_source.get());
        if (by_target) squares(target, first, last, sum_target.get());
        dots(first, last, share.get());
      });
      __builtin_memset(pull_source.get(), 0, size_t(plane) * sizeof(A));
      for (int64_t y = 0; y < p.h; ++y)
        for (int64_t x = 0; x < p.w; ++x) divide(y, x);
      if (by_source) box_sum(pull_source.get(), sum_source.get());
      if (by_target) box_sum(pull_target.get(), sum_target.get());
    } else {
      __builtin_memcpy(share.get(), grad, size_t(plane) * sizeof(A));
    }
    parallel_for(0, p.c, kTogether, [this](int64_t first, int64_t last) {
      for (int64_t c = first; c < last; c += kTogether) channels(c, smaller(last, c + kTogether));
    });
  }

 private:
  static constexpr int64_t kTogether = 8;  // channels that walk through the offsets together

  const MatchBackwardArgs& p;
  const int half;
  const int64_t plane;
  const bool by_source, by_target;
  const E *const source, *const target;
  const int32_t *const offset_y, *const offset_x;
  const A* const grad;
  A *grad_source, *grad_target;
  // (H, W) each. share holds the dot products first, sum_* the squares first and then the factors -sum of
  // pulls.
  Buffer<A> share, pull_source, pull_target, sum_source, sum_target;

  void squares(const E* map, int64_t first, int64_t last, A* out) const {
    __builtin_memset(out + first * p.w, 0, size_t((last - first) * p.w) * sizeof(A));
    for (int64_t c = 0; c < p.c; ++c)
      for (int64_t i = first * p.w; i < last * p.w; ++i) {
        const A x = to_float(map[c * plane + i]);
        out[i] += x * x;
      }
  }

  // Calls use(n, k, t, s) for runs of n pixels of row y with one offset and every place u in their patch: k
  // is the first pixel, t = k + u in the target and s = j + u in the source, all of the run inside the image.
  template <class F>
  void runs(int64_t y, const F& use) const {
    for (int64_t x0 = 0, x1; x0 < p.w; x0 = x1) {
      const int64_t at = y * p.w;
      const int64_t oy = offset_y[at + x0], ox = offset_x[at + x0];
      for (x1 = x0 + 1; x1 < p.w && offset_y[at + x1] == oy && offset_x[at + x1] == ox;) ++x1;
      for (int64_t dy = -half; dy <= half; ++dy) {
        const int64_t ty = y + dy, sy = ty + oy;
        if (ty < 0 || ty >= p.h || sy < 0 || sy >= p.h) continue;
        for (int64_t dx = -half; dx <= half; ++dx) {
          const int64_t a = larger(x0, larger(-dx, -dx - ox));
          const int64_t b = smaller(x1, smaller(p.w - dx, p.w - dx - ox));
          if (a < b) use(b - a, at + a, ty * p.w + a + dx, sy * p.w + a + dx + ox);
        }
      }
    }
  }

  // out[k] = <P, Q>.
  void dots(int64_t first, int64_t last, A* out) const {
    __builtin_memset(out + first * p.w, 0, size_t((last - first) * p.w) * sizeof(A));
    for (int64_t y = first; y < last; ++y)
      for (int64_t c0 = 0; c0 < p.c; c0 += kTogether) {
        const int64_t c1 = smaller(p.c, c0 + kTogether);
        runs(y, [=](int64_t n, int64_t k, int64_t t, int64_t s) {
          for (int64_t c = c0; c < c1; ++c) {
            A* __restrict o = out + k;
            const E* __restrict a = target + c * plane + t, * __restrict b = source + c * plane + s;
            if (n == 1) {
              o[0] += A(to_float(a[0])) * A(to_float(b[0]));
              continue;
            }
            for (int64_t i = 0; i < n; ++i) o[i] += A(to_float(a[i])) * A(to_float(b[i]));
          }
        });
      }
  }

  // Sum over the patch around (y, x).
  A box(const A* map, int64_t y, int64_t x) const {
    A sum = 0;
    for (int64_t i = larger(0, y - half); i <= smaller(p.h - 1, y + half); ++i)
      for (int64_t j = larger(0, x - half); j <= smaller(p.w - 1, x + half); ++j) sum += map[i * p.w + j];
    return sum;
  }

  // Dot product to share; the pulls.
  void divide(int64_t y, int64_t x) {
    constexpr A kFloor = A(kNormFloor * kNormFloor);
    const int64_t k = y * p.w + x;
    const int64_t jy = y + offset_y[k], jx = x + offset_x[k];
    const A s = by_source ? box(sum_source.get(), jy, jx) : A(1);
    const A t = by_target ? box(sum_target.get(), y, x) : A(1);
    const A share_k = grad[k] / (std::sqrt(s < kFloor ? kFloor : s) * std::sqrt(t < kFloor ? kFloor : t));
    const A pull = share_k * share.get()[k];
    share.get()[k] = share_k;
    const bool inside = jy >= 0 && jy < p.h && jx >= 0 && jx < p.w;
    if (by_source && inside && !(s <= kFloor)) pull_source.get()[jy * p.w + jx] += pull / s;
    pull_target.get()[k] = by_target && !(t <= kFloor) ? pull / t : A(0);
  }

  void box_sum(const A* pull, A* factor) const {
    for (int64_t y = 0; y < p.h; ++y)
      for (int64_t x = 0; x < p.w; ++x) factor[y * p.w + x] = -box(pull, y, x);
  }

  // Gradients of channels c0 .. c1 - 1.
  void channels(int64_t c0, int64_t c1) const {
    for (int64_t c = c0; c < c1; ++c) {
      if (grad_source && by_source) start(source + c * plane, sum_source.get(), grad_source + c * plane);
      if (grad_target && by_target) start(target + c * plane, sum_target.get(), grad_target + c * plane);
    }
    const A* weight = share.get();
    for (int64_t y = 0; y < p.h; ++y)
      runs(y, [=](int64_t n, int64_t k, int64_t t, int64_t s) {
        for (int64_t c = c0 * plane; c < c1 * plane; c += plane) {
          if (grad_source) accumulate(n, weight + k, target + c + t, grad_source + c + s);
          if (grad_target) accumulate(n, weight + k, source + c + s, grad_target + c + t);
        }
      });
  }

  void start(const E* map, const A* factor, A* __restrict out) const {
    for (int64_t i = 0; i < plane; ++i) out[i] = factor[i] * A(to_float(map[i]));
  }

  static void accumulate(int64_t n, const A* weight, const E* from, A* __restrict out) {
    if (n == 1) {  // as often as not; a vectorised loop has much to set up
      out[0] += weight[0] * A(to_float(from[0]));
      return;
    }
    for (int64_t i = 0; i < n; ++i) out[i] += weight[i] * A(to_float(from[i]));
  }
};

template <class E, class A>
void match_backward(const MatchBackwardArgs& args) {
  for (int64_t image = 0; image < args.n; ++image) MatchBackward<E, A>(args, image).run();
}

inline void match_backward(const MatchBackwardArgs& args) {
  switch (args.type) {
    case Type::f32:
      return match_backward<float, float>(args);
    case Type::f64:
      return match_backward<double, double>(args);
    case Type::f16:
      return match_backward<half_t, float>(args);
    case Type::bf16:
      return match_backward<bfloat_t, float>(args);
  }
}

}  // namespace
}  // namespace apnt::cpu

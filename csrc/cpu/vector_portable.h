// The vector class of the kernels in plain C++: any processor, float32 and float64.
//
// A vector class has W lanes of Scalar. Its sums run in an order that is the same for every lane, or equal
// patches would not have equal scores. See vector_avx512.h for the class that the kernels were made for.
#pragma once

#include <cmath>

#include "cpu/elements.h"

namespace apnt::cpu {
namespace {

template <class S, int Lanes = 4>
struct Portable {
  using Scalar = S;
  static constexpr int W = Lanes;
  // Compilers may unroll and vectorise loops over this.
  struct V {
    S lane[W];
  };

  // Accumulators of the two kernels: rows x displacements of shared windows, pixels x displacements of the
  // others.
  static constexpr int kRows = 2, kSteps = 4, kWideRows = 2, kWideSteps = 4;
  static constexpr int kPixels = 4, kDots = 2;

  template <class F>
  static V each(F f) {
    V out;
    for (int i = 0; i < W; ++i) out.lane[i] = f(i);
    return out;
  }
  static V zero() { return fill(0); }
  static V fill(S x) {
    return each([&](int) { return x; });
  }
  static V load(const S* p) {
    return each([&](int i) { return p[i]; });
  }
  // The same for an operand of several products, which compilers would otherwise load again for each.
  static V load_once(const S* p) { return load(p); }
  static void store(S* p, const V& a) {
    for (int i = 0; i < W; ++i) p[i] = a.lane[i];
  }
  static V add(const V& a, const V& b) {
    return each([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static V div(const V& a, const V& b) {
    return each([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  // The larger of both, b if a is NaN.
  static V max(const V& a, const V& b) {
    return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static V sqrt(const V& a) {
    return each([&](int i) { return std::sqrt(a.lane[i]); });
  }
  // a * b + c, the units of a and b multiplied.
  static V dot(const V& a, const V& b, const V& c) {
    return each([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
  }

  // Where score > best: best = score, choice = index. NaN is never greater.
  static void select_greater(const V& score, S index, V& best, V& choice) {
    for (int i = 0; i < W; ++i) {
      const bool greater = score.lane[i] > best.lane[i];
      best.lane[i] = greater ? score.lane[i] : best.lane[i];
      choice.lane[i] = greater ? index : choice.lane[i];
    }
  }

  // sums[i * stride + t] = sum over the lanes of acc[i][t], for the 4 pixels t.
  template <int N>
  static void reduce(const V (&acc)[N][4], S* sums, int64_t stride) {
    for (int i = 0; i < N; ++i)
      for (int t = 0; t < 4; ++t) {
        const S* a = acc[i][t].lane;
        sums[i * stride + t] = (a[0] + a[2]) + (a[1] + a[3]);
      }
  }

  static void transpose(V (&r)[W]) {
    for (int i = 0; i < W; ++i)
      for (int j = 0; j < i; ++j) {
        const S x = r[i].lane[j];
        r[i].lane[j] = r[j].lane[i];
        r[j].lane[i] = x;
      }
  }

  // n <= W elements from p on; zeros in the other lanes.
  template <class T>
  static V load_units(T type, const typename T::Element* p, const typename T::Element*, int n) {
    V out;
    for (int i = 0; i < W; ++i) out.lane[i] = i < n ? S(to_scalar(type, p[i])) : S(0);
    return out;
  }
};

}  // namespace
}  // namespace apnt::cpu

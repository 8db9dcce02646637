// The vector class of the kernels for AVX2 with FMA and F16C. See vector_portable.h for what each function
// does.
#pragma once

#include <immintrin.h>

#include "cpu/elements.h"

namespace apnt::cpu {
namespace {

struct Avx2 {
  using Scalar = float;
  static constexpr int W = 8;
  using V = __m256;

  // 12 of the 16 registers accumulate.
  static constexpr int kRows = 2, kSteps = 6, kWideRows = 2, kWideSteps = 6;
  static constexpr int kPixels = 4, kDots = 3;

  static V zero() { return _mm256_setzero_ps(); }
  static V fill(float x) { return _mm256_set1_ps(x); }
  static V load(const float* p) { return _mm256_loadu_ps(p); }
  static V load_once(const float* p) {
    V a = load(p);
    asm("" : "+x"(a));
    return a;
  }
  static void store(float* p, V a) { _mm256_storeu_ps(p, a); }
  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V div(V a, V b) { return _mm256_div_ps(a, b); }
  static V max(V a, V b) { return _mm256_max_ps(a, b); }
  static V sqrt(V a) { return _mm256_sqrt_ps(a); }
  static V dot(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }

  static void select_greater(V score, float index, V& best, V& choice) {
    const V greater = _mm256_cmp_ps(score, best, _CMP_GT_OQ);
    best = _mm256_blendv_ps(best, score, greater);
    choice = _mm256_blendv_ps(choice, fill(index), greater);
  }

  // Lane i of every half: the sum of that half of the i-th argument.
  static V add_lanes(V a, V b, V c, V d) {
    const V ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    const V cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    const __m256d x = _mm256_castps_pd(ab), y = _mm256_castps_pd(cd);
    return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)),
                         _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
  }
  template <int N>
  static void reduce(const V (&acc)[N][4], float* sums, int64_t stride) {
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
      const V q = add_lanes(acc[i][0], acc[i][1], acc[i][2], acc[i][3]);
      _mm_storeu_ps(sums + i * stride, _mm_add_ps(_mm256_castps256_ps128(q), _mm256_extractf128_ps(q, 1)));
    }
  }

  static void transpose(V (&r)[W]) {
    V s[W];
#pragma GCC unroll 4
    for (int i = 0; i < W; i += 2) {
      s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < W; i += 4)
#pragma GCC unroll 2
      for (int j = 0; j < 2; ++j) {
        const __m256d a = _mm256_castps_pd(s[i + j]), b = _mm256_castps_pd(s[i + 2 + j]);
        r[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
        r[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
      }
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const V a = r[j], b = r[4 + j];
      r[j] = _mm256_permute2f128_ps(a, b, 0x20);
      r[4 + j] = _mm256_permute2f128_ps(a, b, 0x31);
    }
  }

  template <class T>
  static V load_units(T type, const typename T::Element* p, const typename T::Element*, int n) {
    if (n == W) return load_all(type, p);
    typename T::Element part[W] = {};
    for (int i = 0; i < n; ++i) part[i] = p[i];
    return load_all(type, part);
  }
  static V load_all(F32, const float* p) { return _mm256_loadu_ps(p); }
  static V load_all(F16, const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static V load_all(BF16, const uint16_t* p) {
    const __m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
  }
};

}  // namespace
}  // namespace apnt::cpu

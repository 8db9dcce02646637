// The vector class of the kernels for AVX-512 (F, BW, VL, DQ), and with bfloat16 products. See
// vector_portable.h for what each function does.
#pragma once

#include <immintrin.h>

#include "cpu/elements.h"

namespace apnt::cpu {
namespace {

struct Avx512 {
  using Scalar = float;
  static constexpr int W = 16;
  using V = __m512;

  // 27 or 25 of the 32 registers accumulate.
  static constexpr int kRows = 3, kSteps = 9, kWideRows = 5, kWideSteps = 5;
  static constexpr int kPixels = 4, kDots = 5;

  static V zero() { return _mm512_setzero_ps(); }
  static V fill(float x) { return _mm512_set1_ps(x); }
  static V load(const float* p) { return _mm512_loadu_ps(p); }
  static V load_once(const float* p) {
    V a = load(p);
    asm("" : "+v"(a));
    return a;
  }
  static void store(float* p, V a) { _mm512_storeu_ps(p, a); }
  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V div(V a, V b) { return _mm512_div_ps(a, b); }
  static V max(V a, V b) { return _mm512_max_ps(a, b); }
  static V sqrt(V a) { return _mm512_sqrt_ps(a); }
  static V dot(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }

  static void select_greater(V score, float index, V& best, V& choice) {
    const __mmask16 greater = _mm512_cmp_ps_mask(score, best, _CMP_GT_OQ);
    best = _mm512_mask_mov_ps(best, greater, score);
    choice = _mm512_mask_mov_ps(choice, greater, fill(index));
  }

  // Lane i of every quarter: the sum of that quarter of the i-th argument.
  static V add_lanes(V a, V b, V c, V d) {
    const V ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const V cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512d x = _mm512_castps_pd(ab), y = _mm512_castps_pd(cd);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
  }
  // Halves of a and b added: a0 + a2, a1 + a3, b0 + b2, b1 + b3.
  static V add_halves(V a, V b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  }
  template <int N>
  static void reduce(const V (&acc)[N][4], float* sums, int64_t stride) {
    V q[N];
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) q[i] = add_lanes(acc[i][0], acc[i][1], acc[i][2], acc[i][3]);
    int i = 0;
#pragma GCC unroll 2
    for (; i + 4 <= N; i += 4) {
      const V x = add_halves(q[i], q[i + 1]), y = add_halves(q[i + 2], q[i + 3]);
      const V s = _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
      _mm_storeu_ps(sums + i * stride, _mm512_castps512_ps128(s));
      _mm_storeu_ps(sums + (i + 1) * stride, _mm512_extractf32x4_ps(s, 1));
      _mm_storeu_ps(sums + (i + 2) * stride, _mm512_extractf32x4_ps(s, 2));
      _mm_storeu_ps(sums + (i + 3) * stride, _mm512_extractf32x4_ps(s, 3));
    }
#pragma GCC unroll 4
    for (; i < N; ++i) {
      const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(q[i]), _mm512_extractf32x8_ps(q[i], 1));
      _mm_storeu_ps(sums + i * stride,
                    _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
    }
  }

  static void transpose(V (&r)[W]) {
    V s[W];
#pragma GCC unroll 8
    for (int i = 0; i < W; i += 2) {  // pairs of lanes
      s[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
      s[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < W; i += 4)  // four lanes
#pragma GCC unroll 2
      for (int j = 0; j < 2; ++j) {
        const __m512d a = _mm512_castps_pd(s[i + j]), b = _mm512_castps_pd(s[i + 2 + j]);
        r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
      }
    // r[4 * k + j] now has, in quarter q, column 4 * q + j of rows 4 * k .. 4 * k + 3.
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const V a = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x44), b = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xee);
      const V c = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x44),
              d = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xee);
      s[j] = _mm512_shuffle_f32x4(a, c, 0x88);
      s[4 + j] = _mm512_shuffle_f32x4(a, c, 0xdd);
      s[8 + j] = _mm512_shuffle_f32x4(b, d, 0x88);
      s[12 + j] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i) r[i] = s[i];
  }

  static __mmask16 first(int n) { return __mmask16((1u << n) - 1); }
  static V load_units(F32, const float* p, const float*, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static V load_units(F16, const uint16_t* p, const uint16_t*, int n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p));
  }
  static V load_units(BF16, const uint16_t* p, const uint16_t*, int n) {
    const __m512i x = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
  }
};

#ifdef __AVX512BF16__
// Units are two bfloat16 channels, the first of them in the low half of the lane.
struct Avx512Bf16 : Avx512 {
  static V dot(V a, V b, V c) {
    return _mm512_dpbf16_ps(c, __m512bh(_mm512_castps_si512(a)), __m512bh(_mm512_castps_si512(b)));
  }
  // second is the next channel, or nullptr: zeros.
  static V load_units(BF16Pair, const uint16_t* p, const uint16_t* second, int n) {
    __m512i x = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), p));
    if (second) {
      const __m512i y = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), second));
      x = _mm512_or_si512(x, _mm512_slli_epi32(y, 16));
    }
    return _mm512_castsi512_ps(x);
  }
  // n <= 2 W channels that lie next to each other; zeros after them.
  static V load_pairs(const uint16_t* p, int n) {
    const __mmask32 known = n < 2 * W ? (__mmask32(1) << n) - 1 : ~__mmask32(0);
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(known, p));
  }
};
#endif

}  // namespace
}  // namespace apnt::cpu

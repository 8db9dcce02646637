// Vectors of channels for patch_swap: as many lanes as the widest registers that this file is compiled for.
//
// A square of `lanes` pixels and `lanes` channels is loaded as rows of pixels, one row a channel, and turned
// over.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "common/half.h"

namespace apnt::cpu {
namespace {

// Any processor, and float64 everywhere; and single channels.
template <class Acc, int Lanes = 4>
struct Plain {
  using Sum = Acc;
  static constexpr int lanes = Lanes;
  struct V {
    Acc at[lanes];
  };

  static V zero() { return {}; }
  static V load(const Acc* from) {
    V v;
    std::memcpy(&v, from, sizeof v);
    return v;
  }
  static void store(Acc* to, V v) { std::memcpy(to, &v, sizeof v); }
  static V add(V a, V b) {
    for (int i = 0; i < lanes; ++i) a.at[i] += b.at[i];
    return a;
  }
  static V mul(V a, V b) {
    for (int i = 0; i < lanes; ++i) a.at[i] *= b.at[i];
    return a;
  }
  static V all(Acc x) {
    V v;
    for (int i = 0; i < lanes; ++i) v.at[i] = x;
    return v;
  }
  static V reciprocal(const int32_t* count) {
    V v;
    for (int i = 0; i < lanes; ++i) v.at[i] = count[i] > 0 ? Acc(1) / count[i] : Acc(0);
    return v;
  }
  template <class T>
  static V read(const T* from) {
    V v;
    for (int i = 0; i < lanes; ++i) v.at[i] = to_float(from[i]);
    return v;
  }
  template <class T>
  static void write(T* to, V v) {
    for (int i = 0; i < lanes; ++i) apnt::store(to + i, v.at[i]);
  }
  static void transpose(V (&r)[lanes]) {
    for (int i = 0; i < lanes; ++i) {
      for (int j = 0; j < i; ++j) {
        const Acc x = r[i].at[j];
        r[i].at[j] = r[j].at[i];
        r[j].at[i] = x;
      }
    }
  }
};

#ifdef __AVX512F__

struct Wide {
  using Sum = float;
  using V = __m512;
  static constexpr int lanes = 16;

  static V zero() { return _mm512_setzero_ps(); }
  static V load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, V v) { _mm512_storeu_ps(to, v); }
  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V all(float x) { return _mm512_set1_ps(x); }
  static V reciprocal(const int32_t* count) {
    const __m512i n = _mm512_loadu_si512(count);
    return _mm512_maskz_div_ps(_mm512_test_epi32_mask(n, n), all(1), _mm512_cvtepi32_ps(n));
  }
  static V read(const float* from) { return load(from); }
  static V read(const half_t* from) { return _mm512_cvtph_ps(bits(from)); }
  static V read(const bfloat_t* from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits(from)), 16));
  }
  static void write(float* to, V v) { store(to, v); }
  static void write(half_t* to, V v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
  static void write(bfloat_t* to, V v) {
    const __m512i x = _mm512_castps_si512(v),
                  even = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
    __m512i rounded =
        _mm512_srli_epi32(_mm512_add_epi32(x, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff))), 16);
    rounded =
        _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc0));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(rounded));
  }
  __attribute__((always_inline)) static void transpose(V (&r)[lanes]) {
    V t[lanes];
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
      t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
      r[i] = pairs<0>(t[i], t[i + 2]);
      r[i + 1] = pairs<1>(t[i], t[i + 2]);
      r[i + 2] = pairs<0>(t[i + 1], t[i + 3]);
      r[i + 3] = pairs<1>(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
      t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
      t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
      t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
      t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; ++i) {
      r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
      r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
      r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
      r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
    }
  }

 private:
  static __m256i bits(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
  template <int High>
  static V pairs(V a, V b) {
    const __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    return _mm512_castpd_ps(High ? _mm512_unpackhi_pd(x, y) : _mm512_unpacklo_pd(x, y));
  }
};

#elif defined(__AVX2__)

struct Wide {
  using Sum = float;
  using V = __m256;
  static constexpr int lanes = 8;

  static V zero() { return _mm256_setzero_ps(); }
  static V load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, V v) { _mm256_storeu_ps(to, v); }
  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V all(float x) { return _mm256_set1_ps(x); }
  static V reciprocal(const int32_t* count) {
    const V n = _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(count)));
    return _mm256_and_ps(_mm256_div_ps(all(1), n), _mm256_cmp_ps(n, zero(), _CMP_GT_OQ));
  }
  static V read(const float* from) { return load(from); }
  static V read(const half_t* from) { return _mm256_cvtph_ps(bits(from)); }
  static V read(const bfloat_t* from) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits(from)), 16));
  }
  static void write(float* to, V v) { store(to, v); }
  static void write(half_t* to, V v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
  static void write(bfloat_t* to, V v) {
    const __m256i x = _mm256_castps_si256(v),
                  even = _mm256_and_si256(_mm256_srli_epi32(x, 16), _mm256_set1_epi32(1));
    __m256i rounded =
        _mm256_srli_epi32(_mm256_add_epi32(x, _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    rounded = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), nan);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(packed));
  }
  __attribute__((always_inline)) static void transpose(V (&r)[lanes]) {
    V t[lanes];
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
      r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
      r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
      r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; ++i) {
      t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
      t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    for (int i = 0; i < 8; ++i) r[i] = t[i];
  }

 private:
  static __m128i bits(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
};

#else

using Wide = Plain<float>;

#endif

}  // namespace
}  // namespace apnt::cpu

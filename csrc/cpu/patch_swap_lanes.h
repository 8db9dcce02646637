// Vectors of channels for patch_swap: the kernels' vector classes, as wide as the registers that this file is
// compiled for, with the further functions that patch_swap needs.
//
// A square of `lanes` pixels and `lanes` channels is loaded as rows of pixels, one row a channel, and
// transposed.
#pragma once

#include <cstdint>

#ifdef __AVX512F__
#include "cpu/vector_avx512.h"
#elif defined(__AVX2__)
#include "cpu/vector_avx2.h"
#endif
#include "cpu/vector_portable.h"

namespace apnt::cpu {
namespace {

// For any processor, for float64 everywhere, and for single channels.
template <class Acc, int Lanes = 4>
struct Plain : Portable<Acc, Lanes> {
  using Sum = Acc;
  using V = typename Portable<Acc, Lanes>::V;
  static constexpr int lanes = Lanes;

  static V mul(V a, const V& b) {
    for (int i = 0; i < lanes; ++i) a.lane[i] *= b.lane[i];
    return a;
  }
  // 1 / count, 0 where there is none.
  static V reciprocal(const int32_t* count) {
    V v;
    for (int i = 0; i < lanes; ++i) v.lane[i] = count[i] > 0 ? Acc(1) / count[i] : Acc(0);
    return v;
  }
  // `lanes` elements, as sums and back.
  template <class T>
  static V read(const T* from) {
    V v;
    for (int i = 0; i < lanes; ++i) v.lane[i] = to_float(from[i]);
    return v;
  }
  template <class T>
  static void write(T* to, const V& v) {
    for (int i = 0; i < lanes; ++i) apnt::store(to + i, v.lane[i]);
  }
};

#ifdef __AVX512F__

struct Wide : Avx512 {
  using Sum = float;
  static constexpr int lanes = W;

  static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V reciprocal(const int32_t* count) {
    const __m512i n = _mm512_loadu_si512(count);
    return _mm512_maskz_div_ps(_mm512_test_epi32_mask(n, n), fill(1), _mm512_cvtepi32_ps(n));
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

 private:
  static __m256i bits(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
};

#elif defined(__AVX2__)

struct Wide : Avx2 {
  using Sum = float;
  static constexpr int lanes = W;

  static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V reciprocal(const int32_t* count) {
    const V n = _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(count)));
    return _mm256_and_ps(_mm256_div_ps(fill(1), n), _mm256_cmp_ps(n, zero(), _CMP_GT_OQ));
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

 private:
  static __m128i bits(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
};

#else

using Wide = Plain<float>;

#endif

}  // namespace
}  // namespace apnt::cpu

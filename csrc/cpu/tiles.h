// Matrix units for bfloat16: 16x16 sums of products over 32 channels at a time. Internal linkage, see
// elements.h.
//
// A Tiles class holds two rows of two tiles of sums, a tile of 16 target pixels for each row of these, and
// one of 16 source pixels for each column. Elements are pairs of channels, as floats.
//   load_target<R>(from, stride)   16 pixels, `stride` elements apart, 16 pairs each
//   load_pixels<R>(from, stride)   the same of channels as they lie, `stride` of them apart
//   load_source<N>(from, stride)   16 pairs, `stride` elements apart, of 16 pixels each
//   clear<R, N>(), multiply<R, N>(), store<R, N>(to, stride)   the sums of row R and column N
#pragma once

#include <cstdint>

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
#include <immintrin.h>
#endif

#include "common/half.h"

namespace apnt::cpu {
namespace {

// The same arithmetic in plain C++, for tests on machines without matrix units. Unlike those, it does
// not treat denormal numbers as zero.
class EmulatedTiles {
 public:
  template <int R>
  void load_target(const float* from, int64_t stride) {
    for (int i = 0; i < 16; ++i) __builtin_memcpy(target_[R][i], from + i * stride, 64);
  }
  template <int R>
  void load_pixels(const uint16_t* from, int64_t stride) {
    for (int i = 0; i < 16; ++i) __builtin_memcpy(target_[R][i], from + i * stride, 64);
  }
  template <int N>
  void load_source(const float* from, int64_t stride) {
    for (int i = 0; i < 16; ++i) __builtin_memcpy(source_[N][i], from + i * stride, 64);
  }
  template <int R, int N>
  void clear() {
    __builtin_memset(sums_[R][N], 0, sizeof sums_[R][N]);
  }
  template <int R, int N>
  void multiply() {
    for (int m = 0; m < 16; ++m) {
      float even[16] = {}, odd[16] = {};
      for (int k = 0; k < 16; ++k)
        for (int n = 0; n < 16; ++n) {
          even[n] = __builtin_fmaf(channel<0>(target_[R][m][k]), channel<0>(source_[N][k][n]), even[n]);
          odd[n] = __builtin_fmaf(channel<1>(target_[R][m][k]), channel<1>(source_[N][k][n]), odd[n]);
        }
      for (int n = 0; n < 16; ++n) sums_[R][N][m][n] += even[n] + odd[n];
    }
  }
  template <int R, int N>
  void store(float* to, int64_t stride) const {
    for (int i = 0; i < 16; ++i) __builtin_memcpy(to + i * stride, sums_[R][N][i], 64);
  }

 private:
  template <int Half>
  static float channel(uint32_t pair) {
    return from_bits(Half == 0 ? pair << 16 : pair & 0xffff0000u);
  }

  float sums_[2][2][16][16];
  uint32_t target_[2][16][16], source_[2][16][16];
};

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
// Intel AMX. The numbers of tiles must be literals.
class AmxTiles {
 public:
  AmxTiles() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    // GCC does not know that the whole of it is read.
    asm volatile("" ::"r"(&config) : "memory");
    _tile_loadconfig(&config);
  }
  ~AmxTiles() { _tile_release(); }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

  template <int R>
  void load_target(const float* from, int64_t stride) {
    if constexpr (R == 0) _tile_loadd(4, from, 4 * stride);
    if constexpr (R == 1) _tile_loadd(5, from, 4 * stride);
  }
  template <int R>
  void load_pixels(const uint16_t* from, int64_t stride) {
    if constexpr (R == 0) _tile_loadd(4, from, 2 * stride);
    if constexpr (R == 1) _tile_loadd(5, from, 2 * stride);
  }
  template <int N>
  void load_source(const float* from, int64_t stride) {
    if constexpr (N == 0) _tile_loadd(6, from, 4 * stride);
    if constexpr (N == 1) _tile_loadd(7, from, 4 * stride);
  }
  template <int R, int N>
  void clear() {
    // GCC does not know that loading a tile reads memory: earlier writes must be finished here.
    asm volatile("" ::: "memory");
    if constexpr (R == 0 && N == 0) _tile_zero(0);
    if constexpr (R == 0 && N == 1) _tile_zero(1);
    if constexpr (R == 1 && N == 0) _tile_zero(2);
    if constexpr (R == 1 && N == 1) _tile_zero(3);
  }
  template <int R, int N>
  void multiply() {
    if constexpr (R == 0 && N == 0) _tile_dpbf16ps(0, 4, 6);
    if constexpr (R == 0 && N == 1) _tile_dpbf16ps(1, 4, 7);
    if constexpr (R == 1 && N == 0) _tile_dpbf16ps(2, 5, 6);
    if constexpr (R == 1 && N == 1) _tile_dpbf16ps(3, 5, 7);
  }
  template <int R, int N>
  void store(float* to, int64_t stride) const {
    if constexpr (R == 0 && N == 0) _tile_stored(0, to, 4 * stride);
    if constexpr (R == 0 && N == 1) _tile_stored(1, to, 4 * stride);
    if constexpr (R == 1 && N == 0) _tile_stored(2, to, 4 * stride);
    if constexpr (R == 1 && N == 1) _tile_stored(3, to, 4 * stride);
  }
};
#endif

}  // namespace
}  // namespace apnt::cpu

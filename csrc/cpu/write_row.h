// Copies of rows, past the caches where the result is large.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace apnt::cpu {
namespace {

inline void write_row(void* to_row, const void* from_row, int64_t length, bool stream) {
  char* const to = static_cast<char*>(to_row);
  const char* const from = static_cast<const char*>(from_row);
#ifdef __SSE2__
  if (stream) {
    int64_t i = std::min<int64_t>(length, -reinterpret_cast<intptr_t>(to) & 63);
    std::memcpy(to, from, i);
    for (; i + 64 <= length; i += 64) {
#ifdef __AVX512F__
      _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), _mm512_loadu_si512(from + i));
#else
      for (int64_t j = i; j < i + 64; j += 16) {
        const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + j));
        _mm_stream_si128(reinterpret_cast<__m128i*>(to + j), a);
      }
#endif
    }
    std::memcpy(to + i, from + i, length - i);
    return;
  }
#endif
  (void)stream;
  std::memcpy(to, from, length);
}

}  // namespace
}  // namespace apnt::cpu

// float16 and bfloat16 as they lie in memory, converted to float and back (round to nearest even).
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __F16C__
#include <immintrin.h>
#endif

namespace apnt {
namespace {  // one copy for every set of instructions

struct half_t {
  uint16_t bits;
};

struct bfloat_t {
  uint16_t bits;
};

inline float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint32_t to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float to_float(float value) { return value; }

inline double to_float(double value) { return value; }

inline float to_float(bfloat_t value) { return from_bits(uint32_t{value.bits} << 16); }

inline float to_float(half_t value) {
#ifdef __F16C__
  return _cvtsh_ss(value.bits);
#else
  const uint32_t sign = uint32_t{value.bits & 0x8000u} << 16;
  const uint32_t magnitude = value.bits & 0x7fffu;
  // Scaled by 2**112 in float, so that subnormals are right too; infinity and NaN get their exponent back.
  const float scaled = from_bits(magnitude << 13) * from_bits(0x77800000u);
  const uint32_t special = magnitude >= 0x7c00u ? 0x7f800000u : 0u;
  return from_bits(to_bits(scaled) | special | sign);
#endif
}

inline void store(float* at, float value) { *at = value; }

inline void store(double* at, double value) { *at = value; }

inline void store(bfloat_t* at, float value) {
  const uint32_t bits = to_bits(value);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  at->bits = static_cast<uint16_t>(nan ? 0x7fc0u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline void store(half_t* at, float value) {
#ifdef __F16C__
  at->bits = _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT);
#else
  const uint32_t bits = to_bits(value);
  const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  uint32_t result;
  if (magnitude > 0x7f800000u) {
    result = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // 65520 and more round to infinity
    result = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // below 2**-14: the addition rounds at the subnormals' last place
    result = to_bits(from_bits(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    result = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  }
  at->bits = static_cast<uint16_t>(result | sign);
#endif
}

}  // namespace
}  // namespace apnt

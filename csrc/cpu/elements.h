// Element types in memory and what they are as numbers.
//
// Everything here has internal linkage: each instruction set compiles its own copy.
#pragma once

#include <cstdint>
#include <cstring>

namespace apnt::cpu {
namespace {

// A unit is what one lane of a vector multiplies at a time: one channel, or the two bfloat16 channels that share 32 bits.
struct F32 {
  using Element = float;
  static constexpr int channels = 1;
};
struct F64 {
  using Element = double;
  static constexpr int channels = 1;
};
struct F16 {
  using Element = uint16_t;
  static constexpr int channels = 1;
};
struct BF16 {
  using Element = uint16_t;
  static constexpr int channels = 1;
};
struct BF16Pair {
  using Element = uint16_t;
  static constexpr int channels = 2;
};

inline float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline float to_scalar(F32, float x) { return x; }
inline double to_scalar(F64, double x) { return x; }
inline float to_scalar(BF16, uint16_t x) { return from_bits(uint32_t(x) << 16); }
inline float to_scalar(F16, uint16_t x) {
  const uint32_t sign = uint32_t(x & 0x8000) << 16;
  const uint32_t rest = uint32_t(x & 0x7fff) << 13;
  if ((x & 0x7c00) == 0x7c00) return from_bits(sign | 0x7f800000 | rest);  // infinity or NaN
  return from_bits(sign | rest) * 0x1p112f;  // the biases of the exponents differ by 112
}

}  // namespace
}  // namespace apnt::cpu

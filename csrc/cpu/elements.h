// Element types in memory and their conversion to numbers.
//
// Everything here has internal linkage: each instruction set compiles its own copy.
#pragma once

#include <cstdint>

#include "common/half.h"

namespace apnt::cpu {
namespace {

// A unit fills one lane of a vector: one channel, or two bfloat16 channels that share 32 bits.
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

inline float to_scalar(F32, float x) { return x; }
inline double to_scalar(F64, double x) { return x; }
inline float to_scalar(F16, uint16_t x) { return to_float(half_t{x}); }
inline float to_scalar(BF16, uint16_t x) { return to_float(bfloat_t{x}); }

}  // namespace
}  // namespace apnt::cpu

// Op 1, window_match, on the CPU. The meaning is that of apnt/reference/window_match.py.
#pragma once

#include <cstdint>

#include "common/parallel.h"
#include "cpu/isa.h"

namespace apnt::cpu {

enum class Norm : int { search = 0, cosine = 1, paper = 2, none = 3 };
enum class Type : int { f32, f64, f16, bf16 };

// All arrays are contiguous; sizes count elements.
struct MatchArgs {
  const void* source;     // (N, C, H, W)
  const void* target;     // (N, C, H, W)
  Type type;              // of source and target
  const int32_t* center;  // (N, 2, H, W), or nullptr: zero everywhere
  int64_t n, c, h, w;
  int radius, patch;
  Norm norm;
  int32_t* offset;  // (N, 2, H, W)
  void* score;      // (N, H, W) float32, float64 for f64
};

void window_match(const MatchArgs&);

// d score -> d source, d target. Either output may be nullptr. Always deterministic: additions have one
// order, however many threads there are.
struct MatchBackwardArgs {
  const void* grad_score;  // (N, H, W) float32, float64 for f64
  const void* source;      // (N, C, H, W)
  const void* target;      // (N, C, H, W)
  Type type;               // of source and target
  const int32_t* offset;   // (N, 2, H, W); a candidate outside the image has no gradient
  int64_t n, c, h, w;
  int patch;
  Norm norm;
  void* grad_source;  // (N, C, H, W) of the same type; every element is written
  void* grad_target;
};

void window_match_backward(const MatchBackwardArgs&);

}  // namespace apnt::cpu

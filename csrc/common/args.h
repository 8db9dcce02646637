// Arguments of the kernels of every device: pointers and sizes, no tensors. All arrays are contiguous, but for
// features that are said to be channels-last, and lie on the kernels' device; sizes count elements.
#pragma once

#include <cstdint>

namespace apnt {

enum class Norm : int { search, cosine, paper, none };
enum class Type : int { f32, f64, f16, bf16 };

struct MatchArgs {
  const void* source;     // (N, C, H, W)
  const void* target;     // (N, C, H, W)
  Type type;              // of source and target
  const int32_t* center;  // (N, 2, H, W), or nullptr: zero everywhere
  int64_t n, c, h, w;     // all > 0, h * w < 2**31
  int radius, patch;
  Norm norm;
  bool tf32;        // float32 features may be rounded to TF32 before they are multiplied; GPUs alone do it
  int32_t* offset;  // (N, 2, H, W)
  void* score;      // (N, H, W) float32, float64 for f64
  // Whether the map lies in memory as (N, H, W, C); on GPUs, and where takes_channels_last says so.
  bool source_last, target_last;
};

// d score -> d source, d target. Either output may be nullptr; every element of the others is written.
struct MatchBackwardArgs {
  const void* grad_score;  // (N, H, W) float32, float64 for f64
  const void* source;      // (N, C, H, W)
  const void* target;      // (N, C, H, W)
  Type type;               // of source and target
  const int32_t* offset;   // (N, 2, H, W); a candidate outside the image has no gradient
  int64_t n, c, h, w;
  int patch;
  Norm norm;
  bool deterministic;  // equal inputs give equal bits, in whatever order threads run; on CPUs they always do
  void* grad_source;   // (N, C, H, W): on CPUs of `type`; on GPUs float32, float64 for f64
  void* grad_target;
};

struct SwapArgs {
  const void* in;         // (N, C, H, W): features, or the gradient of the result
  Type type;              // of in and out
  const int32_t* offset;  // (N, 2, H, W), (dy, dx)
  int64_t n, c, h, w;     // h * w < 2**31
  int patch;              // odd
  void* out;              // (N, C, H, W)
  // Whether `in` and `out` lie in memory as (N, H, W, C), their pixels aligned to 16 bytes: of patches of 1 or
  // 3, of the transpose on GPUs alone.
  bool last;
};

}  // namespace apnt

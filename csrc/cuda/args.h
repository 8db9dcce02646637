// What the launchers take: pointers into device memory and sizes. All arrays are contiguous; sizes count
// elements.
#pragma once

#include <cstdint>

namespace apnt::cuda {

using Stream = void*;  // a cudaStream_t, for files that are compiled without CUDA's headers

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
  bool tf32;        // float32 features may be rounded to tf32 before they are multiplied
  int32_t* offset;  // (N, 2, H, W)
  void* score;      // (N, H, W) float32, float64 for f64
};

// d score -> d source, d target. Either output may be nullptr.
struct MatchBackwardArgs {
  const void* grad_score;  // (N, H, W) float32, float64 for f64
  const void* source;      // (N, C, H, W)
  const void* target;      // (N, C, H, W)
  Type type;               // of source and target
  const int32_t* offset;   // (N, 2, H, W), every candidate inside the image
  int64_t n, c, h, w;
  int patch;
  Norm norm;
  bool deterministic;  // the same bits for the same question, whatever the order of the threads
  void* grad_source;   // (N, C, H, W) float32, float64 for f64
  void* grad_target;
};

struct SwapArgs {
  const void* in;         // (N, C, H, W): features, or the gradient of the result
  Type type;              // of in and out
  const int32_t* offset;  // (N, 2, H, W), (dy, dx)
  int64_t n, c, h, w;     // h * w < 2**31
  int patch;              // odd
  void* out;              // (N, C, H, W)
};

}  // namespace apnt::cuda

// Neural feature transfer (section III-B.3) on the CPU.
#pragma once

#include <cstdint>

#include "cpu/window_match.h"

namespace apnt::cpu {

struct SwapArgs {
  const void* in;         // (N, C, H, W): features, or the gradient of the result
  Type type;              // of in and out
  const int32_t* offset;  // (N, 2, H, W), (dy, dx)
  int64_t n, c, h, w;     // h * w < 2**31
  int patch;              // odd
  void* out;              // (N, C, H, W)
};

// out[x] = mean over o in the patch of in[x + offset[x - o]], over the o that count; 0 where none does.
void patch_swap(const SwapArgs&);

// The transpose of patch_swap: `in` is the gradient of its result, `out` that of its source. Always
// deterministic: additions have one order, however many threads there are.
void patch_swap_backward(const SwapArgs&);

}  // namespace apnt::cpu

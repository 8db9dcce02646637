// Twice the height and width, bilinear, without gradients.
#pragma once

#include <cstdint>

namespace apnt::cpu {

struct UpsampleArgs {
  const void* x;     // (N, H, W, C), without gaps
  const void* onto;  // (N, 2 H, 2 W, C), without gaps; nullptr: nothing is added
  bool bf16;         // all are bfloat16, otherwise float32
  bool relu;
  int64_t n, c, h, w;  // all > 0
  void* y;             // (N, 2 H, 2 W, C)
};

// y = x upsampled + onto, and its ReLU. Pixels are squares, and what lies beyond the border is as the border:
// torch.nn.functional.interpolate with align_corners=False. Equal neighbours stay equal to the last bit.
void upsample(const UpsampleArgs& args);

}  // namespace apnt::cpu

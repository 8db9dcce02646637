// 3x3 and 1x1 convolutions of float32 and of bfloat16 features, without gradients.
#pragma once

#include <cstdint>

namespace apnt::cpu {

// Channels of the input.
struct ConvolvePart {
  const void* x;  // (N, C_i, H, W)
  int64_t channels;
  int64_t image, channel, row, pixel;  // strides, elements
};

struct ConvolveArgs {
  const ConvolvePart* parts;  // joined along the channels
  int64_t count;
  bool bf16;                                         // parts and result are bfloat16, otherwise float32
  const float* weight;                               // (K, C, side, side)
  int64_t output, input, weight_row, weight_column;  // its strides
  int side;                                          // 3 or 1
  const float* bias;                                 // (K), or nullptr: zeros
  bool relu;
  int64_t n, h, w, c, k;            // all > 0; of the input, around which lie zeros
  int64_t top, rows;                // of the result: rows [top, top + rows)
  void* y;                          // (N, rows, W, K)
  int64_t y_image, y_row, y_pixel;  // its strides
};

// For 3x3, the channels of a pixel of every part must lie next to each other, and be a multiple of this.
constexpr int64_t kConvolveChannels = 16;

// Throws std::runtime_error for bfloat16 without AVX-512's products of it.
void convolve(const ConvolveArgs& args);

}  // namespace apnt::cpu

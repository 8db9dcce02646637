// 3x3 and 1x1 convolutions of float32 and of bfloat16 features, without gradients, with a ReLU behind them or
// not, onto other features or not.
#pragma once

#include <cstdint>

namespace apnt::cpu {

// Channels of the input.
struct ConvolvePart {
  const void* x;  // (N, C_i, H, W)
  int64_t channels;
  int64_t image, channel, row, pixel;  // strides, elements
  bool bf16;                           // its type: bfloat16, otherwise float32
};

struct ConvolveArgs {
  const ConvolvePart* parts;  // joined along the channels
  int64_t count;
  bool bf16;                                         // computes and writes bfloat16, otherwise float32
  const float* weight;                               // (K, C, side, side)
  int64_t output, input, weight_row, weight_column;  // its strides
  int side;                                          // 3 or 1
  const float* bias;                                 // (K), or nullptr: zeros
  bool relu;
  int64_t n, h, w, c, k;            // all > 0; of the input, around which lie zeros
  int64_t top, rows;                // of the result: rows [top, top + rows)
  void* y;                          // (N, rows, W, K)
  int64_t y_image, y_row, y_pixel;  // its strides
  const void* onto;                 // what the result is added to, as y; or nullptr
  int64_t onto_image, onto_row, onto_pixel;
};

namespace {  // one copy for every set of instructions

// The channels, of type T, that a pixel of the result is added to; nullptr if it is to none.
template <class T>
const T* onto_pixel(const ConvolveArgs& a, int64_t image, int64_t y, int64_t x) {
  if (a.onto == nullptr) return nullptr;
  return static_cast<const T*>(a.onto) + image * a.onto_image + y * a.onto_row + x * a.onto_pixel;
}

}  // namespace

// 3x3 filters, but for those of matrix units, take parts of a multiple of so many channels that lie next to
// each other. Others, and parts of another type than is computed in, are copied first.
constexpr int64_t kConvolveChannels = 16;

// Throws std::runtime_error for bfloat16 without AVX-512's products of it.
void convolve(const ConvolveArgs& args);

}  // namespace apnt::cpu

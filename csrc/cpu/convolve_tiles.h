// Convolutions of bfloat16 features with matrix units (tiles.h): plain sums, rounded once. Internal linkage,
// see elements.h.
//
// A row of a 3x3 filter sees the channels of three neighbours, which lie next to each other in a row of
// channels-last features: 3 C elements, C after those of the pixel before. So 16 pixels of one row, 32 of
// these elements at a time, are a tile of targets as they lie, and the filters' tiles of sources follow their
// order:
//
//     y[x, k] = sum_r sum_e row_r[x C + e] g_r[k, e],   e < 3 C
//
// Parts are joined, and surrounded with zeros, in rows of their own, of which each thread keeps three.
#pragma once

#include <algorithm>
#include <cstring>

#include "common/buffer.h"
#include "common/half.h"
#include "common/parallel.h"
#include "cpu/convolve.h"
#include "cpu/rounding.h"
#include "cpu/vector_avx512.h"

namespace apnt::cpu {
namespace {

// Tiles: a class of tiles.h.
template <class Tiles>
class TiledConvolution {
  static constexpr int kSide = 16, kDepth = 32;  // of a tile: pixels or outputs, and elements
  // Pixels whose rows lie in a core's caches together, and most rows of a thread's piece of work.
  static constexpr int64_t kAcross = 128, kDown = 64;

 public:
  explicit TiledConvolution(const ConvolveArgs& a)
      : a_(a),
        depth_(ceil_div(a.side * a.c, kDepth)),
        padded_(round_up(a.k, kSide)),
        row_((kAcross - 1) * a.c + depth_ * kDepth),
        behind_(depth_ * kDepth - a.side * a.c),
        bias_(padded_),
        filters_(padded_ * a.side * depth_ * kDepth) {
    std::memset(bias_.get(), 0, padded_ * sizeof(float));
    if (a.bias) std::memcpy(bias_.get(), a.bias, a.k * sizeof(float));
    read_filters();
  }

  void run() const {
    const int64_t across = ceil_div(a_.w, kAcross), down = ceil_div(a_.rows, kDown);
    const int64_t high = ceil_div(a_.rows, down);
    parallel_for(0, a_.n * down * across, 1, [&](int64_t begin, int64_t end) {
      Buffer<uint16_t> ring(a_.side * row_);
      Work work;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i % down * high;
        piece(work, i / (down * across), first, std::min(first + high, a_.rows), i / down % across * kAcross,
              ring.get());
      }
      finish(work, work.pixels);
    });
  }

 private:
  // Of one thread. Sums of two blocks, of which `other` is the one that is being written.
  struct Work {
    Tiles tiles;
    alignas(64) float sums[2][2 * kSide][2 * kSide];
    int other = 0;
    // That block's pixels, of which the first are done, its first output, and where its first pixel lies, and
    // that of what it is added to.
    int64_t pixels = 0, done = 0, k = 0;
    uint16_t* to = nullptr;
    const uint16_t* onto = nullptr;
  };

  // Tiles of kDepth elements and kSide outputs, in pairs of elements: (K / kSide, side, depth, 16, kSide, 2).
  // Elements and outputs that do not exist are zeros.
  void read_filters() {
    uint16_t* to = filters_.get();
    const int64_t elements = a_.side * a_.c;
    for (int64_t k0 = 0; k0 < padded_; k0 += kSide)
      for (int r = 0; r < a_.side; ++r)
        for (int64_t e0 = 0; e0 < depth_ * kDepth; e0 += kDepth, to += kSide * kDepth)
          for (int64_t i = 0; i < kDepth; ++i) {
            const int64_t e = e0 + i, column = e / a_.c, c = e % a_.c;
            const float* from = a_.weight + c * a_.input + r * a_.weight_row + column * a_.weight_column;
            for (int64_t k = 0; k < kSide; ++k) {
              const bool known = e < elements && k0 + k < a_.k;
              store(reinterpret_cast<bfloat_t*>(to) + (i / 2 * kSide + k) * 2 + i % 2,
                    known ? from[(k0 + k) * a_.output] : 0.0f);
            }
          }
  }

  // Rows [first, last) of the result, and columns from `left` on. The joined input rows lie in a ring.
  void piece(Work& work, int64_t image, int64_t first, int64_t last, int64_t left, uint16_t* ring) const {
    const int64_t count = std::min(kAcross, a_.w - left), reach = a_.side / 2;
    const auto slot = [&](int64_t y) { return ring + (y + a_.side) % a_.side * row_; };
    for (int64_t y = first - reach; y < last + reach; ++y) {
      read_row(image, y + a_.top, left - reach, count + 2 * reach, slot(y));
      if (y < first + reach) continue;
      const uint16_t* rows[3];
      for (int r = 0; r < a_.side; ++r) rows[r] = slot(y - a_.side + 1 + r);
      write_row(work, rows, image, y - reach, left, count);
    }
  }

  // Pixels [x0, x0 + count) of an input row, some of which may lie beside the image.
  void read_row(int64_t image, int64_t y, int64_t x0, int64_t count, uint16_t* to) const {
    // No filter sees what lies behind, but zeros times what is left there need not be zeros.
    std::memset(to + count * a_.c, 0, behind_ * sizeof(uint16_t));
    const int64_t begin = std::max<int64_t>(x0, 0), end = std::min(x0 + count, a_.w);
    if (y < 0 || y >= a_.h) {
      std::memset(to, 0, count * a_.c * sizeof(uint16_t));
      return;
    }
    std::memset(to, 0, (begin - x0) * a_.c * sizeof(uint16_t));
    std::memset(to + (end - x0) * a_.c, 0, (x0 + count - end) * a_.c * sizeof(uint16_t));
    to += (begin - x0) * a_.c;
    for (int64_t p = 0; p < a_.count; ++p) {
      const ConvolvePart& part = a_.parts[p];
      const uint16_t* from =
          static_cast<const uint16_t*>(part.x) + image * part.image + y * part.row + begin * part.pixel;
      read_part(part, from, end - begin, to);
      to += part.channels;
    }
  }

  void read_part(const ConvolvePart& part, const uint16_t* from, int64_t count, uint16_t* to) const {
    if (part.channel == 1 && part.channels == a_.c && part.pixel == a_.c)
      std::memcpy(to, from, count * a_.c * sizeof(uint16_t));
    else if (part.channel == 1 && part.channels % kSide == 0)
      for (int64_t x = 0; x < count; ++x)
        for (int64_t c = 0; c < part.channels; c += kSide)
          _mm256_storeu_si256(
              reinterpret_cast<__m256i*>(to + x * a_.c + c),
              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + x * part.pixel + c)));
    else
      for (int64_t x = 0; x < count; ++x)
        for (int64_t c = 0; c < part.channels; ++c)
          to[x * a_.c + c] = from[x * part.pixel + c * part.channel];
  }

  // All outputs of `count` pixels, from `left` on, of a row of the result.
  void write_row(Work& work, const uint16_t* const* rows, int64_t image, int64_t y, int64_t left,
                 int64_t count) const {
    uint16_t* to = static_cast<uint16_t*>(a_.y) + image * a_.y_image + y * a_.y_row + left * a_.y_pixel;
    for (int64_t x = 0; x < count; x += 2 * kSide, to += 2 * kSide * a_.y_pixel) {
      const int64_t pixels = std::min<int64_t>(2 * kSide, count - x);
      for (int64_t k = 0; k < padded_; k += 2 * kSide) {
        const bool wide = k + kSide < padded_;
        if (pixels > kSide)
          wide ? block<2, 2>(work, rows, x, k) : block<2, 1>(work, rows, x, k);
        else
          wide ? block<1, 2>(work, rows, x, k) : block<1, 1>(work, rows, x, k);
        work.pixels = pixels, work.done = 0, work.k = k, work.to = to;
        work.onto = onto_pixel<uint16_t>(a_, image, y, left + x);
      }
    }
  }

  // The sums of R tiles of pixels, from x of the block of columns on, by N of outputs, from k on, while those
  // of the block before are finished: vectors and matrices are units of their own.
  template <int R, int N>
  void block(Work& work, const uint16_t* const* rows, int64_t x, int64_t k) const {
    Tiles& tiles = work.tiles;
    // Pairs, as floats.
    constexpr int64_t kTile = kSide * kDepth / 2;
    const int64_t stride = a_.c, next = a_.side * depth_ * kTile;
    const int64_t each = ceil_div(work.pixels, a_.side * depth_);
    const float* g = reinterpret_cast<const float*>(filters_.get()) + k / kSide * next;
    tiles.template clear<0, 0>();
    if constexpr (N == 2) tiles.template clear<0, 1>();
    if constexpr (R == 2) tiles.template clear<1, 0>();
    if constexpr (R == 2 && N == 2) tiles.template clear<1, 1>();
    for (int r = 0; r < a_.side; ++r) {
      const uint16_t* from = rows[r] + x * a_.c;
      for (int64_t d = 0; d < depth_; ++d, from += kDepth, g += kTile) {
        tiles.template load_source<0>(g, kSide);
        if constexpr (N == 2) tiles.template load_source<1>(g + next, kSide);
        tiles.template load_pixels<0>(from, stride);
        if constexpr (R == 2) tiles.template load_pixels<1>(from + kSide * stride, stride);
        tiles.template multiply<0, 0>();
        if constexpr (N == 2) tiles.template multiply<0, 1>();
        if constexpr (R == 2) tiles.template multiply<1, 0>();
        if constexpr (R == 2 && N == 2) tiles.template multiply<1, 1>();
        finish(work, each);
      }
    }
    float* const sums = work.sums[work.other ^= 1][0];
    tiles.template store<0, 0>(sums, 2 * kSide);
    if constexpr (N == 2) tiles.template store<0, 1>(sums + kSide, 2 * kSide);
    if constexpr (R == 2) tiles.template store<1, 0>(sums + 2 * kSide * kSide, 2 * kSide);
    if constexpr (R == 2 && N == 2) tiles.template store<1, 1>(sums + 2 * kSide * kSide + kSide, 2 * kSide);
  }

  // Write up to `count` more pixels of the block that is summed.
  void finish(Work& work, int64_t count) const {
    const int64_t end = std::min(work.pixels, work.done + count), k = work.k;
    const int64_t outputs = std::min<int64_t>(2 * kSide, a_.k - k);
    const float (*sums)[2 * kSide] = work.sums[work.other];
    for (int64_t i = work.done; i < end; ++i) {
      uint16_t* const pixel = work.to + i * a_.y_pixel + k;
      const uint16_t* const onto = work.onto ? work.onto + i * a_.onto_pixel + k : nullptr;
      if (outputs == 2 * kSide) {
        __m512 a = finished(sums[i], k), b = finished(sums[i] + kSide, k + kSide);
        if (onto) {
          a = _mm512_add_ps(a, Avx512::load_units(BF16{}, onto, nullptr, kSide));
          b = _mm512_add_ps(b, Avx512::load_units(BF16{}, onto + kSide, nullptr, kSide));
        }
        _mm512_storeu_si512(pixel, (__m512i)_mm512_cvtne2ps_pbh(b, a));
        continue;
      }
      for (int64_t j = 0; j < outputs; j += kSide) {
        const int n = int(std::min<int64_t>(kSide, outputs - j));
        __m512 y = finished(sums[i] + j, k + j);
        if (onto) y = _mm512_add_ps(y, Avx512::load_units(BF16{}, onto + j, nullptr, n));
        _mm256_mask_storeu_epi16(pixel + j, Avx512::first(n), (__m256i)_mm512_cvtneps_pbh(y));
      }
    }
    work.done = end;
  }

  __m512 finished(const float* sums, int64_t k) const {
    const __m512 y = _mm512_add_ps(_mm512_load_ps(sums), _mm512_load_ps(bias_.get() + k));
    // max gives its second operand where the first is NaN, so NaN stays.
    return a_.relu ? _mm512_max_ps(_mm512_setzero_ps(), y) : y;
  }

  const ConvolveArgs& a_;
  // Tiles of elements in a row of a filter; outputs; elements of a row, and those that a tile holds behind
  // what a filter sees.
  const int64_t depth_, padded_, row_, behind_;
  Buffer<float> bias_;
  Buffer<uint16_t> filters_;
};

}  // namespace
}  // namespace apnt::cpu

// Convolutions of bfloat16 features. Only for x86-64.
//
// 3x3: Winograd's F(4, 3) along the rows.
//
// Six pixels d of a row and a row g of a filter are transformed, multiplied at each of the six points, and
// the sums over the channels and the three rows are transformed to four outputs:
//
//     y = A' sum_r,c (G g_r,c) * (B' d_r,c)
//
// That is half of the multiplications of the plain sum, in six matrix products of (tiles, 3 C) and (3 C, K).
// Both transformed factors are rounded to bfloat16. Along both axes (convolve_body.h) there would be a
// quarter of the multiplications, but rounding errors five times as large as those of the plain sum, not two.
// The points 0, +-3/4, +-3/2 and infinity give smaller ones than the usual 0, +-1, +-2.
#ifndef __AVX512BF16__
#error "needs -mavx512bf16: without them it would compile to other instructions"
#endif

#include <algorithm>
#include <cstring>

#include "common/buffer.h"
#include "common/half.h"
#include "common/parallel.h"
#include "cpu/convolve.h"
#include "cpu/convolve_multiply.h"
#include "cpu/convolve_tiles.h"
#include "cpu/rounding.h"
#include "cpu/tiles.h"
#include "cpu/vector_avx512.h"

namespace apnt::cpu {
namespace {

using X = Avx512Bf16;
using V = X::V;
constexpr int W = X::W;
constexpr int kTile = 4, kSeen = 6, kRows = 3;

// Tiles whose factors lie in a core's caches together, and most rows of a thread's piece of work.
constexpr int64_t kAcross = 2 * kProductRows, kDown = 32;
// Between the planes of the points: without it they would share the few places of a cache that belong to an
// address. Floats.
constexpr int64_t kGap = 16;

constexpr float kA = 0.75f, kB = 1.5f, kA2 = kA * kA, kB2 = kB * kB;

V fma(float a, V b, V c) { return _mm512_fmadd_ps(_mm512_set1_ps(a), b, c); }

// B' d.
void transform_input(const V (&d)[kSeen], V (&t)[kSeen]) {
  const V a = fma(-kB2, d[2], d[4]), b = fma(-kB2, d[1], d[3]);
  const V c = fma(-kA2, d[2], d[4]), e = fma(-kA2, d[1], d[3]);
  t[0] = fma(kA2 * kB2, d[0], fma(-kA2 - kB2, d[2], d[4]));
  t[1] = fma(kA, b, a);
  t[2] = fma(-kA, b, a);
  t[3] = fma(kB, e, c);
  t[4] = fma(-kB, e, c);
  t[5] = fma(kA2 * kB2, d[1], fma(-kA2 - kB2, d[3], d[5]));
}

// A' m + bias.
void transform_output(const V (&m)[kSeen], V bias, V (&y)[kTile]) {
  const V a = X::add(m[1], m[2]), b = _mm512_sub_ps(m[1], m[2]);
  const V c = X::add(m[3], m[4]), d = _mm512_sub_ps(m[3], m[4]);
  y[0] = X::add(X::add(m[0], bias), X::add(a, c));
  y[1] = fma(kA, b, fma(kB, d, bias));
  y[2] = fma(kA2, a, fma(kB2, c, bias));
  y[3] = fma(kA * kA2, b, fma(kB * kB2, d, X::add(m[5], bias)));
}

// A row of G: 1, p, p^2 over the product of the differences from the other points.
void filter_row(int point, double (&f)[3]) {
  constexpr double points[] = {0, kA, -kA, kB, -kB};
  if (point == kSeen - 1) {
    f[0] = f[1] = 0, f[2] = 1;
    return;
  }
  double product = 1;
  for (int i = 0; i < kSeen - 1; ++i)
    if (i != point) product *= points[point] - points[i];
  f[0] = 1 / product;
  f[1] = points[point] * f[0];
  f[2] = points[point] * f[1];
}

// Of n <= W numbers; the others are 0.
V load(const uint16_t* p, int64_t n = W) { return Avx512::load_units(BF16{}, p, nullptr, int(n)); }

// Pairs of channels, the first of each in the low half of a lane.
__m512i load_pairs(const uint16_t* p) { return _mm512_loadu_si512(p); }
V first_of(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
V second_of(__m512i pairs) {
  return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(int(0xffff0000u))));
}
// Rounded to nearest, what lies in the middle away from zero.
void store_pairs(uint16_t* p, V first, V second) {
  const __m512i half = _mm512_set1_epi32(0x8000);
  const __m512i a = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(first), half), 16);
  const __m512i b = _mm512_add_epi32(_mm512_castps_si512(second), half);
  // Bits of b where the mask is set, otherwise of a.
  _mm512_storeu_si512(p, _mm512_ternarylogic_epi32(_mm512_set1_epi32(int(0xffff0000u)), b, a, 0xca));
}

// p[0, n) = x, n <= W.
void store(uint16_t* p, V x, int64_t n) {
  const __m256i y = (__m256i)_mm512_cvtneps_pbh(x);
  if (n == W)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), y);
  else
    _mm256_mask_storeu_epi16(p, __mmask16((1u << n) - 1), y);
}

class Convolution {
 public:
  explicit Convolution(const ConvolveArgs& a)
      : a_(a),
        points_(a.side == 3 ? kSeen : 1),
        units_(ceil_div(a.c, 2)),
        padded_(round_up(a.k, W)),
        bias_(padded_),
        u_(points_ * a.side * units_ * padded_),
        v_plane_(kAcross * units_ + kGap),
        m_plane_(kAcross * padded_ + kGap) {
    std::memset(bias_.get(), 0, padded_ * sizeof(float));
    if (a.bias) std::memcpy(bias_.get(), a.bias, a.k * sizeof(float));
    transform_filters();
  }

  void run() const { a_.side == 3 ? rows() : pixels(); }

 private:
  void rows() const {
    const int64_t across = ceil_div(ceil_div(a_.w, kTile), kAcross), down = ceil_div(a_.rows, kDown);
    const int64_t high = ceil_div(a_.rows, down);
    parallel_for(0, a_.n * down * across, 1, [&](int64_t begin, int64_t end) {
      Buffer<float> v(kRows * kSeen * v_plane_), m(kSeen * m_plane_);
      Buffer<uint16_t> border(kSeen * a_.c);
      // Tiles beyond the image are multiplied, too, and not written.
      std::memset(v.get(), 0, kRows * kSeen * v_plane_ * sizeof(float));
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i % down * high;
        piece(i / (down * across), first, std::min(first + high, a_.rows), i / down % across * kAcross,
              v.get(), m.get(), border.get());
      }
    });
  }

  // 1x1: a matrix product of pixels and filters.
  void pixels() const {
    const int64_t total = a_.n * a_.rows * a_.w;
    parallel_for(0, ceil_div(total, kAcross), 1, [&](int64_t begin, int64_t end) {
      Buffer<float> v(kAcross * units_), m(kAcross * padded_);
      std::memset(v.get(), 0, kAcross * units_ * sizeof(float));  // also of a channel that makes them even
      for (int64_t g = begin; g < end; ++g) {
        const int64_t first = g * kAcross, count = std::min(kAcross, total - first);
        int64_t image = first / (a_.rows * a_.w), y = first / a_.w % a_.rows, x = first % a_.w;
        uint16_t* to[kAcross];
        const uint16_t* on[kAcross];
        for (int64_t i = 0; i < count; ++i) {
          read_pixel(image, y + a_.top, x, reinterpret_cast<uint16_t*>(v.get() + i * units_));
          to[i] = static_cast<uint16_t*>(a_.y) + image * a_.y_image + y * a_.y_row + x * a_.y_pixel;
          on[i] = onto_pixel<uint16_t>(a_, image, y, x);
          if (++x < a_.w) continue;
          x = 0;
          if (++y < a_.rows) continue;
          y = 0, ++image;
        }
        multiply<X>({v.get()}, units_, u_.get(), padded_, m.get(), kAcross);
        for (int64_t i = 0; i < count; ++i)
          for (int64_t k = 0; k < a_.k; k += W)
            write_pixel(to[i] + k, X::add(X::load(m.get() + i * padded_ + k), X::load(bias_.get() + k)),
                        on[i] ? on[i] + k : nullptr, std::min<int64_t>(W, a_.k - k));
      }
    });
  }

  void read_pixel(int64_t image, int64_t y, int64_t x, uint16_t* to) const {
    for (int64_t p = 0; p < a_.count; ++p) {
      const ConvolvePart& part = a_.parts[p];
      const uint16_t* from =
          static_cast<const uint16_t*>(part.x) + image * part.image + y * part.row + x * part.pixel;
      if (part.channel == 1)
        std::memcpy(to, from, part.channels * sizeof(uint16_t));
      else
        for (int64_t c = 0; c < part.channels; ++c) to[c] = from[c * part.channel];
      to += part.channels;
    }
  }

  // The first n <= W channels of a pixel.
  void write_pixel(uint16_t* to, V x, const uint16_t* onto, int64_t n) const {
    if (a_.relu) x = rectified(x);
    store(to, onto ? X::add(x, load(onto, n)) : x, n);
  }

  // G g of every row of a filter, or the filter of a pixel, in pairs of channels: u (points, rows, C / 2,
  // padded). Columns from K on are zeros.
  void transform_filters() {
    std::memset(u_.get(), 0, points_ * a_.side * units_ * padded_ * sizeof(float));
    for (int point = 0; point < points_; ++point) {
      double f[3] = {1, 0, 0};
      if (a_.side == 3) filter_row(point, f);
      for (int r = 0; r < a_.side; ++r)
        for (int64_t c = 0; c < a_.c; ++c)
          for (int64_t k = 0; k < a_.k; ++k) {
            const float* g = a_.weight + k * a_.output + c * a_.input + r * a_.weight_row;
            double x = 0;
            for (int s = 0; s < a_.side; ++s) x += f[s] * g[s * a_.weight_column];
            float* const pair = u_.get() + ((point * a_.side + r) * units_ + c / 2) * padded_ + k;
            store(reinterpret_cast<bfloat_t*>(pair) + c % 2, float(x));
          }
    }
  }

  // Rows [first, last) of the result, and tiles from `left` on. The transformed input rows lie in a ring.
  void piece(int64_t image, int64_t first, int64_t last, int64_t left, float* v, float* m,
             uint16_t* border) const {
    const int64_t count = std::min(kAcross, ceil_div(a_.w, kTile) - left);
    const auto slot = [&](int64_t y) { return v + (y + kRows) % kRows * kSeen * v_plane_; };
    for (int64_t y = first - 1; y <= last; ++y) {
      read_row(image, y + a_.top, left, count, slot(y), border);
      if (y <= first) continue;
      for (int p = 0; p < kSeen; ++p) {
        const float* const rows[kRows] = {slot(y - 2) + p * v_plane_, slot(y - 1) + p * v_plane_,
                                          slot(y) + p * v_plane_};
        multiply<X>(rows, units_, u_.get() + p * kRows * units_ * padded_, padded_, m + p * m_plane_,
                    kAcross);
      }
      write_row(image, y - 1, left, count, m);
    }
  }

  // B' d of tiles of an input row, which may lie beside the image.
  void read_row(int64_t image, int64_t y, int64_t left, int64_t count, float* v, uint16_t* border) const {
    uint16_t* to = reinterpret_cast<uint16_t*>(v);
    if (y < 0 || y >= a_.h) {
      for (int p = 0; p < kSeen; ++p) std::memset(to + 2 * p * v_plane_, 0, count * a_.c * sizeof(uint16_t));
      return;
    }
    for (int64_t p = 0; p < a_.count; ++p) {
      const ConvolvePart& part = a_.parts[p];
      const uint16_t* row = static_cast<const uint16_t*>(part.x) + image * part.image + y * part.row;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t x = (left + i) * kTile - 1;
        if (x >= 0 && x + kSeen <= a_.w) {
          // The next row's, which lie where no prefetcher of the processor looks.
          if (y + 1 < a_.h)
            for (int64_t s = 0; s < kTile; ++s)
              for (int64_t c = 0; c < part.channels; c += 2 * W)
                __builtin_prefetch(row + part.row + (x + 1 + s) * part.pixel + c);
          read_tile(row + x * part.pixel, part.pixel, part.channels, to + i * a_.c);
          continue;
        }
        for (int64_t s = 0; s < kSeen; ++s) {
          uint16_t* const pixel = border + s * part.channels;
          if (x + s >= 0 && x + s < a_.w)
            std::memcpy(pixel, row + (x + s) * part.pixel, part.channels * sizeof(uint16_t));
          else
            std::memset(pixel, 0, part.channels * sizeof(uint16_t));
        }
        read_tile(border, part.channels, part.channels, to + i * a_.c);
      }
      to += part.channels;
    }
  }

  void read_tile(const uint16_t* x, int64_t pixel, int64_t channels, uint16_t* to) const {
    int64_t c = 0;
    for (; c + 2 * W <= channels; c += 2 * W) {
      V d[kSeen], t[kSeen], second[kSeen];
#pragma GCC unroll 6
      for (int s = 0; s < kSeen; ++s) d[s] = second_of(load_pairs(x + s * pixel + c));
      transform_input(d, second);
#pragma GCC unroll 6
      for (int s = 0; s < kSeen; ++s) d[s] = first_of(load_pairs(x + s * pixel + c));
      transform_input(d, t);
#pragma GCC unroll 6
      for (int p = 0; p < kSeen; ++p) store_pairs(to + 2 * p * v_plane_ + c, t[p], second[p]);
    }
    for (; c < channels; c += W) {
      V d[kSeen], t[kSeen];
#pragma GCC unroll 6
      for (int s = 0; s < kSeen; ++s) d[s] = load(x + s * pixel + c);
      transform_input(d, t);
#pragma GCC unroll 6
      for (int p = 0; p < kSeen; ++p) store(to + 2 * p * v_plane_ + c, t[p], W);
    }
  }

  // A' m of n <= W channels of a tile, from k on, onto those of pixels from `onto` on.
  void outputs(const float* sums, int64_t k, const uint16_t* onto, int64_t columns, int64_t n,
               V (&y)[kTile]) const {
    V d[kSeen];
#pragma GCC unroll 6
    for (int p = 0; p < kSeen; ++p) d[p] = X::load(sums + p * m_plane_ + k);
    transform_output(d, X::load(bias_.get() + k), y);
    if (a_.relu)
#pragma GCC unroll 4
      for (int s = 0; s < kTile; ++s) y[s] = rectified(y[s]);
    if (onto)
#pragma GCC unroll 4
      for (int s = 0; s < kTile; ++s)
        if (s < columns) y[s] = X::add(y[s], load(onto + s * a_.onto_pixel + k, n));
  }

  // max gives its second operand where the first is NaN, so NaN stays.
  static V rectified(V x) { return X::max(X::zero(), x); }

  // A' m of tiles of a row, where the image has pixels.
  void write_row(int64_t image, int64_t y, int64_t left, int64_t count, const float* m) const {
    uint16_t* const row = static_cast<uint16_t*>(a_.y) + image * a_.y_image + y * a_.y_row;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t x = (left + i) * kTile, columns = std::min<int64_t>(kTile, a_.w - x);
      const float* const sums = m + i * padded_;
      const uint16_t* const on = onto_pixel<uint16_t>(a_, image, y, x);
      int64_t k = 0;
      for (; k + 2 * W <= a_.k && columns == kTile; k += 2 * W) {
        V a[kTile], b[kTile];
        outputs(sums, k, on, kTile, W, a);
        outputs(sums, k + W, on, kTile, W, b);
#pragma GCC unroll 4
        for (int s = 0; s < kTile; ++s)
          _mm512_storeu_si512(row + (x + s) * a_.y_pixel + k, (__m512i)_mm512_cvtne2ps_pbh(b[s], a[s]));
      }
      for (; k < a_.k; k += W) {
        const int64_t n = std::min<int64_t>(W, a_.k - k);
        V t[kTile];
        outputs(sums, k, on, columns, n, t);
#pragma GCC unroll 4
        for (int s = 0; s < kTile; ++s)
          if (s < columns) store(row + (x + s) * a_.y_pixel + k, t[s], n);
      }
    }
  }

  const ConvolveArgs& a_;
  const int64_t points_;
  const int64_t units_, padded_;  // pairs of input channels; K in whole vectors
  Buffer<float> bias_, u_;
  const int64_t v_plane_, m_plane_;  // from one point to the next, floats
};

}  // namespace

void convolve_avx512_bf16(const ConvolveArgs& args) { Convolution(args).run(); }

void convolve_amx_bf16_emulated(const ConvolveArgs& args) { TiledConvolution<EmulatedTiles>(args).run(); }

}  // namespace apnt::cpu

// Gradients of window_match's score, for one instruction set I and element type T. Internal linkage, see
// elements.h.
//
// With k a target pixel, j = k + offset[k], u an offset in the patch, P and Q the patches of target at k and
// of source at j:
//   score[k] = <P, Q> / norm;  share[k] = grad[k] / norm
//   d target[k + u] = share[k] * source[j + u] - norm_term_target[k] * target[k + u]
//   d source[j + u] = share[k] * target[k + u] - norm_term_source[j] * source[j + u]
//   norm_term_target = grad * score / |P|**2,  norm_term_source = grad * score / |Q|**2
// A norm term is the gradient through the norm; it is 0 if the score is not divided by that norm or the norm
// is at its floor. The norm terms around a pixel are summed to one factor of the pixel.
//
// Offsets are arbitrary, so W channels at a time are packed next to each other, pixel by pixel. The gradient
// of the target is gathered, tile by tile; that of the source is scattered into bands of rows, each of which
// takes its target pixels in raster order. So no sum depends on tiles, bands or threads.
#pragma once

#include "common/half.h"
#include "common/parallel.h"
#include "cpu/window_match_pack.h"

namespace apnt::cpu {
namespace {

inline void put(F32, float* to, float x) { *to = x; }
inline void put(F64, double* to, double x) { *to = x; }
inline void put(F16, uint16_t* to, float x) {
  half_t half;
  store(&half, x);
  *to = half.bits;
}
inline void put(BF16, uint16_t* to, float x) {
  bfloat_t half;
  store(&half, x);
  *to = half.bits;
}

template <class I, class T>
class MatchBackward {
  using S = typename I::Scalar;
  using V = typename I::V;
  using Element = typename T::Element;
  static constexpr int W = I::W;
  static constexpr int64_t kTileRows = 64, kTileCols = 256;  // at most
  static constexpr int64_t kRun = 64;  // pixels of a target row whose offsets are examined together

 public:
  MatchBackward(const MatchBackwardArgs& args, int64_t image)
      : p(args),
        half(p.patch / 2),
        plane(p.h * p.w),
        runs(ceil_div(p.w, kRun)),
        by_source(p.norm == Norm::search || p.norm == Norm::cosine),
        by_target(p.norm == Norm::cosine || p.norm == Norm::paper),
        source(static_cast<const Element*>(p.source) + image * p.c * plane),
        target(static_cast<const Element*>(p.target) + image * p.c * plane),
        offset_y(p.offset + 2 * image * plane),
        offset_x(offset_y + plane),
        grad(static_cast<const S*>(p.grad_score) + image * plane),
        grad_source(static_cast<Element*>(p.grad_source)),
        grad_target(static_cast<Element*>(p.grad_target)) {
    if (grad_source) grad_source += image * p.c * plane;
    if (grad_target) grad_target += image * p.c * plane;
    // The copies of all threads take much less than a tenth of the features' memory.
    const int64_t features =
        2 * p.n * p.c * plane * int64_t(sizeof(Element)) / int64_t(sizeof(S)) / num_threads();
    most_source = larger(features / 40, 1 << 15) / W;
    tile_rows = kTileRows, tile_cols = kTileCols;
    while (tile_cols > 32 && 2 * tile_rows * tile_cols > most_source)
      tile_rows > 16 && tile_cols < 4 * tile_rows ? tile_rows /= 2 : tile_cols /= 2;
    band_rows = smaller(p.h, larger(8, larger(features / 40, 1 << 15) / (W * p.w)));
  }

  void run() {
    const bool norm_terms = (by_source && grad_source) || (by_target && grad_target);
    if (by_source) inverse_norms(source, norm_source);
    if (by_target) inverse_norms(target, norm_target);
    if (norm_terms) {
      norm_term_target.reserve(plane + W);  // the dot products <P, Q> first
      __builtin_memset(norm_term_target.get(), 0, size_t(plane) * sizeof(S));
    }
    // The factor of a target pixel needs the dot products around it: two passes, otherwise one.
    const bool together = !by_target;
    if (norm_terms) gather(true, together);
    if (norm_terms) make_factors();
    if (grad_target && !(norm_terms && together)) gather(false, true);
    norm_term_target.reset();
    if (grad_source) scatter();
  }

 private:
  const MatchBackwardArgs& p;
  const int half;
  const int64_t plane, runs;
  const bool by_source, by_target;
  const Element *const source, *const target;
  const int32_t *const offset_y, *const offset_x;
  const S* const grad;
  Element *grad_source, *grad_target;
  int64_t most_source, tile_rows, tile_cols, band_rows;  // most_source: pixels of a source region
  bool has_shares = false;                               // in norm_target
  // (H, W) each: 1 / max(norm of the patch, floor), and the norm terms, later the factors of pixels.
  Buffer<S> norm_source, norm_target, norm_term_source, norm_term_target;

  struct Tile {
    int64_t y0, y1, x0, x1;
    int64_t rows() const { return y1 - y0; }
    int64_t cols() const { return x1 - x0; }
  };

  Map<I, T> channels(const Element* features, int64_t c) const {
    return {features + c * plane, smaller(W, p.c - c), p.h, p.w};
  }

  bool inside(int64_t y, int64_t x) const { return y >= 0 && y < p.h && x >= 0 && x < p.w; }

  // share[k], 0 where the candidate is outside the image.
  S share(int64_t k, int64_t jy, int64_t jx) const {
    if (!inside(jy, jx)) return 0;
    if (has_shares) return norm_target.get()[k];
    S value = grad[k];
    if (by_source) value *= norm_source.get()[jy * p.w + jx];
    if (by_target) value *= norm_target.get()[k];
    return value;
  }

  void inverse_norms(const Element* features, Buffer<S>& norms) const {
    norms.reserve(plane + W);
    S* squares = norms.get();
    const Map<I, T> map{features, p.c, p.h, p.w};
    parallel_for(0, p.h, larger(1, 100000 / (p.c * p.w)), [&](int64_t first, int64_t last) {
      for (int64_t y = first; y < last; ++y) {
        S* row = squares + y * p.w;
        __builtin_memset(row, 0, size_t(p.w) * sizeof(S));
        for (int64_t c = 0; c < p.c; ++c)
          for (int64_t x = 0; x < p.w; x += W) {
            const int n = int(smaller(W, p.w - x));
            const V v = I::load_units(T(), map.at(c, y, x), nullptr, n);
            add_first<I>(row + x, I::dot(v, v, I::zero()), n);
          }
      }
    });
    box_sum(squares);
    for (int64_t i = 0; i < plane; i += W) {
      const V norm = I::sqrt(I::max(I::fill(S(kNormFloor * kNormFloor)), I::load(squares + i)));
      I::store(squares + i, I::div(I::fill(1), norm));
    }
  }

  // Sums over the patch around each pixel, in place.
  void box_sum(S* map) const {
    Buffer<S> before((half + 1) * p.w), row(p.w);  // rows that were overwritten, sums of columns
    for (int64_t y = 0; y < p.h; ++y) {
      __builtin_memcpy(before.get() + y % (half + 1) * p.w, map + y * p.w, size_t(p.w) * sizeof(S));
      __builtin_memset(row.get(), 0, size_t(p.w) * sizeof(S));
      for (int64_t i = larger(0, y - half); i <= smaller(p.h - 1, y + half); ++i) {
        const S* from = i <= y ? before.get() + i % (half + 1) * p.w : map + i * p.w;
        S* __restrict to = row.get();
        for (int64_t x = 0; x < p.w; ++x) to[x] += from[x];
      }
      for (int64_t x = 0; x < p.w; ++x) {
        S sum = 0;
        for (int64_t i = larger(0, x - half); i <= smaller(p.w - 1, x + half); ++i) sum += row.get()[i];
        map[y * p.w + x] = sum;
      }
    }
  }

  // Turns dot products into the factors by which the pixels' features are multiplied.
  void make_factors() {
    if (by_source) {
      norm_term_source.reserve(plane + W);
      __builtin_memset(norm_term_source.get(), 0, size_t(plane) * sizeof(S));
    }
    for (int64_t y = 0; y < p.h; ++y)
      for (int64_t x = 0; x < p.w; ++x) {
        const int64_t k = y * p.w + x, jy = y + offset_y[k], jx = x + offset_x[k];
        S& norm_term = norm_term_target.get()[k];
        norm_term *= share(k, jy, jx);
        if (by_source && inside(jy, jx)) norm_term_source.get()[jy * p.w + jx] += norm_term;
      }
    if (by_source) finish_factors(norm_term_source.get(), norm_source.get());
    if (!by_target) return;
    finish_factors(norm_term_target.get(), norm_target.get());
    // One map instead of two from here on.
    for (int64_t y = 0; y < p.h; ++y)
      for (int64_t x = 0; x < p.w; ++x) {
        const int64_t k = y * p.w + x;
        norm_target.get()[k] = share(k, y + offset_y[k], x + offset_x[k]);
      }
    has_shares = true;
    norm_source.reset();
  }

  void finish_factors(S* norm_term, const S* norm) const {
    S floored[W];
    I::store(floored, I::div(I::fill(1), I::sqrt(I::fill(S(kNormFloor * kNormFloor)))));
    for (int64_t i = 0; i < plane; ++i) norm_term[i] *= norm[i] >= floored[0] ? S(0) : -norm[i] * norm[i];
    box_sum(norm_term);
  }

  // n <= W pixels from (y, x) on, W channels each, as a gradient: transposed, with factor * features added.
  void write(V (&block)[W], int64_t c0, int64_t y, int64_t x, int n, const S* factor, const Element* features,
             Element* out) const {
    I::transpose(block);
    const int64_t at = y * p.w + x;
    for (int64_t c = c0; c < smaller(p.c, c0 + W); ++c) {
      V v = block[c - c0];
      if (factor)
        v = I::dot(I::load(factor + at), I::load_units(T(), features + c * plane + at, nullptr, n), v);
      S lanes[W];
      I::store(lanes, v);
      Element* to = out + c * plane + at;
      if (n == W) {
#pragma GCC unroll 16
        for (int i = 0; i < W; ++i) put(T(), to + i, lanes[i]);
      } else {
        for (int i = 0; i < n; ++i) put(T(), to + i, lanes[i]);
      }
    }
  }

  // ---- dot products and the gradient of the target ----

  struct Gather {
    Region<I> source, target;
    Buffer<S> share;     // of the pixels of a tile and of half a patch around it
    Buffer<int32_t> at;  // the first pixel of their source patch in the packed source
    int64_t pitch;       // from a row of a patch to the next
  };

  void gather(bool dots, bool gradient) {
    const int64_t tiles_x = ceil_div(p.w, tile_cols);
    parallel_for(0, ceil_div(p.h, tile_rows) * tiles_x, 1, [&](int64_t first, int64_t last) {
      Gather g;
      for (int64_t i = first; i < last; ++i) {
        const int64_t y = i / tiles_x * tile_rows, x = i % tiles_x * tile_cols;
        gather_tile({y, smaller(p.h, y + tile_rows), x, smaller(p.w, x + tile_cols)}, dots,
                    gradient && grad_target, g);
      }
    });
  }

  void gather_tile(const Tile& t, bool dots, bool gradient, Gather& g) const {
    const int64_t rows = t.rows() + 2 * half, cols = t.cols() + 2 * half;
    Tile box{p.h, 0, p.w, 0};
    for_pixels(t, [&](int64_t, int64_t, int64_t jy, int64_t jx) {
      box.y0 = smaller(box.y0, jy), box.y1 = larger(box.y1, jy + 1);
      box.x0 = smaller(box.x0, jx), box.x1 = larger(box.x1, jx + 1);
    });
    if (box.y1 == 0) box = {0, 1, 0, 1};  // no candidate is inside
    box = {box.y0 - half, box.y1 + half, box.x0 - half, box.x1 + half};
    const bool far = box.rows() * box.cols() > most_source;
    if (far && t.rows() * t.cols() > 256) {
      Tile first = t, second = t;
      if (t.rows() > t.cols()) {
        first.y1 = second.y0 = t.y0 + t.rows() / 2;
      } else {
        first.x1 = second.x0 = t.x0 + t.cols() / 2;
      }
      gather_tile(first, dots, gradient, g);
      gather_tile(second, dots, gradient, g);
      return;
    }
    g.share.reserve(rows * cols);
    g.at.reserve(rows * cols);
    __builtin_memset(g.share.get(), 0, size_t(rows * cols) * sizeof(S));
    __builtin_memset(g.at.get(), 0, size_t(rows * cols) * sizeof(int32_t));
    g.pitch = far ? p.patch : box.cols();
    int64_t count = 0;
    for_pixels(t, [&](int64_t i, int64_t k, int64_t jy, int64_t jx) {
      g.share.get()[i] = share(k, jy, jx);
      g.at.get()[i] =
          int32_t(far ? count++ * p.patch * p.patch : (jy - half - box.y0) * g.pitch + jx - half - box.x0);
    });
    for (int64_t c = 0; c < p.c; c += W) {
      if (far) {
        pack_patches(t, count, channels(source, c), g);
      } else {
        g.source.pack(channels(source, c), box.y0, box.x0, box.rows(), box.cols());
      }
      if (dots) {
        g.target.pack(channels(target, c), t.y0 - half, t.x0 - half, rows, cols);
        add_dots(t, g);
      }
      if (gradient) add_shares(t, c, g);
    }
  }

  // use(place among the pixels of the tile and around it, k, j) for those whose candidate is inside.
  template <class F>
  void for_pixels(const Tile& t, const F& use) const {
    const int64_t cols = t.cols() + 2 * half;
    for (int64_t y = larger(0, t.y0 - half); y < smaller(p.h, t.y1 + half); ++y)
      for (int64_t x = larger(0, t.x0 - half); x < smaller(p.w, t.x1 + half); ++x) {
        const int64_t k = y * p.w + x, jy = y + offset_y[k], jx = x + offset_x[k];
        if (inside(jy, jx)) use((y - t.y0 + half) * cols + x - t.x0 + half, k, jy, jx);
      }
  }

  // Packs the source patch of each pixel separately.
  void pack_patches(const Tile& t, int64_t count, const Map<I, T>& map, Gather& g) const {
    g.source.data.reserve(larger(1, count) * p.patch * p.patch * W);
    S* to = g.source.data.get();
    __builtin_memset(to, 0, size_t(larger(1, count) * p.patch * p.patch * W) * sizeof(S));
    for_pixels(t, [&](int64_t, int64_t, int64_t jy, int64_t jx) {
      for (int64_t y = jy - half; y <= jy + half; ++y)
        for (int64_t x = jx - half; x <= jx + half; ++x, to += W) {
          if (!inside(y, x)) continue;
          for (int64_t c = 0; c < map.c; ++c) to[c] = to_scalar(T(), *map.at(c, y, x));
        }
    });
  }

  void add_dots(const Tile& t, const Gather& g) const {
    const int64_t cols = t.cols() + 2 * half;
    for (int64_t y = t.y0; y < t.y1; ++y)
      for (int64_t x = t.x0; x < t.x1; x += 4) {
        V acc[1][4];
        for (int i = 0; i < 4; ++i) {
          const int64_t px = smaller(x + i, t.x1 - 1);
          const S* from =
              g.source.data.get() + g.at.get()[(y - t.y0 + half) * cols + px - t.x0 + half] * int64_t(W);
          const S* with = g.target.at(y - half, px - half);
          acc[0][i] = I::zero();
          for (int dy = 0; dy < p.patch; ++dy)
            for (int64_t u = 0; u < p.patch * W; u += W)
              acc[0][i] =
                  I::dot(I::load(from + dy * g.pitch * W + u), I::load(with + dy * cols * W + u), acc[0][i]);
        }
        S sums[4];
        I::reduce(acc, sums, 0);
        for (int i = 0; i < smaller(4, t.x1 - x); ++i) norm_term_target.get()[y * p.w + x + i] += sums[i];
      }
  }

  void add_shares(const Tile& t, int64_t c, const Gather& g) const {
    const int64_t cols = t.cols() + 2 * half;
    const S* factor = by_target ? norm_term_target.get() : nullptr;
    for (int64_t y = t.y0; y < t.y1; ++y)
      for (int64_t x = t.x0; x < t.x1; x += W) {
        const int n = int(smaller(W, t.x1 - x));
        V block[W];
        for (int i = 0; i < W; ++i) {
          block[i] = I::zero();
          if (i >= n) continue;
          for (int dy = 0; dy < p.patch; ++dy)
            for (int dx = 0; dx < p.patch; ++dx) {
              // The pixel whose patch has this one at (dy, dx).
              const int64_t k = (y - t.y0 + 2 * half - dy) * cols + x + i - t.x0 + 2 * half - dx;
              const S* from = g.source.data.get() + (g.at.get()[k] + dy * g.pitch + dx) * W;
              block[i] = I::dot(I::fill(g.share.get()[k]), I::load(from), block[i]);
            }
        }
        write(block, c, y, x, n, factor, target, grad_target);
      }
  }

  // ---- the gradient of the source ----

  struct Scatter {
    Buffer<S> band;  // (band_rows + 4 * half, w + 2 * half, W)
    Buffer<S> rows;  // (patch, w + 2 * half, W): a ring of target rows
  };

  void scatter() {
    // The first and the last source row that the pixels of each run point at.
    Buffer<int32_t> first_row(p.h * runs), last_row(p.h * runs);
    for (int64_t y = 0; y < p.h; ++y)
      for (int64_t r = 0; r < runs; ++r) {
        int64_t low = p.h, high = -1;
        for (int64_t x = r * kRun; x < smaller(p.w, (r + 1) * kRun); ++x) {
          const int64_t jy = y + offset_y[y * p.w + x];
          low = smaller(low, larger(jy, 0)), high = larger(high, smaller(jy, p.h - 1));
        }
        first_row.get()[y * runs + r] = int32_t(low);
        last_row.get()[y * runs + r] = int32_t(high);
      }
    const int64_t blocks = ceil_div(p.c, W);
    parallel_for(0, ceil_div(p.h, band_rows) * blocks, 1, [&](int64_t first, int64_t last) {
      Scatter s;
      s.band.reserve((band_rows + 4 * half) * (p.w + 2 * half) * W);
      s.rows.reserve(p.patch * (p.w + 2 * half) * W);
      for (int64_t i = first; i < last; ++i)
        scatter_band(i / blocks * band_rows, i % blocks * W, first_row.get(), last_row.get(), s);
    });
  }

  void scatter_band(int64_t y0, int64_t c, const int32_t* first_row, const int32_t* last_row,
                    Scatter& s) const {
    const int64_t y1 = smaller(p.h, y0 + band_rows), pitch = (p.w + 2 * half) * W;
    __builtin_memset(s.band.get(), 0, size_t((y1 - y0 + 4 * half) * pitch) * sizeof(S));
    const Map<I, T> map = channels(target, c);
    int64_t packed = 0;  // target rows up to here are in the ring, as far as needed
    for (int64_t y = 0; y < p.h; ++y)
      for (int64_t r = 0; r < runs; ++r) {
        if (first_row[y * runs + r] >= y1 + half || last_row[y * runs + r] < y0 - half) continue;
        for (packed = larger(packed, y - half); packed <= smaller(p.h - 1, y + half); ++packed)
          pack_row<I>(map, packed, -half, p.w + 2 * half, W, s.rows.get() + packed % p.patch * pitch);
        scatter_run(y, r * kRun, smaller(p.w, (r + 1) * kRun), y0, y1, s);
      }
    const S* factor = by_source ? norm_term_source.get() : nullptr;
    for (int64_t y = y0; y < y1; ++y)
      for (int64_t x = 0; x < p.w; x += W) {
        const int n = int(smaller(W, p.w - x));
        V block[W];
        const S* from = s.band.get() + (y - y0 + 2 * half) * pitch + (x + half) * W;
        for (int i = 0; i < W; ++i) block[i] = i < n ? I::load(from + i * W) : I::zero();
        write(block, c, y, x, n, factor, source, grad_source);
      }
  }

  // Adds the contributions of pixels x0 .. x1 - 1 of target row y to source rows y0 .. y1 - 1.
  void scatter_run(int64_t y, int64_t x0, int64_t x1, int64_t y0, int64_t y1, Scatter& s) const {
    const int64_t pitch = (p.w + 2 * half) * W;
    for (int64_t x = x0; x < x1; ++x) {
      const int64_t k = y * p.w + x, jy = y + offset_y[k], jx = x + offset_x[k];
      if (jy < y0 - half || jy >= y1 + half || !inside(jy, jx)) continue;
      const V weight = I::fill(share(k, jy, jx));
      for (int64_t dy = -half; dy <= half; ++dy) {
        if (y + dy < 0 || y + dy >= p.h) continue;
        const S* from = s.rows.get() + (y + dy) % p.patch * pitch + x * W;
        S* to = s.band.get() + (jy + dy - y0 + 2 * half) * pitch + jx * W;
        for (int64_t u = 0; u < p.patch * W; u += W)
          I::store(to + u, I::dot(weight, I::load(from + u), I::load(to + u)));
      }
    }
  }
};

template <class I, class T>
void match_backward(const MatchBackwardArgs& args) {
  for (int64_t image = 0; image < args.n; ++image) MatchBackward<I, T>(args, image).run();
}

}  // namespace
}  // namespace apnt::cpu

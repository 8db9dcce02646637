// window_match with a window centre per pixel. Internal linkage, see elements.h.
//
// The target is cut into tiles, and a tile into areas whose pixels share a centre. The larger an area, the
// less a candidate costs:
//   4x4 pixels and more, where the offsets of the coarser level are smooth: boxes of any size. A box of b x b
//     pixels needs (b + patch - 1)**2 products, which are box-summed;
//   2x2 pixels, as progressive matching makes them: 16 products, added up before the sum over channels;
//   single pixels, four at a time: patch**2 products each, added up likewise.
// The order of a pixel's sums depends only on the centres in its aligned 4x4 cell, not on tiles or threads.
// Windows are anywhere, so the channels of a pixel are packed next to each other and a product is a
// sum over the lanes.
#pragma once

#include "common/parallel.h"
#include "cpu/window_match_pack.h"

namespace apnt::cpu {
namespace {

// acc[j][i] += target[i] * source[i + j], unit by unit, for 4 neighbours i and X displacements j. Pixels have
// `depth` units, whole vectors.
template <class I, int X>
inline __attribute__((always_inline)) void add_products(const typename I::Scalar* target,
                                                        const typename I::Scalar* source, int64_t depth,
                                                        typename I::V (&acc)[X][4]) {
  using V = typename I::V;
  for (int64_t u = 0; u < depth; u += I::W) {
    V t[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) t[i] = I::load_once(target + i * depth + u);
#pragma GCC unroll 16
    for (int k = 0; k < X + 3; ++k) {
      const V s = I::load_once(source + k * depth + u);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i)
        if (k >= i && k - i < X) acc[k - i][i] = I::dot(t[i], s, acc[k - i][i]);
    }
  }
}

template <class I, int X>
inline __attribute__((always_inline)) void clear(typename I::V (&acc)[X][4]) {
#pragma GCC unroll 16
  for (int j = 0; j < X; ++j)
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) acc[j][i] = I::zero();
}

// Products of 4 neighbours in a target row with the source pixels at X displacements of each:
// products[j * stride + i] = <target[i], source[i + j]>.
template <class I, int X>
void row_products(const typename I::Scalar* target, const typename I::Scalar* source, int64_t depth,
                  typename I::Scalar* products, int64_t stride) {
  static_assert(I::kPixels == 4, "reduce() takes four");
  typename I::V acc[X][4];
  clear<I, X>(acc);
  add_products<I, X>(target, source, depth, acc);
  I::reduce(acc, products, stride);
}

// Four pixels: the start of each one's patch in the packed target, and of its first candidate's patch in the
// packed source. Rows are target_row and source_row elements apart.
template <class S>
struct Four {
  const S* target[4];
  const S* source[4];
  int64_t target_row, source_row;
};

// Patch scores, not yet divided, of a 2x2 block with one centre, for 3x3 patches: sums[j * stride + i] for
// the pixels i in raster order and X displacements j. The block is four.target[0] and four.source[0]; rows 1
// and 2 of its 4x4 pixels belong to both rows of patches, and columns 1 and 2 to both columns.
template <class I, int X>
void block_scores(const Four<typename I::Scalar>& four, int64_t skip, int, int64_t depth,
                  typename I::Scalar* sums, int64_t stride) {
  using V = typename I::V;
  const auto* t = four.target[0];
  const auto* s = four.source[0] + skip;
  V both[X][4], scores[X][4];
  clear<I, X>(both);
  add_products<I, X>(t + four.target_row, s + four.source_row, depth, both);
  add_products<I, X>(t + 2 * four.target_row, s + 2 * four.source_row, depth, both);
#pragma GCC unroll 2
  for (int y = 0; y < 2; ++y) {
    V acc[X][4];
#pragma GCC unroll 16
    for (int j = 0; j < X; ++j)
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) acc[j][i] = both[j][i];
    add_products<I, X>(t + 3 * y * four.target_row, s + 3 * y * four.source_row, depth, acc);
#pragma GCC unroll 16
    for (int j = 0; j < X; ++j) {
      const V middle = I::add(acc[j][1], acc[j][2]);
      scores[j][2 * y] = I::add(acc[j][0], middle);
      scores[j][2 * y + 1] = I::add(middle, acc[j][3]);
    }
  }
  I::reduce(scores, sums, stride);
}

// The same for four pixels with centres of their own. B places in a row of the patch, a divisor of its size,
// share what they load.
template <class I, int X, int B>
void pixel_scores(const Four<typename I::Scalar>& four, int64_t skip, int patch, int64_t depth,
                  typename I::Scalar* sums, int64_t stride) {
  using V = typename I::V;
  V acc[X][4];
  clear<I, X>(acc);
  for (int a = 0; a < patch; ++a)
    for (int64_t b = 0; b < patch * depth; b += B * depth)
      for (int64_t u = b; u < b + depth; u += I::W)
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const auto* target = four.target[i] + a * four.target_row + u;
          const auto* source = four.source[i] + a * four.source_row + skip + u;
          V t[B];
#pragma GCC unroll 4
          for (int k = 0; k < B; ++k) t[k] = I::load_once(target + k * depth);
#pragma GCC unroll 16
          for (int j = 0; j < X + B - 1; ++j) {
            const V s = I::load_once(source + j * depth);
#pragma GCC unroll 4
            for (int k = 0; k < B; ++k)
              if (j >= k && j - k < X) acc[j - k][i] = I::dot(t[k], s, acc[j - k][i]);
          }
        }
  I::reduce(acc, sums, stride);
}

template <class I>
struct CenteredKernels {
  using S = typename I::Scalar;
  void (*row)(const S*, const S*, int64_t, S*, int64_t);
  void (*block)(const Four<S>&, int64_t, int, int64_t, S*, int64_t);
  void (*pixel)(const Four<S>&, int64_t, int, int64_t, S*, int64_t);

  template <int X = I::kDots>
  static CenteredKernels pick(int dots, int patch) {
    if constexpr (X > 1)
      if (dots < X) return pick<X - 1>(dots, patch);
    return {row_products<I, X>, block_scores<I, X>,
            patch == 3 ? pixel_scores<I, X, 3> : pixel_scores<I, X, 1>};
  }
};

template <class I, class T>
class CenteredMatch {
  using S = typename I::Scalar;
  using V = typename I::V;
  using Kernels = CenteredKernels<I>;
  static constexpr int W = I::W;
  static constexpr int64_t kTileRows = 128, kTileCols = 512;     // at most
  static constexpr int64_t kTargetRows = 32, kTargetCols = 256;  // of a tile, packed at a time
  static constexpr int64_t kProducts = 16384;  // of a box, stored at a time: they fit the first cache
  static constexpr int64_t kBand = 4;          // target rows
  static constexpr int kBatch = 16;            // pixels without a box whose candidates are compared at a time

 public:
  explicit CenteredMatch(const MatchPlan& plan) : p(plan), half(p.patch / 2), window(2 * p.radius + 1) {
    candidates = int64_t(window) * window;
    groups = int(ceil_div(window, I::kDots));
    for (int j = 0; j < 2; ++j) {
      steps[j] = int(window / groups + (j == 0 && window % groups != 0));
      kernels[j] = Kernels::pick(steps[j], p.patch);
    }
    const int64_t most = kProducts / candidates;
    box_cols = 30;
    while (box_cols > 2 && round_up(box_cols + 2 * half, 4) * (2 + 2 * half) > most) box_cols -= 4;
    pitch = round_up(box_cols + 2 * half, 4);
    box_cols = pitch - 2 * half;
    box_rows = larger(2, smaller(kTargetRows, most / pitch - 2 * half));
    // The larger a tile, the fewer pixels around its windows are packed again for the next one; but the
    // copies of all threads must stay well below a tenth of the features.
    const int64_t depth = round_up(Map<I, T>::units(p.c), W);
    const int64_t features = 2 * p.n * Map<I, T>::units(p.c) * p.h * p.w / num_threads();
    most_source = larger(features / 20, 1 << 16);
    tile_rows = kTileRows, tile_cols = kTileCols;
    while (tile_cols > 32 && tile_rows * tile_cols * depth > most_source / 2)
      tile_rows > 32 && tile_cols < 4 * tile_rows ? tile_rows /= 2 : tile_cols /= 2;
    target_rows = smaller(kTargetRows, tile_rows), target_cols = smaller(kTargetCols, tile_cols);
    while (target_cols > 32 && target_rows * target_cols * depth > features / 64) target_cols /= 2;
    if (target_rows * target_cols * depth > features / 64) target_rows /= 2;
    tiles_y = ceil_div(p.h, tile_rows);
    tiles_x = ceil_div(p.w, tile_cols);
  }

  int64_t tiles() const { return p.n * tiles_y * tiles_x; }

  static void run(int64_t begin, int64_t end, void* context) {
    const CenteredMatch& match = *static_cast<const CenteredMatch*>(context);
    Scratch scratch(match);
    const int64_t per_image = match.tiles_y * match.tiles_x;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t y = i % per_image / match.tiles_x * match.tile_rows,
                    x = i % match.tiles_x * match.tile_cols;
      const Tile tile{i / per_image, y, smaller(match.p.h, y + match.tile_rows), x,
                      smaller(match.p.w, x + match.tile_cols)};
      match.read_centers(tile, scratch);
      match.part(tile, scratch);
    }
  }

 private:
  const MatchPlan& p;
  int half, window, groups;
  int steps[2];  // displacements of the first group, of the others
  Kernels kernels[2];
  int64_t candidates, box_rows, box_cols, pitch, tile_rows, tile_cols, target_rows, target_cols, tiles_y,
      tiles_x;
  int64_t most_source;  // elements of a source region

  struct Tile {
    int64_t image, y0, y1, x0, x1;
    int64_t rows() const { return y1 - y0; }
    int64_t cols() const { return x1 - x0; }
  };

  // Part of the source, with the norms of its patches: NaN outside the image.
  struct Source {
    Region<I> region;
    Buffer<S> norm;  // (rows, cols)
    const S* norm_at(int64_t y, int64_t x) const {
      return norm.get() + (y - region.y) * region.cols + x - region.x;
    }
  };

  enum class Kind : uint8_t { box, block, pixel, done };

  struct Pixel {
    int64_t y, x;
    int32_t cy, cx;
  };

  struct Scratch {
    const CenteredMatch& m;
    // (tile_rows, tile_cols): centres relative to the pixel, clamped to the image; how a pixel is matched
    Buffer<int32_t> center_y, center_x;
    Buffer<Kind> kind;
    Tile tile{};
    Region<I> target;
    Buffer<S> target_norm;
    Source source;
    Source near[4];  // around the windows of single pixels, where those of a tile lie far apart
    Buffer<S> sums, products, norms, best, choice;
    // The pixels of a batch, their scores before the division (candidates, kBatch), and their divisors.
    int count = 0;
    Pixel pixels[kBatch];
    Buffer<S> batch_scores, batch_norms;

    explicit Scratch(const CenteredMatch& match)
        : m(match),
          center_y(m.tile_rows * m.tile_cols),
          center_x(m.tile_rows * m.tile_cols),
          kind(m.tile_rows * m.tile_cols),
          products(m.candidates * (m.box_rows + 2 * m.half) * m.pitch + (2 * m.half + 1) * (m.pitch + 1) + W),
          norms(m.window * (m.box_rows + 2 * m.p.radius) * m.pitch + W),
          best(larger(kBatch, m.box_rows * m.pitch) + W),
          choice(larger(kBatch, m.box_rows * m.pitch) + W),
          batch_scores(m.candidates * kBatch),
          batch_norms(m.candidates * kBatch) {
      // Lanes without a pixel are computed too.
      __builtin_memset(batch_scores.get(), 0, size_t(m.candidates * kBatch) * sizeof(S));
      __builtin_memset(batch_norms.get(), 0, size_t(m.candidates * kBatch) * sizeof(S));
    }

    int64_t place(int64_t y, int64_t x) const { return (y - tile.y0) * m.tile_cols + x - tile.x0; }
    Pixel pixel(int64_t y, int64_t x) const {
      return {y, x, center_y.get()[place(y, x)], center_x.get()[place(y, x)]};
    }
  };

  static int32_t clamped(int32_t x, int32_t low, int32_t high) {
    const int32_t above = x < low ? low : x;
    return above > high ? high : above;
  }

  void read_centers(const Tile& t, Scratch& s) const {
    s.tile = t;
    const int32_t* dy = p.center + 2 * t.image * p.h * p.w;
    const int32_t* dx = dy + p.h * p.w;
    for (int64_t y = t.y0; y < t.y1; ++y) {
      const int64_t from = y * p.w + t.x0, to = s.place(y, t.x0);
      for (int32_t j = 0; j < t.cols(); ++j) {
        const int32_t left = int32_t(-t.x0) - j;
        s.center_y.get()[to + j] = clamped(dy[from + j], int32_t(-y), int32_t(p.h - 1 - y));
        s.center_x.get()[to + j] = clamped(dx[from + j], left, left + int32_t(p.w - 1));
      }
    }
    // Tiles start at multiples of 4.
    for (int64_t y = t.y0; y < t.y1; y += 4)
      for (int64_t x = t.x0; x < t.x1; x += 4) {
        const int64_t y1 = smaller(t.y1, y + 4), x1 = smaller(t.x1, x + 4);
        if (alike(y, y1, x, x1, s)) {
          mark(y, y1, x, x1, Kind::box, s);
          continue;
        }
        for (int64_t i = y; i < y1; i += 2)
          for (int64_t j = x; j < x1; j += 2) {
            const int64_t i1 = smaller(y1, i + 2), j1 = smaller(x1, j + 2);
            const bool whole = i1 - i == 2 && j1 - j == 2 && alike(i, i1, j, j1, s);
            mark(i, i1, j, j1, !whole ? Kind::pixel : p.patch == 3 ? Kind::block : Kind::box, s);
          }
      }
  }

  bool alike(int64_t y0, int64_t y1, int64_t x0, int64_t x1, const Scratch& s) const {
    const int64_t first = s.place(y0, x0);
    const int32_t cy = s.center_y.get()[first], cx = s.center_x.get()[first];
    for (int64_t y = y0; y < y1; ++y)
      for (int64_t x = x0; x < x1; ++x) {
        const int64_t at = s.place(y, x);
        if (s.center_y.get()[at] != cy || s.center_x.get()[at] != cx) return false;
      }
    return true;
  }

  void mark(int64_t y0, int64_t y1, int64_t x0, int64_t x1, Kind kind, Scratch& s) const {
    for (int64_t y = y0; y < y1; ++y)
      for (int64_t x = x0; x < x1; ++x) s.kind.get()[s.place(y, x)] = kind;
  }

  // Matches a part of a tile: at once if its windows are close together, otherwise in halves, and in the end
  // with the source packed separately for every window.
  void part(const Tile& q, Scratch& s) const {
    int64_t y0 = p.h, y1 = 0;
    int32_t left = int32_t(p.w), right = 0;
    for (int64_t y = q.y0; y < q.y1; ++y) {
      const int32_t* cy = s.center_y.get() + s.place(y, q.x0);
      const int32_t* cx = s.center_x.get() + s.place(y, q.x0);
      int32_t top = cy[0], bottom = cy[0];
      for (int32_t j = 0; j < q.cols(); ++j) {
        const int32_t x = int32_t(q.x0) + j + cx[j];
        top = cy[j] < top ? cy[j] : top, bottom = cy[j] > bottom ? cy[j] : bottom;
        left = x < left ? x : left, right = x > right ? x : right;
      }
      y0 = smaller(y0, y + top), y1 = larger(y1, y + bottom + 1);
    }
    const int64_t x0 = left, x1 = right + 1;
    const int64_t border = p.radius + half;
    const int64_t rows = y1 - y0 + 2 * border, cols = x1 - x0 + 2 * border;
    const bool together = rows * cols * round_up(Map<I, T>::units(p.c), W) <= most_source;
    // Halves that pack little more in total fit the caches better.
    const bool cheap = q.rows() >= 32 && 4 * (rows - q.rows()) <= q.rows();
    if (cheap || (!together && q.rows() * q.cols() > 256)) {
      Tile first = q, second = q;
      if (cheap || q.rows() > q.cols()) {
        first.y1 = second.y0 = q.y0 + q.rows() / 8 * 4;
      } else {
        first.x1 = second.x0 = q.x0 + q.cols() / 8 * 4;
      }
      part(first, s);
      part(second, s);
      return;
    }
    if (together) pack_source(q.image, y0 - border, x0 - border, rows, cols, s.source, s);
    for (int64_t y = q.y0; y < q.y1; y += target_rows)
      for (int64_t x = q.x0; x < q.x1; x += target_cols)
        match_tile({q.image, y, smaller(q.y1, y + target_rows), x, smaller(q.x1, x + target_cols)}, !together,
                   s);
  }

  void pack_source(int64_t image, int64_t y, int64_t x, int64_t rows, int64_t cols, Source& to,
                   Scratch& s) const {
    to.region.pack(Map<I, T>(p.source, image, p, p.source_last), y, x, rows, cols);
    const int64_t count = rows * cols;
    to.norm.reserve(count + pitch + W);
    S* norm = to.norm.get();
    if (p.norm == Norm::search || p.norm == Norm::cosine) {
      patch_norms(to.region, norm, s);
    } else {
      for (int64_t i = 0; i < count; ++i) norm[i] = 1;
    }
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < cols; ++j)
        if (y + i < 0 || y + i >= p.h || x + j < 0 || x + j >= p.w) norm[i * cols + j] = S(__builtin_nan(""));
  }

  // Norms of the patches around those pixels of a region whose patch lies in the region.
  void patch_norms(const Region<I>& r, S* norm, Scratch& s) const {
    s.sums.reserve(r.cols + p.patch + 2 * W);
    const S* squares = r.squares.get();
    S* sums = s.sums.get();
    for (int64_t i = half; i < r.rows - half; ++i) {
      for (int64_t j = 0; j < r.cols; j += W) {
        V sum = I::load(squares + (i - half) * r.cols + j);
        for (int k = 1; k < p.patch; ++k) sum = I::add(sum, I::load(squares + (i - half + k) * r.cols + j));
        I::store(sums + j, sum);
      }
      // A vector that passes the end of a row is overwritten by the next one.
      for (int64_t j = 0; j < r.cols - 2 * half; j += W) {
        V sum = I::load(sums + j);
        for (int k = 1; k < p.patch; ++k) sum = I::add(sum, I::load(sums + j + k));
        I::store(norm + i * r.cols + half + j, I::sqrt(I::max(I::fill(S(kNormFloor * kNormFloor)), sum)));
      }
    }
  }

  // Packs the source around the windows of a box of rows x cols pixels that starts at `at`.
  const Source& pack_near(const Tile& q, const Pixel& at, int64_t rows, int64_t cols, Source& to,
                          Scratch& s) const {
    const int64_t border = p.radius + half;
    pack_source(q.image, at.y + at.cy - border, at.x + at.cx - border, rows + 2 * border, cols + 2 * border,
                to, s);
    return to;
  }

  // alone: the source is packed separately for each window.
  void match_tile(const Tile& q, bool alone, Scratch& s) const {
    s.target.pack(Map<I, T>(p.target, q.image, p, p.target_last), q.y0 - half, q.x0 - half,
                  q.rows() + 2 * half, q.cols() + 2 * half);
    if (p.norm == Norm::cosine || p.norm == Norm::paper) {
      s.target_norm.reserve(s.target.rows * s.target.cols + W);
      patch_norms(s.target, s.target_norm.get(), s);
    }
    // Band by band, so that the source around is in the caches for all kinds of pixels.
    for (int64_t y = q.y0; y < q.y1; y += kBand) {
      const int64_t end = smaller(q.y1, y + kBand);
      match_boxes(q, y, end, alone, s);
      match_blocks({q.image, y, end, q.x0, q.x1}, alone, s);
      match_pixels({q.image, y, end, q.x0, q.x1}, alone, s);
    }
    compare(q.image, s);
  }

  // Boxes of q that start in rows y0 .. y1 - 1.
  void match_boxes(const Tile& q, int64_t y0, int64_t y1, bool alone, Scratch& s) const {
    for (int64_t y = y0; y < y1; ++y)
      for (int64_t x = q.x0; x < q.x1;) {
        if (s.kind.get()[s.place(y, x)] != Kind::box) {
          ++x;
          continue;
        }
        const Pixel first = s.pixel(y, x);
        const auto joins = [&](int64_t i, int64_t j0, int64_t j1) {
          for (int64_t j = j0; j < j1; ++j) {
            const Pixel other = s.pixel(i, j);
            if (s.kind.get()[s.place(i, j)] != Kind::box || other.cy != first.cy || other.cx != first.cx)
              return false;
          }
          return true;
        };
        int64_t end_y = y + 1, end_x = x + 1;
        while (end_x < smaller(q.x1, x + box_cols) && joins(y, end_x, end_x + 1)) ++end_x;
        while (end_y < smaller(q.y1, y + box_rows) && joins(end_y, x, end_x)) ++end_y;
        mark(y, end_y, x, end_x, Kind::done, s);
        const Source& source = alone ? pack_near(q, first, end_y - y, end_x - x, s.source, s) : s.source;
        match_box({q.image, y, end_y, x, end_x}, first, source, s);
        x = end_x;
      }
  }

  void match_blocks(const Tile& q, bool alone, Scratch& s) const {
    for (int64_t y = q.y0; y < q.y1; y += 2)
      for (int64_t x = q.x0; x < q.x1; x += 2) {
        if (s.kind.get()[s.place(y, x)] != Kind::block) continue;
        const Source& source = alone ? pack_near(q, s.pixel(y, x), 2, 2, s.near[0], s) : s.source;
        const Source* sources[4] = {&source, &source, &source, &source};
        const Pixel pixels[4] = {s.pixel(y, x), s.pixel(y, x + 1), s.pixel(y + 1, x), s.pixel(y + 1, x + 1)};
        match_four(q.image, pixels, sources, true, s);
      }
  }

  void match_pixels(const Tile& q, bool alone, Scratch& s) const {
    Pixel pixels[4];
    const Source* sources[4];
    int n = 0;
    for (int64_t y = q.y0; y < q.y1; ++y)
      for (int64_t x = q.x0; x < q.x1; ++x) {
        if (s.kind.get()[s.place(y, x)] != Kind::pixel) continue;
        pixels[n] = s.pixel(y, x);
        sources[n] = alone ? &pack_near(q, pixels[n], 1, 1, s.near[n], s) : &s.source;
        if (++n < 4) continue;
        match_four(q.image, pixels, sources, false, s);
        n = 0;
      }
    if (n == 0) return;
    for (int i = n; i < 4; ++i) pixels[i] = pixels[n - 1], sources[i] = sources[n - 1];
    match_four(q.image, pixels, sources, false, s);
  }

  // The scores of four pixels, added to the batch.
  void match_four(int64_t image, const Pixel (&pixels)[4], const Source* const (&sources)[4], bool block,
                  Scratch& s) const {
    const int64_t depth = s.target.depth;
    Four<S> four;
    four.target_row = s.target.cols * depth;
    four.source_row = sources[0]->region.cols * depth;
    for (int i = 0; i < 4; ++i) {
      const Pixel& at = pixels[i];
      const int64_t y = at.y + at.cy - p.radius, x = at.x + at.cx - p.radius;
      four.target[i] = s.target.at(at.y - half, at.x - half);
      four.source[i] = sources[i]->region.at(y - half, x - half);
      S* norms = s.batch_norms.get() + s.count + i;
      for (int dy = 0; dy < window; ++dy) {
        const S* from = sources[i]->norm_at(y + dy, x);
        if (!block) {
          for (int dx = 0; dx < window; ++dx, norms += kBatch) *norms = from[dx];
        } else if (i % 2 == 0) {  // and its neighbour's
          for (int dx = 0; dx < window; ++dx, norms += kBatch)
            __builtin_memcpy(norms, from + dx, 2 * sizeof(S));
        }
      }
      s.pixels[s.count + i] = at;
    }
    S* scores = s.batch_scores.get() + s.count;
    for (int dy = 0; dy < window; ++dy) {
      int done = 0;
      for (int g = 0; g < groups; ++g) {
        const int size = (window - done) / (groups - g) == steps[1] ? 1 : 0;
        (block ? kernels[size].block : kernels[size].pixel)(four, done * depth, p.patch, depth,
                                                            scores + (dy * window + done) * kBatch, kBatch);
        done += steps[size];
      }
      for (int i = 0; i < 4; ++i) four.source[i] += four.source_row;
    }
    s.count += 4;
    if (s.count == kBatch) compare(image, s);
  }

  // The best candidates of the pixels of a batch.
  void compare(int64_t image, Scratch& s) const {
    for (int j = 0; j < s.count; j += W) {
      V best = I::fill(S(-__builtin_inf())), choice = I::zero();
      for (int64_t k = 0; k < candidates; ++k) {
        const int64_t at = ((p.order[k].dy + p.radius) * window + p.order[k].dx + p.radius) * kBatch + j;
        I::select_greater(I::div(I::load(s.batch_scores.get() + at), I::load(s.batch_norms.get() + at)), S(k),
                          best, choice);
      }
      I::store(s.best.get() + j, best);
      I::store(s.choice.get() + j, choice);
    }
    for (int i = 0; i < s.count; ++i) write(image, s.pixels[i], i, s);
    s.count = 0;
  }

  // Products and norms of a box are laid out in rows of `pitch` elements, so that a vector may span rows.
  void match_box(const Tile& box, const Pixel& first, const Source& source, Scratch& s) const {
    const int32_t cy = first.cy, cx = first.cx;
    const int64_t rows = box.rows() + 2 * half, width = round_up(box.cols() + 2 * half, 4);
    const int64_t depth = s.target.depth, plane = rows * width;
    // (candidates in raster order, rows, width)
    S* products = s.products.get();
    for (int64_t i = 0; i < rows; ++i)
      for (int dy = 0; dy < window; ++dy) {
        const S* target = s.target.at(box.y0 - half + i, box.x0 - half);
        const S* from =
            source.region.at(box.y0 - half + i + cy + dy - p.radius, box.x0 - half + cx - p.radius);
        for (int64_t j = 0; j < width; j += 4) {
          S* to = products + dy * window * plane + i * width + j;
          int done = 0;
          for (int g = 0; g < groups; ++g) {
            const int size = (window - done) / (groups - g) == steps[1] ? 1 : 0;
            kernels[size].row(target + j * depth, from + (j + done) * depth, depth, to + done * plane, plane);
            done += steps[size];
          }
        }
      }
    // (dx, rows, width): divisors of the scores at that dx.
    const int64_t norm_rows = box.rows() + 2 * p.radius;
    S* norms = s.norms.get();
    for (int dx = 0; dx < window; ++dx)
      for (int64_t i = 0; i < norm_rows; ++i) {
        const S* from = source.norm_at(box.y0 + cy - p.radius + i, box.x0 + cx - p.radius + dx);
        for (int64_t j = 0; j < width; j += 4)
          __builtin_memcpy(norms + (dx * norm_rows + i) * width + j, from + j, 4 * sizeof(S));
      }
    if (p.patch == 3) {
      choose<3>(box.rows(), width, s);
    } else {
      choose<0>(box.rows(), width, s);
    }
    for (int64_t y = box.y0; y < box.y1; ++y)
      for (int64_t x = box.x0; x < box.x1; ++x)
        write(box.image, {y, x, cy, cx}, (y - box.y0) * width + x - box.x0, s);
  }

  template <int kPatch>
  void choose(int64_t rows, int64_t width, Scratch& s) const {
    const int patch = kPatch ? kPatch : p.patch;
    const int64_t plane = (rows + 2 * half) * width, norm_plane = (rows + 2 * p.radius) * width;
    for (int64_t j = 0; j < rows * width; j += W) {
      V best = I::fill(S(-__builtin_inf())), choice = I::zero();
      for (int64_t k = 0; k < candidates; ++k) {
        const int dy = p.order[k].dy + p.radius, dx = p.order[k].dx + p.radius;
        const S* from = s.products.get() + (dy * window + dx) * plane + j;
        V sum = I::zero();
        for (int b = 0; b < patch; ++b) {
          V column = I::load(from + b);
          for (int a = 1; a < patch; ++a) column = I::add(column, I::load(from + a * width + b));
          sum = I::add(sum, column);
        }
        const V norm = I::load(s.norms.get() + dx * norm_plane + dy * width + j);
        I::select_greater(I::div(sum, norm), S(k), best, choice);
      }
      I::store(s.best.get() + j, best);
      I::store(s.choice.get() + j, choice);
    }
  }

  // The result of a pixel whose best candidate is element `at` of s.best and s.choice.
  void write(int64_t image, const Pixel& to, int64_t at, Scratch& s) const {
    const int64_t plane = p.h * p.w;
    const Step step = p.order[int(s.choice.get()[at])];
    int32_t* offset = p.offset + 2 * image * plane + to.y * p.w + to.x;
    offset[0] = to.cy + step.dy;
    offset[plane] = to.cx + step.dx;
    S score = s.best.get()[at];
    if (p.norm == Norm::cosine || p.norm == Norm::paper)
      score /= s.target_norm.get()[(to.y - s.target.y) * s.target.cols + to.x - s.target.x];
    static_cast<S*>(p.score)[image * plane + to.y * p.w + to.x] = score;
  }
};

template <class I, class T>
void match_centered(const MatchPlan& plan) {
  CenteredMatch<I, T> match(plan);
  parallel_for(0, match.tiles(), 1, CenteredMatch<I, T>::run, &match);
}

}  // namespace
}  // namespace apnt::cpu

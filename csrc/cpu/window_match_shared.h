// window_match with one window for all pixels: every window is centred on its pixel. Internal linkage, see
// elements.h.
//
// For a displacement d, products[y, x] = <target[y, x], source[(y, x) + d]> are computed along rows, W pixels
// a vector, and a patch score is a box sum of products. A strip of columns is processed from top to bottom;
// only the source rows of a window, and the products of as many rows as a patch has, are stored at a time.
//
// With matrix units (tiles.h), 16 target pixels are multiplied with 16 source pixels at a time, and the
// displacements of a window are a diagonal band of these products.
#pragma once

#include <type_traits>

#include "common/parallel.h"
#include "cpu/window_match_pack.h"

namespace apnt::cpu {
namespace {

// Products of R target rows with one source row at X displacements: products[i][j * stride + lane] += sum
// over the units of target[unit][i][lane] * source[unit][lane + j]. Every sum runs over the units in their
// order.
template <class I, int R, int X>
void shared_products(const typename I::Scalar* target, int64_t target_unit, const typename I::Scalar* source,
                     int64_t source_unit, int64_t units, bool first, typename I::Scalar* const* products,
                     int64_t stride) {
  using V = typename I::V;
  constexpr int W = I::W;
  V acc[R][X];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < X; ++j) acc[i][j] = first ? I::zero() : I::load(products[i] + j * stride);
  for (int64_t u = 0; u < units; ++u) {
    V t[R];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) t[i] = I::load_once(target + i * W);
#pragma GCC unroll 16
    for (int j = 0; j < X; ++j) {
      const V s = I::load_once(source + j);
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) acc[i][j] = I::dot(t[i], s, acc[i][j]);
    }
    target += target_unit;
    source += source_unit;
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < X; ++j) I::store(products[i] + j * stride, acc[i][j]);
}

template <class I>
struct SharedProducts {
  using S = typename I::Scalar;
  using Fn = void (*)(const S*, int64_t, const S*, int64_t, int64_t, bool, S* const*, int64_t);

  template <int R, int X>
  static Fn pick(int rows, int steps) {
    if (rows == R && steps == X) return shared_products<I, R, X>;
    if constexpr (X > 1) {
      return pick<R, X - 1>(rows, steps);
    } else if constexpr (R > 1) {
      constexpr int kNext = R - 1 > I::kRows ? I::kWideSteps : I::kSteps;
      return pick<R - 1, kNext>(rows, steps);
    } else {
      return nullptr;
    }
  }
  static Fn pick(int rows, int steps) { return pick<I::kWideRows, I::kWideSteps>(rows, steps); }
};

// Products of 16 pixels of R target rows with N pieces of 16 pixels of a source row:
// products[r * product_row + i * pitch + x] = <target[r, i], source[x]>. target is (rows, 16, depth), source
// (depth, source_unit); depth is a multiple of 16.
template <class Tiles, int R, int N>
void tile_products(Tiles& tiles, const float* target, int64_t target_row, const float* source,
                   int64_t source_unit, int64_t depth, float* products, int64_t product_row, int64_t pitch) {
  tiles.template clear<0, 0>();
  if constexpr (N == 2) tiles.template clear<0, 1>();
  if constexpr (R == 2) tiles.template clear<1, 0>();
  if constexpr (R == 2 && N == 2) tiles.template clear<1, 1>();
  for (int64_t u = 0; u < depth; u += 16) {
    tiles.template load_source<0>(source + u * source_unit, source_unit);
    if constexpr (N == 2) tiles.template load_source<1>(source + u * source_unit + 16, source_unit);
    tiles.template load_target<0>(target + u, depth);
    if constexpr (R == 2) tiles.template load_target<1>(target + target_row + u, depth);
    tiles.template multiply<0, 0>();
    if constexpr (N == 2) tiles.template multiply<0, 1>();
    if constexpr (R == 2) tiles.template multiply<1, 0>();
    if constexpr (R == 2 && N == 2) tiles.template multiply<1, 1>();
  }
  tiles.template store<0, 0>(products, pitch);
  if constexpr (N == 2) tiles.template store<0, 1>(products + 16, pitch);
  if constexpr (R == 2) tiles.template store<1, 0>(products + product_row, pitch);
  if constexpr (R == 2 && N == 2) tiles.template store<1, 1>(products + product_row + 16, pitch);
}

// Tiles: a class of tiles.h; void without matrix units.
template <class I, class T, class Tiles = void>
class SharedMatch {
  using S = typename I::Scalar;
  using V = typename I::V;
  using Kernel = SharedProducts<I>;
  static constexpr int W = I::W;
  static constexpr int kMaxRows = I::kWideRows > I::kRows ? I::kWideRows : I::kRows;
  static constexpr bool kTiles = !std::is_void_v<Tiles>;
  static_assert(!kTiles || (W == 16 && kMaxRows >= 2), "tiles are 16x16 and belong to two rows");
  static constexpr int kBatch = 16;  // candidates that are summed at a time
  static constexpr int64_t kStripLanes = 96;
  static constexpr int64_t kAhead = 12;  // units that are prefetched
  static constexpr int64_t kChunk = 64;  // units whose source and target rows fit the first cache

 public:
  explicit SharedMatch(const MatchPlan& plan) : p(plan), half(p.patch / 2), window(2 * p.radius + 1) {
    const bool wide = window <= I::kWideSteps;
    block_rows = kTiles ? 2 : wide ? I::kWideRows : I::kRows;
    const int max_steps = wide ? I::kWideSteps : I::kSteps;
    groups = int(ceil_div(window, max_steps));
    for (int i = 0; i < kMaxRows; ++i)
      for (int j = 0; j < 2; ++j) {
        steps[j] = int(window / groups + (j == 0 && window % groups != 0));
        kernel[i][j] = i < block_rows ? Kernel::pick(i + 1, steps[j]) : nullptr;
      }
    // As few lanes as possible; the same number for every strip.
    const int64_t most = larger(ceil_div(2 * half + 1, W), kStripLanes / W);
    int64_t best_blocks = 0;
    for (int64_t n = 1; n <= p.w; ++n) {
      const int64_t each = ceil_div(ceil_div(p.w, n) + 2 * half, W);
      if (each > most) continue;
      if (best_blocks == 0 || n * each < best_blocks) {
        best_blocks = n * each;
        strips = n;
        blocks = each;
      }
      if (each * W <= 2 * W) break;
    }
    columns = ceil_div(p.w, strips);
    lanes = blocks * W;
    source_lanes = round_up(lanes + 2 * p.radius, W);
    units = Map<I, T>::units(p.c);
    depth = kTiles ? round_up(units, 16) : units;
    chunk = kTiles ? depth : smaller(units, kChunk);
    tile_pitch = round_up(window + 15, 16);
    product_rows = block_rows + 2 * half;
    source_rows = block_rows + 2 * p.radius;
    norm_rows = source_rows + 2 * half;
    candidates = int64_t(window) * window;
    slack = round_up(2 * half, W) + W;
  }

  int64_t rows() const { return p.n * strips * p.h; }

  int64_t grain() const {
    const int64_t work = larger(1, candidates * p.c * columns);
    return larger(2 * p.patch, 4000000 / work);
  }

  static void run(int64_t begin, int64_t end, void* context) {
    const SharedMatch& match = *static_cast<const SharedMatch*>(context);
    Scratch scratch(match);
    while (begin < end) {
      const int64_t strip = begin / match.p.h, y = begin % match.p.h;
      const int64_t stop = smaller(match.p.h, y + end - begin);
      match.strip(strip / match.strips, strip % match.strips * match.columns, y, stop, scratch);
      begin += stop - y;
    }
  }

 private:
  const MatchPlan& p;
  int half, window, block_rows, groups;
  int steps[2];  // displacements of the first group, of the others
  typename Kernel::Fn kernel[kMaxRows][2];
  int64_t strips = 1, blocks = 1, columns, lanes, source_lanes, units, depth, chunk, product_rows,
          source_rows, norm_rows, candidates, slack, tile_pitch;

  // Rows of the rings below are addressed by their row in the image.
  struct Scratch {
    const SharedMatch& m;
    Buffer<S> source, target, products, source_squares, source_norm, target_squares, box, sums, best, choice,
        tiles;

    explicit Scratch(const SharedMatch& match)
        : m(match),
          source(m.source_rows * m.depth * m.source_lanes + W),
          target(m.chunk * m.block_rows * m.lanes),
          products(m.product_rows * m.candidates * m.lanes),
          source_squares(m.norm_rows * m.source_lanes),
          source_norm(m.norm_rows * (m.source_lanes + W)),
          target_squares(m.product_rows * m.lanes),
          box(m.source_lanes + m.slack),
          sums(kBatch * (m.lanes + 2 * W)),
          best(m.lanes + W),
          choice(m.lanes + W),
          tiles(kTiles ? 2 * 16 * m.tile_pitch + m.window + W : 0) {
      // Units beyond the last one stay zero.
      if (m.depth != m.units)
        __builtin_memset(source.get(), 0, size_t(m.source_rows * m.depth * m.source_lanes) * sizeof(S));
      __builtin_memset(box.get(), 0, size_t(m.source_lanes + m.slack) * sizeof(S));
      __builtin_memset(sums.get(), 0, size_t(kBatch * (m.lanes + 2 * W)) * sizeof(S));
    }
    // (depth, source_lanes)
    S* source_row(int64_t y) const { return source.get() + y % m.source_rows * m.depth * m.source_lanes; }
    // (candidates in raster order, lanes)
    S* products_row(int64_t y) const { return products.get() + y % m.product_rows * m.candidates * m.lanes; }
    S* source_squares_row(int64_t y) const { return source_squares.get() + y % m.norm_rows * m.source_lanes; }
    S* source_norm_row(int64_t y) const { return source_norm.get() + y % m.norm_rows * (m.source_lanes + W); }
    S* target_squares_row(int64_t y) const { return target_squares.get() + y % m.product_rows * m.lanes; }
  };

  // Rows y0 .. y1 - 1 of the strip of columns that starts at x0.
  void strip(int64_t image, int64_t x0, int64_t y0, int64_t y1, Scratch& s) const {
    const Map<I, T> source(p.source, image, p), target(p.target, image, p);
    if (x0 >= p.w) return;
    const int64_t last = smaller(p.h, y1 + half);
    int64_t next_source = larger(0, larger(0, y0 - half) - p.radius);
    int64_t next_norm = larger(0, y0 - p.radius);
    int64_t next_out = y0;
    for (int64_t ty = larger(0, y0 - half); ty < last; ty += block_rows) {
      const int rows = int(smaller(block_rows, last - ty));
      for (; next_source < smaller(p.h, ty + rows + p.radius); ++next_source)
        pack_source(source, x0, next_source, s);
      multiply(target, x0, ty, rows, s);
      for (; next_out < y1 && (next_out + half < ty + rows || ty + rows == p.h); ++next_out) {
        for (; next_norm <= smaller(p.h - 1, next_out + p.radius); ++next_norm) norm_row(x0, next_norm, s);
        choose(image, x0, next_out, s);
      }
    }
  }

  void pack_source(const Map<I, T>& map, int64_t x0, int64_t y, Scratch& s) const {
    const int64_t x = x0 - half - p.radius;
    S* row = s.source_row(y);
    S* squares = s.source_squares_row(y);
    for (int64_t j = 0; j < source_lanes; j += W) I::store(squares + j, I::zero());
    for (int64_t u = 0; u < units; ++u, row += source_lanes) {
      S* to = row;
      map.for_row(u, y, x, source_lanes, u + kAhead < units ? kAhead : 0, [&](int64_t j, V v) {
        I::store(to + j, v);
        I::store(squares + j, I::dot(v, v, I::load(squares + j)));
      });
    }
  }

  // Products of the target rows ty .. ty + rows - 1.
  void multiply(const Map<I, T>& map, int64_t x0, int64_t ty, int rows, Scratch& s) const {
    if constexpr (kTiles) {
      const int64_t row = lanes * depth;
      for (int i = 0; i < rows; ++i)
        pack_row<I>(map, ty + i, x0 - half, lanes, depth, s.target.get() + i * row,
                    s.target_squares_row(ty + i));
      Tiles tiles;
      for_source_rows(ty, rows, true, s, [&](int64_t b, int64_t sy, int r0, int r1, S* const* to) {
        multiply_tiles(tiles, s.target.get() + r0 * row + b * W * depth, s.source_row(sy) + b * W, r1 - r0,
                       to, s);
      });
      return;
    }
    const int64_t target_unit = block_rows * W;
    for (int64_t u0 = 0; u0 < units; u0 += chunk) {
      const int64_t n = smaller(chunk, units - u0);
      const bool first = u0 == 0;
      for (int i = 0; i < rows; ++i) pack_target(map, x0, ty + i, u0, n, s.target.get() + i * W, s);
      for_source_rows(ty, rows, first, s, [&](int64_t b, int64_t sy, int r0, int r1, S** to) {
        const S* from = s.source_row(sy) + u0 * source_lanes + b * W;
        const S* packed = s.target.get() + b * chunk * target_unit + r0 * W;
        int done = 0;
        for (int g = 0; g < groups; ++g) {
          const int size = (window - done) / (groups - g) == steps[1] ? 1 : 0;
          kernel[r1 - r0 - 1][size](packed, target_unit, from + done, source_lanes, n, first, to, lanes);
          done += steps[size];
          for (int i = 0; i < r1 - r0; ++i) to[i] += steps[size] * lanes;
        }
      });
    }
  }

  // use(b, sy, r0, r1, to) for every block b of W lanes and every source row sy inside the image: the target
  // rows ty + r0 .. ty + r1 - 1 have it in their windows, and to are the addresses of their products with
  // it. Products with rows outside the image are zero, written if `first`.
  template <class F>
  void for_source_rows(int64_t ty, int rows, bool first, Scratch& s, const F& use) const {
    for (int64_t b = 0; b < blocks; ++b)
      for (int64_t sy = ty - p.radius; sy < ty + rows + p.radius; ++sy) {
        const int r0 = int(larger(0, sy - p.radius - ty)), r1 = int(smaller(rows, sy + p.radius - ty + 1));
        S* to[kMaxRows];
        for (int i = r0; i < r1; ++i)
          to[i - r0] = s.products_row(ty + i) + (sy - ty - i + p.radius) * window * lanes + b * W;
        if (sy >= 0 && sy < p.h) {
          use(b, sy, r0, r1, to);
          continue;
        }
        for (int i = 0; i < r1 - r0 && first; ++i)
          for (int j = 0; j < window; ++j) I::store(to[i] + j * lanes, I::zero());
      }
  }

  // Products of 16 pixels of one or two target rows with a source row.
  template <class Unit>
  void multiply_tiles(Unit& tiles, const S* target, const S* source, int rows, S* const* to,
                      Scratch& s) const {
    const int64_t row = lanes * depth, product_row = 16 * tile_pitch;
    for (int64_t x = 0; x < tile_pitch; x += 32) {
      const bool pair = x + 16 < tile_pitch;
      (rows == 2 ? pair ? tile_products<Unit, 2, 2> : tile_products<Unit, 2, 1>
       : pair    ? tile_products<Unit, 1, 2>
                 : tile_products<Unit, 1, 1>)(tiles, target, row, source + x, source_lanes, depth,
                                           s.tiles.get() + x, product_row, tile_pitch);
    }
    // Displacement j of pixel i is column i + j of the products.
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < window; j += W) {
        const S* from = s.tiles.get() + r * product_row + j;
        V band[W];
#pragma GCC unroll 16
        for (int i = 0; i < W; ++i) band[i] = I::load(from + i * (tile_pitch + 1));
        I::transpose(band);
        for (int k = 0; k < smaller(W, window - j); ++k) I::store(to[r] + (j + k) * lanes, band[k]);
      }
  }

  // Units u0 .. u0 + n - 1 of a target row, for blocks of W lanes: (blocks, units, block_rows, W), this row
  // of block_rows.
  void pack_target(const Map<I, T>& map, int64_t x0, int64_t y, int64_t u0, int64_t n, S* packed,
                   Scratch& s) const {
    S* squares = s.target_squares_row(y);
    if (u0 == 0)
      for (int64_t j = 0; j < lanes; j += W) I::store(squares + j, I::zero());
    for (int64_t u = 0; u < n; ++u, packed += block_rows * W) {
      S* to = packed;
      map.for_row(u0 + u, y, x0 - half, lanes, u0 + u + kAhead < units ? kAhead : 0, [&](int64_t j, V v) {
        I::store(to, v);
        I::store(squares + j, I::dot(v, v, I::load(squares + j)));
        to += chunk * block_rows * W;
      });
    }
  }

  // The first n lanes of the rows half a patch around y that are in the image, added up.
  template <class F>
  const S* sum_rows(int64_t y, int64_t n, const F& row, Scratch& s) const {
    S* box = s.box.get();
    for (int64_t j = 0; j < n; j += W) {
      V sum = I::zero();
      for (int64_t i = larger(0, y - half); i <= smaller(p.h - 1, y + half); ++i)
        sum = I::add(sum, I::load(row(i) + j));
      I::store(box + j, sum);
    }
    return box;
  }

  // Norms of W patches beside each other, from the squares of their columns on.
  V patch_norms(const S* squares) const {
    V sum = I::load(squares);
    for (int i = 1; i < p.patch; ++i) sum = I::add(sum, I::load(squares + i));
    return I::sqrt(I::max(I::fill(S(kNormFloor * kNormFloor)), sum));
  }

  // Norms of the source patches around row y, by which their scores are divided; NaN outside the image.
  void norm_row(int64_t x0, int64_t y, Scratch& s) const {
    S* norm = s.source_norm_row(y);
    if (p.norm == Norm::search || p.norm == Norm::cosine) {
      const S* box = sum_rows(y, source_lanes, [&](int64_t i) { return s.source_squares_row(i); }, s);
      // norm[j] belongs to lane j + half of the packed rows.
      for (int64_t j = 0; j < source_lanes; j += W) I::store(norm + j, patch_norms(box + j));
    } else {
      for (int64_t j = 0; j < source_lanes; j += W) I::store(norm + j, I::fill(1));
    }
    for (int64_t j = 0; j < source_lanes; ++j) {
      const int64_t x = x0 - p.radius + j;
      if (x < 0 || x >= p.w) norm[j] = S(__builtin_nan(""));
    }
    I::store(norm + source_lanes, I::fill(S(__builtin_nan(""))));
  }

  // Box sums and the best candidate of row y.
  void choose(int64_t image, int64_t x0, int64_t y, Scratch& s) const {
    const int64_t count = smaller(columns, p.w - x0);
    const int64_t top = larger(0, y - half), bottom = smaller(p.h - 1, y + half);
    const int64_t pitch = lanes + 2 * W;
    S* best = s.best.get();
    S* choice = s.choice.get();
    for (int64_t j = 0; j < count; j += W) {
      I::store(best + j, I::fill(S(-__builtin_inf())));
      I::store(choice + j, I::zero());
    }
    for (int64_t k0 = 0; k0 < candidates; k0 += kBatch) {
      const int n = int(smaller(kBatch, candidates - k0));
      const S* norm[kBatch];
      for (int k = 0; k < n; ++k) {
        const Step step = p.order[k0 + k];
        norm[k] = nullptr;
        if (y + step.dy < 0 || y + step.dy >= p.h) continue;
        norm[k] = s.source_norm_row(y + step.dy) + p.radius + step.dx;
        S* sums = s.sums.get() + k * pitch;
        const int64_t at = ((step.dy + p.radius) * window + step.dx + p.radius) * lanes;
        const S* first = s.products_row(top) + at;
        const S* second = s.products_row(smaller(top + 1, bottom)) + at;
        const S* third = s.products_row(smaller(top + 2, bottom)) + at;
        for (int64_t j = 0; j < lanes; j += W) {
          V sum = I::load(first + j);
          if (bottom > top) sum = I::add(sum, I::load(second + j));
          if (bottom > top + 1) sum = I::add(sum, I::load(third + j));
          for (int64_t i = top + 3; i <= bottom; ++i) sum = I::add(sum, I::load(s.products_row(i) + at + j));
          I::store(sums + j, sum);
        }
      }
      for (int64_t j = 0; j < count; j += W) {
        V b = I::load(best + j), c = I::load(choice + j);
        for (int k = 0; k < n; ++k) {
          if (!norm[k]) continue;
          const S* sums = s.sums.get() + k * pitch + j;
          V sum = I::load(sums);
          for (int i = 1; i < p.patch; ++i) sum = I::add(sum, I::load(sums + i));
          I::select_greater(I::div(sum, I::load(norm[k] + j)), S(k0 + k), b, c);
        }
        I::store(best + j, b);
        I::store(choice + j, c);
      }
    }
    if (p.norm == Norm::cosine || p.norm == Norm::paper) divide_by_target(y, count, s);

    const int64_t plane = p.h * p.w;
    int32_t* offset = p.offset + 2 * image * plane + y * p.w + x0;
    S* score = static_cast<S*>(p.score) + image * plane + y * p.w + x0;
    for (int64_t j = 0; j < count; ++j) {
      const Step step = p.order[int(choice[j])];
      offset[j] = step.dy;
      offset[plane + j] = step.dx;
      score[j] = best[j];
    }
  }

  void divide_by_target(int64_t y, int64_t count, Scratch& s) const {
    const S* box = sum_rows(y, lanes, [&](int64_t i) { return s.target_squares_row(i); }, s);
    S* best = s.best.get();
    for (int64_t j = 0; j < count; j += W)
      I::store(best + j, I::div(I::load(best + j), patch_norms(box + j)));
  }
};

template <class I, class T, class Tiles = void>
void match_shared(const MatchPlan& plan) {
  SharedMatch<I, T, Tiles> match(plan);
  parallel_for(0, match.rows(), match.grain(), SharedMatch<I, T, Tiles>::run, &match);
}

}  // namespace
}  // namespace apnt::cpu

// window_match with a window centre per pixel. Internal linkage, see elements.h.
//
// The target is cut into tiles, and a tile into boxes of pixels whose windows are centred alike: in
// progressive matching 2x2 pixels share a centre, and neighbours often have the same. A box of b x b pixels
// needs (b + patch - 1)**2 products per candidate. Windows lie anywhere, so the channels of a pixel are
// packed next to each other and a product is a sum over the lanes.
#pragma once

#include "cpu/window_match_pack.h"

namespace apnt::cpu {
namespace {

// Products of kPixels neighbours in a target row with the source pixels at X displacements of each:
// products[j * stride + i] = <target[i], source[i + j]>. Pixels have `depth` units, whole vectors.
template <class I, int X>
void centered_products(const typename I::Scalar* target, const typename I::Scalar* source, int64_t depth,
                       typename I::Scalar* products, int64_t stride) {
  using V = typename I::V;
  static_assert(I::kPixels == 4, "reduce() takes four");
  V acc[X][4];
#pragma GCC unroll 16
  for (int j = 0; j < X; ++j)
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) acc[j][i] = I::zero();
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
  I::reduce(acc, products, stride);
}

template <class I>
struct CenteredProducts {
  using S = typename I::Scalar;
  using Fn = void (*)(const S*, const S*, int64_t, S*, int64_t);

  template <int X = I::kDots>
  static Fn pick(int dots) {
    if (dots == X) return centered_products<I, X>;
    if constexpr (X > 1) return pick<X - 1>(dots);
    return nullptr;
  }
};

template <class I, class T>
class CenteredMatch {
  using S = typename I::Scalar;
  using V = typename I::V;
  using Kernel = CenteredProducts<I>;
  static constexpr int W = I::W;
  static constexpr int64_t kTileRows = 32, kTileCols = 256;  // at most
  static constexpr int64_t kProducts = 16384;  // of a box, held at a time: they fit the first caches

 public:
  explicit CenteredMatch(const MatchPlan& plan) : p(plan), half(p.patch / 2), window(2 * p.radius + 1) {
    candidates = int64_t(window) * window;
    groups = int(ceil_div(window, I::kDots));
    for (int j = 0; j < 2; ++j) {
      steps[j] = int(window / groups + (j == 0 && window % groups != 0));
      kernel[j] = Kernel::pick(steps[j]);
    }
    const int64_t most = kProducts / candidates;
    box_cols = 30;
    while (box_cols > 2 && round_up(box_cols + 2 * half, 4) * (2 + 2 * half) > most) box_cols -= 4;
    pitch = round_up(box_cols + 2 * half, 4);
    box_cols = pitch - 2 * half;
    box_rows = larger(2, smaller(kTileRows, most / pitch - 2 * half));
    // Wide tiles read long rows; small ones keep the copies of all threads well below a tenth of the
    // features.
    const int64_t depth = round_up(Map<I, T>::units(p.c), W);
    const int64_t features = 2 * p.n * Map<I, T>::units(p.c) * p.h * p.w / num_threads();
    tile_rows = kTileRows, tile_cols = kTileCols;
    while (tile_cols > 32 && tile_rows * tile_cols * depth > features / 64) tile_cols /= 2;
    if (tile_rows * tile_cols * depth > features / 64) tile_rows /= 2;
    tiles_y = ceil_div(p.h, tile_rows);
    tiles_x = ceil_div(p.w, tile_cols);
    most_source = larger(features / 20, 1 << 18);
  }

  int64_t tiles() const { return p.n * tiles_y * tiles_x; }

  static void run(int64_t begin, int64_t end, void* context) {
    const CenteredMatch& match = *static_cast<const CenteredMatch*>(context);
    Scratch scratch(match);
    const int64_t per_image = match.tiles_y * match.tiles_x;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t y = i % per_image / match.tiles_x * match.tile_rows,
                    x = i % match.tiles_x * match.tile_cols;
      const int64_t y1 = smaller(match.p.h, y + match.tile_rows),
                    x1 = smaller(match.p.w, x + match.tile_cols);
      match.tile({i / per_image, y, y1, x, x1}, scratch);
    }
  }

 private:
  const MatchPlan& p;
  int half, window, groups;
  int steps[2];  // displacements of the first group, of the others
  typename Kernel::Fn kernel[2];
  int64_t candidates, box_rows, box_cols, pitch, tile_rows, tile_cols, tiles_y, tiles_x;
  int64_t most_source;  // elements of a source region

  struct Tile {
    int64_t image, y0, y1, x0, x1;
    int64_t rows() const { return y1 - y0; }
    int64_t cols() const { return x1 - x0; }
  };

  // The source around the windows of a tile, with the norms of its patches: NaN outside the image.
  struct Source {
    Region<I> region;
    Buffer<S> norm;  // (rows, cols)
    const S* norm_at(int64_t y, int64_t x) const {
      return norm.get() + (y - region.y) * region.cols + x - region.x;
    }
  };

  struct Scratch {
    const CenteredMatch& m;
    Buffer<int32_t> center_y,
        center_x;  // (kTileRows, kTileCols), relative to the pixel, clamped to the image
    Buffer<bool> done;
    Region<I> target;
    Buffer<S> target_norm;
    Source source;
    Buffer<S> squares, sums, products, norms, best, choice;

    explicit Scratch(const CenteredMatch& match)
        : m(match),
          center_y(kTileRows * kTileCols),
          center_x(kTileRows * kTileCols),
          done(kTileRows * kTileCols),
          products(m.candidates * (m.box_rows + 2 * m.half) * m.pitch + (2 * m.half + 1) * (m.pitch + 1) + W),
          norms(m.window * (m.box_rows + 2 * m.p.radius) * m.pitch + W),
          best(m.box_rows * m.pitch + W),
          choice(m.box_rows * m.pitch + W) {}
  };

  void tile(const Tile& t, Scratch& s) const {
    clamp_centers(t, s);
    const Map<I, T> target(p.target, t.image, p);
    s.target.pack(target, t.y0 - half, t.x0 - half, t.rows() + 2 * half, t.cols() + 2 * half);
    if (p.norm == Norm::cosine || p.norm == Norm::paper) {
      s.target_norm.reserve(s.target.rows * s.target.cols + W);
      patch_norms(s.target, s.target_norm.get(), s);
    }
    __builtin_memset(s.done.get(), 0, size_t(kTileRows * kTileCols));
    part(t, t, s);
  }

  void clamp_centers(const Tile& t, Scratch& s) const {
    const int64_t plane = p.h * p.w;
    const int32_t* dy = p.center + 2 * t.image * plane;
    const int32_t* dx = dy + plane;
    for (int64_t y = t.y0; y < t.y1; ++y)
      for (int64_t x = t.x0; x < t.x1; ++x) {
        const int64_t at = (y - t.y0) * kTileCols + x - t.x0;
        s.center_y.get()[at] = int32_t(larger(0, smaller(p.h - 1, y + dy[y * p.w + x])) - y);
        s.center_x.get()[at] = int32_t(larger(0, smaller(p.w - 1, x + dx[y * p.w + x])) - x);
      }
  }

  // A part of the tile t: at once where its windows lie close together, else in halves, in the end box by
  // box.
  void part(const Tile& t, const Tile& q, Scratch& s) const {
    int64_t y0 = p.h, y1 = 0, x0 = p.w, x1 = 0;
    for (int64_t y = q.y0; y < q.y1; ++y)
      for (int64_t x = q.x0; x < q.x1; ++x) {
        const int64_t cy = y + s.center_y.get()[place(t, y, x)], cx = x + s.center_x.get()[place(t, y, x)];
        y0 = smaller(y0, cy), y1 = larger(y1, cy + 1), x0 = smaller(x0, cx), x1 = larger(x1, cx + 1);
      }
    const int64_t border = p.radius + half;
    const int64_t rows = y1 - y0 + 2 * border, cols = x1 - x0 + 2 * border;
    if (rows * cols * s.target.depth <= most_source) {
      pack_source(t.image, y0 - border, x0 - border, rows, cols, s);
      boxes(t, q, false, s);
    } else if (q.rows() * q.cols() > 256) {
      Tile first = q, second = q;
      if (q.rows() > q.cols()) {
        first.y1 = second.y0 = q.y0 + q.rows() / 4 * 2;
      } else {
        first.x1 = second.x0 = q.x0 + q.cols() / 4 * 2;
      }
      part(t, first, s);
      part(t, second, s);
    } else {
      boxes(t, q, true, s);
    }
  }

  static int64_t place(const Tile& t, int64_t y, int64_t x) { return (y - t.y0) * kTileCols + x - t.x0; }

  void pack_source(int64_t image, int64_t y, int64_t x, int64_t rows, int64_t cols, Scratch& s) const {
    s.source.region.pack(Map<I, T>(p.source, image, p), y, x, rows, cols);
    const int64_t count = rows * cols;
    s.source.norm.reserve(count + pitch + W);
    S* norm = s.source.norm.get();
    if (p.norm == Norm::search || p.norm == Norm::cosine) {
      patch_norms(s.source.region, norm, s);
    } else {
      for (int64_t i = 0; i < count; ++i) norm[i] = 1;
    }
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < cols; ++j)
        if (y + i < 0 || y + i >= p.h || x + j < 0 || x + j >= p.w) norm[i * cols + j] = S(__builtin_nan(""));
  }

  // Norms of the patches around those pixels of a region whose patch lies in the region.
  void patch_norms(const Region<I>& r, S* norm, Scratch& s) const {
    const int64_t count = r.rows * r.cols;
    s.squares.reserve(count + 4 + W);
    s.sums.reserve(r.cols + p.patch + 2 * W);
    S* squares = s.squares.get();
    S* sums = s.sums.get();
    for (int64_t i = 0; i < count; i += 4) {
      V acc[1][4] = {{I::zero(), I::zero(), I::zero(), I::zero()}};
      const S* from = r.data.get() + i * r.depth;
      for (int64_t u = 0; u < r.depth; u += W)
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
          const V v = I::load(from + k * r.depth + u);
          acc[0][k] = I::dot(v, v, acc[0][k]);
        }
      I::reduce(acc, squares + i, 0);
    }
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

  // The pixels of q in boxes with one centre. alone: the source around each is packed for it.
  void boxes(const Tile& t, const Tile& q, bool alone, Scratch& s) const {
    for (int64_t y = q.y0; y < q.y1; ++y)
      for (int64_t x = q.x0; x < q.x1;) {
        const int64_t at = place(t, y, x);
        if (s.done.get()[at]) {
          ++x;
          continue;
        }
        const int32_t cy = s.center_y.get()[at], cx = s.center_x.get()[at];
        const auto joins = [&](int64_t from, int64_t n) {
          for (int64_t i = from; i < from + n; ++i)
            if (s.done.get()[i] || s.center_y.get()[i] != cy || s.center_x.get()[i] != cx) return false;
          return true;
        };
        int64_t cols = 1, rows = 1;
        while (cols < box_cols && x + cols < q.x1 && joins(at + cols, 1)) ++cols;
        while (rows < box_rows && y + rows < q.y1 && joins(at + rows * kTileCols, cols)) ++rows;
        for (int64_t i = 0; i < rows; ++i)
          for (int64_t j = 0; j < cols; ++j) s.done.get()[at + i * kTileCols + j] = true;
        const Tile box{t.image, y, y + rows, x, x + cols};
        const int64_t border = p.radius + half;
        if (alone)
          pack_source(t.image, y + cy - border, x + cx - border, rows + 2 * border, cols + 2 * border, s);
        match_box(box, cy, cx, s);
        x += cols;
      }
  }

  // Products and norms of a box are laid out in rows of `pitch` elements, so that a vector may span rows.
  void match_box(const Tile& box, int32_t cy, int32_t cx, Scratch& s) const {
    const int64_t rows = box.rows() + 2 * half, width = round_up(box.cols() + 2 * half, 4);
    const int64_t depth = s.target.depth, plane = rows * width;
    // (candidates in raster order, rows, width)
    S* products = s.products.get();
    for (int64_t i = 0; i < rows; ++i)
      for (int dy = 0; dy < window; ++dy) {
        const S* target = s.target.at(box.y0 - half + i, box.x0 - half);
        const S* source =
            s.source.region.at(box.y0 - half + i + cy + dy - p.radius, box.x0 - half + cx - p.radius);
        for (int64_t j = 0; j < width; j += 4) {
          S* to = products + dy * window * plane + i * width + j;
          int done = 0;
          for (int g = 0; g < groups; ++g) {
            const int size = (window - done) / (groups - g) == steps[1] ? 1 : 0;
            kernel[size](target + j * depth, source + (j + done) * depth, depth, to + done * plane, plane);
            done += steps[size];
          }
        }
      }
    // (dx, rows, width): what the scores at that dx are divided by.
    const int64_t norm_rows = box.rows() + 2 * p.radius;
    S* norms = s.norms.get();
    for (int dx = 0; dx < window; ++dx)
      for (int64_t i = 0; i < norm_rows; ++i) {
        const S* from = s.source.norm_at(box.y0 + cy - p.radius + i, box.x0 + cx - p.radius + dx);
        for (int64_t j = 0; j < width; j += 4)
          __builtin_memcpy(norms + (dx * norm_rows + i) * width + j, from + j, 4 * sizeof(S));
      }
    if (p.patch == 3) {
      choose<3>(box.rows(), width, s);
    } else {
      choose<0>(box.rows(), width, s);
    }
    write(box, cy, cx, width, s);
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
        I::keep_greater(I::div(sum, norm), S(k), best, choice);
      }
      I::store(s.best.get() + j, best);
      I::store(s.choice.get() + j, choice);
    }
  }

  void write(const Tile& box, int32_t cy, int32_t cx, int64_t width, Scratch& s) const {
    const int64_t plane = p.h * p.w;
    const bool divide = p.norm == Norm::cosine || p.norm == Norm::paper;
    for (int64_t y = box.y0; y < box.y1; ++y)
      for (int64_t x = box.x0; x < box.x1; ++x) {
        const int64_t at = (y - box.y0) * width + x - box.x0;
        const Step step = p.order[int(s.choice.get()[at])];
        int32_t* offset = p.offset + 2 * box.image * plane + y * p.w + x;
        offset[0] = cy + step.dy;
        offset[plane] = cx + step.dx;
        S score = s.best.get()[at];
        if (divide) score /= s.target_norm.get()[(y - s.target.y) * s.target.cols + x - s.target.x];
        static_cast<S*>(p.score)[box.image * plane + y * p.w + x] = score;
      }
  }
};

template <class I, class T>
void match_centered(const MatchPlan& plan) {
  CenteredMatch<I, T> match(plan);
  parallel_for(0, match.tiles(), 1, CenteredMatch<I, T>::run, &match);
}

}  // namespace
}  // namespace apnt::cpu

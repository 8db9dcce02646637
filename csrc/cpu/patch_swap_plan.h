// The addresses that patch_swap and its transpose read and write in a tile. All channels share them.
//
// A near pixel x has the far pixels x + offset[x - o], one for every o of the patch. The op averages the far
// pixels; its transpose adds the near pixel to them. Far pixels are stored in a ring of rows, with the
// channels of a pixel together, so a patch is described by the position of its centre in the ring: from
// there, o is the same step everywhere. With growing y the far rows grow too, and a row of the ring is reused
// as soon as no patch reaches the old one. Patches that lead out of the image have a position in the ring
// that holds zeros.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "common/growing_array.h"

namespace apnt::cpu {
namespace {

constexpr int kBlock = 16;  // pixels of a row that are handled together

// The number of int32 in a register.
#ifdef __AVX512F__
constexpr int kInts = 16;
#elif defined(__AVX2__)
constexpr int kInts = 8;
#else
constexpr int kInts = 4;
#endif
using Ints = int32_t __attribute__((vector_size(4 * kInts)));
using Unsigned = uint32_t __attribute__((vector_size(4 * kInts)));

inline Ints load(const int32_t* from) {
  Ints v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
inline Unsigned load_unsigned(const int32_t* from) { return reinterpret_cast<Unsigned>(load(from)); }
template <class T, class V>
void store(T* to, V v) {
  static_assert(sizeof(T) * kInts == sizeof v);
  std::memcpy(to, &v, sizeof v);
}
inline Unsigned lane_numbers() {
  Unsigned lanes;
  for (int l = 0; l < kInts; ++l) lanes[l] = l;
  return lanes;
}
inline Ints either(Ints mask, Ints a, int32_t b) { return (mask & a) | (~mask & (Ints{} + b)); }

inline int64_t blocks_down(int64_t x) { return (x >= 0 ? x : x - kBlock + 1) / kBlock * kBlock; }
inline int64_t blocks_up(int64_t x) { return blocks_down(x + kBlock - 1); }

struct Field {
  const int32_t *dy, *dx;  // (H, W)
  int64_t h, w;
  int64_t half_y, half_x;  // of a patch, less than the image's size
};

struct Region {
  int64_t y0, y1, x0, x1;

  int64_t rows() const { return y1 - y0; }
  int64_t columns() const { return x1 - x0; }
};

// Smallest and largest offsets of the patches whose destination is at least partly inside the image.
struct Steps {
  int32_t low_y = INT32_MAX, high_y = INT32_MIN, low_x = INT32_MAX, high_x = INT32_MIN;

  void add(const Steps& other) {
    low_y = std::min(low_y, other.low_y);
    high_y = std::max(high_y, other.high_y);
    low_x = std::min(low_x, other.low_x);
    high_x = std::max(high_x, other.high_x);
  }

  // Row y of the field.
  void add(const Field& field, int64_t y) {
    const int32_t *dy = field.dy + y * field.w, *dx = field.dx + y * field.w;
    // Unsigned sums: a negative or an overflowing position is a large number, so one comparison finds both.
    const uint32_t above = y + field.half_y, before = field.half_x;
    const uint32_t rows = field.h + 2 * field.half_y, columns = field.w + 2 * field.half_x;
    int64_t x = 0;
    if (field.w >= kInts) {
      Ints min_y = Ints{} + low_y, max_y = Ints{} + high_y, min_x = Ints{} + low_x, max_x = Ints{} + high_x;
      for (; x + kInts <= field.w; x += kInts) {
        const Ints step_y = load(dy + x), step_x = load(dx + x);
        const Unsigned row = reinterpret_cast<Unsigned>(step_y) + above;
        const Unsigned column =
            reinterpret_cast<Unsigned>(step_x) + lane_numbers() + (before + static_cast<uint32_t>(x));
        const Ints inside = reinterpret_cast<Ints>(row < rows) & reinterpret_cast<Ints>(column < columns);
        const Ints small_y = either(inside, step_y, INT32_MAX), large_y = either(inside, step_y, INT32_MIN);
        const Ints small_x = either(inside, step_x, INT32_MAX), large_x = either(inside, step_x, INT32_MIN);
        min_y = small_y < min_y ? small_y : min_y;
        max_y = large_y > max_y ? large_y : max_y;
        min_x = small_x < min_x ? small_x : min_x;
        max_x = large_x > max_x ? large_x : max_x;
      }
      for (int l = 0; l < kInts; ++l) add({min_y[l], max_y[l], min_x[l], max_x[l]});
    }
    for (; x < field.w; ++x) {
      const uint32_t row = above + static_cast<uint32_t>(dy[x]);
      const uint32_t column = before + static_cast<uint32_t>(x) + static_cast<uint32_t>(dx[x]);
      if (row < rows && column < columns) add({dy[x], dy[x], dx[x], dx[x]});
    }
  }
};

// The layout of the far pixels: rows of `stride` pixels, the first `zeros` of them for patches that lead out
// of the image. A patch extends half_y rows up and down from its centre, so the first and the last rows are
// stored twice.
struct Ring {
  int64_t rows = 0, half_y = 0;  // rows without the second copies
  int64_t left = 0, right = 0;   // far columns, some of them outside the image; a multiple of kBlock
  int64_t zeros = 0, stride = 0;

  int64_t pixels() const { return (rows + 2 * half_y) * stride; }
  int64_t nowhere() const { return half_y * stride + zeros / 2; }
  // The ring's row for row y of the image, or of up to two halves of a patch around it. It is the same for
  // all tiles, and so is the order of the additions.
  int64_t slot(int64_t y) const { return (y + 2 * half_y) % rows; }
  int64_t cell(int64_t slot, int64_t x) const { return (slot + half_y) * stride + zeros + x - left; }
  // The distance of a row's second copy in rows, 0 if there is none.
  int64_t twin(int64_t slot) const { return slot < half_y ? rows : slot >= rows - half_y ? -rows : 0; }
};

// For offsets within `steps`, for near columns [x0, x1) or for far columns [x0, x1).
inline Ring make_ring(const Field& field, const Steps& steps, int64_t x0, int64_t x1, bool transposed) {
  Ring ring;
  ring.half_y = field.half_y;
  // A row of pixels reads one row for an offset; a row of patches writes as many as a patch has.
  const int64_t reach = int64_t{steps.high_y} - steps.low_y + (transposed ? 2 * field.half_y : 0);
  ring.rows = std::min(std::max(reach, 2 * field.half_y) + 1, field.h + 4 * field.half_y);
  const int64_t margin = 2 * field.half_x;
  ring.left = blocks_down(transposed ? x0 - margin : std::max(-margin, x0 + steps.low_x));
  const int64_t right = transposed ? x1 + margin : std::min(field.w + margin, blocks_up(x1) + steps.high_x);
  ring.right = std::max(ring.left, ring.left + blocks_up(right - ring.left));
  ring.zeros = margin + 1;
  ring.stride = ring.zeros + ring.right - ring.left;
  return ring;
}

// Neighbouring patches of a row with one offset.
struct Run {
  int32_t x, length;
  uint32_t place;  // of the first one: the ring's element of its centre
};

// A block of near pixels.
enum : int32_t {
  kMoved = -1,    // the op: all patches around it have one offset
  kFull = -2,     // all far pixels are inside the image
  kNothing = -3,  // the transpose: none is in the tile
};  // otherwise the index of its counts

class Plan {
 public:
  Region near{};  // near pixels; the first column is a multiple of a block
  Ring ring;
  int64_t blocks = 0;            // in a near row
  int32_t full = 0;              // far pixels of a near pixel if all are inside the image
  GrowingArray<int32_t> kinds;   // (near rows, blocks)
  GrowingArray<int32_t> counts;  // (index, kBlock): the number of a near pixel's far pixels that are inside

  const int32_t* kind(int64_t y) const { return kinds.data() + (y - near.y0) * blocks; }

  // The op: the ring's elements of the patches around (y, x), from the upper left one on, in rows of
  // stride().
  const uint32_t* places(int64_t y, int64_t x) const {
    return places_.data() + (y - near.y0) * stride_ + x - near.x0;
  }
  int64_t stride() const { return stride_; }

  // The transpose: the patches of a row that lead into the tile; y is in the image, at most half_y beside
  // `near`.
  const Run* runs(int64_t y) const { return runs_.data() + run_end_[y - near.y0 + field_.half_y]; }
  const Run* runs_end(int64_t y) const { return runs(y + 1); }

  // tile: pixels of the result. lanes: channels in a pixel of the ring.
  void build(const Field& field, const Steps& steps, const Region& tile, bool transposed, int lanes) {
    field_ = field;
    ring = make_ring(field, steps, tile.x0, tile.x1, transposed);
    near = tile;
    low_y_ = steps.low_y;
    high_y_ = steps.high_y;
    far_ = {0, field.h, 0, field.w};
    if (transposed) {
      far_ = tile;
      near.y0 = std::max<int64_t>(0, tile.y0 - steps.high_y);
      near.y1 = std::max(near.y0, std::min(field.h, tile.y1 - steps.low_y));
      near.x0 = blocks_down(std::max<int64_t>(0, tile.x0 - steps.high_x));
      near.x1 = std::max(near.x0, std::min(field.w, tile.x1 - steps.low_x));
    }
    blocks = (near.columns() + kBlock - 1) / kBlock;
    stride_ = blocks * kBlock + 2 * field.half_x;
    nowhere_ = static_cast<uint32_t>(ring.nowhere() * lanes);
    const int64_t around = near.rows() + 2 * field.half_y;
    places_.resize((transposed ? 1 : around) * stride_ + kInts);
    runs_.clear();
    run_end_.clear();
    run_end_.push(0);
    kinds.resize(near.rows() * blocks + 1);
    full = static_cast<int32_t>((2 * field.half_y + 1) * (2 * field.half_x + 1));
    counts.clear();
    for (int64_t i = 0; i < near.rows() * blocks; ++i) kinds[i] = whole() ? kFull : kNothing;
    rows_.resize((2 * field.half_y + 1) * 2 * padded());
    for (int64_t i = 0; i < around; ++i) {
      const int64_t y = near.y0 - field.half_y + i;
      pad(y);
      place(y, lanes, places_.data() + (transposed ? 0 : i * stride_));
      if (transposed) list_runs(y, lanes);
      if (i < 2 * field.half_y) continue;
      for (int64_t b = 0; b < blocks; ++b) {
        int32_t& kind = kinds[(i - 2 * field.half_y) * blocks + b];
        if (kind == kNothing) continue;
        kind = !transposed && moved(y - field.half_y, near.x0 + b * kBlock) ? kMoved
                                                                            : number(y - field.half_y, b);
      }
    }
    summed_.resize(near.rows() + 1);
    summed_[0] = 0;
    for (int64_t y = 0; y < near.rows(); ++y) {
      int32_t moved = 1;
      for (int64_t b = 0; b < blocks; ++b) moved &= kinds[y * blocks + b] == kMoved;
      summed_[y + 1] = summed_[y] + 1 - moved;
    }
  }

  // Whether the op sums pixels of the far row y.
  bool reads(int64_t y) const {
    const int64_t first = std::clamp<int64_t>(y - high_y_ - near.y0, 0, near.rows());
    const int64_t end = std::clamp<int64_t>(y - low_y_ + 1 - near.y0, 0, near.rows());
    return first < end && summed_[first] < summed_[end];
  }

 private:
  int64_t padded() const { return stride_ + kInts; }
  bool whole() const { return far_.rows() == field_.h && far_.columns() == field_.w; }

  // Copies the offsets of row y; patches whose centre is outside the image get an offset that leads out of
  // it.
  int32_t* row(int64_t y) {
    const int64_t window = 2 * field_.half_y + 1;
    return rows_.data() + (y - near.y0 + field_.half_y) % window * 2 * padded();
  }

  void pad(int64_t y) {
    int32_t *const dy = row(y), *const dx = dy + padded();
    const int64_t first = near.x0 - field_.half_x;
    const bool inside = y >= 0 && y < field_.h;
    const int64_t begin = inside ? std::max<int64_t>(0, first) : first + padded();
    const int64_t end = inside ? std::min(field_.w, first + stride_) : begin;
    for (int64_t x = first; x < begin; ++x) dy[x - first] = dx[x - first] = INT32_MAX;
    for (int64_t x = end; x < first + padded(); ++x) dy[x - first] = dx[x - first] = INT32_MAX;
    if (end <= begin) return;
    std::memcpy(dy + begin - first, field_.dy + y * field_.w + begin, (end - begin) * sizeof *dy);
    std::memcpy(dx + begin - first, field_.dx + y * field_.w + begin, (end - begin) * sizeof *dx);
  }

  // A multiple of the ring's rows. The rows that patches of row y lead to, minus this, are less than twice
  // the number of the ring's rows.
  int64_t whole_rings(int64_t y) const {
    return std::max<int64_t>(0, y + low_y_ + 2 * field_.half_y) / ring.rows * ring.rows;
  }

  // Computes the positions of row y.
  void place(int64_t y, int lanes, uint32_t* to) {
    const int32_t *const dy = row(y), *const dx = dy + padded();
    // Unsigned sums: a negative or an overflowing position is a large number, so one comparison finds both.
    const uint32_t above = y - far_.y0 + field_.half_y, tall = far_.rows() + 2 * field_.half_y;
    const uint32_t before = near.x0 - far_.x0, wide = far_.columns() + 2 * field_.half_x;
    const uint32_t below = far_.y0 + field_.half_y - whole_rings(y), rows = ring.rows;
    const uint32_t aside = far_.x0 - field_.half_x - ring.left + ring.zeros, stride = ring.stride;
    const uint32_t top = field_.half_y, scale = lanes, none = nowhere_;
    for (int64_t i = 0; i < stride_; i += kInts) {
      const Unsigned at_y = load_unsigned(dy + i) + above;
      const Unsigned at_x = load_unsigned(dx + i) + lane_numbers() + (before + static_cast<uint32_t>(i));
      const Unsigned inside = reinterpret_cast<Unsigned>((at_y < tall) & (at_x < wide));
      Unsigned slot = at_y + below;
      slot -= reinterpret_cast<Unsigned>(slot >= rows) & rows;
      const Unsigned place = ((slot + top) * stride + at_x + aside) * scale;
      store(to + i, (place & inside) | (~inside & none));
    }
  }

  // Lists the patches of row y, and marks the blocks that they contain.
  void list_runs(int64_t y, int lanes) {
    const uint32_t* const place = places_.data();
    const int32_t left = static_cast<int32_t>(near.x0 - field_.half_x), n = static_cast<int32_t>(stride_);
    places_[n] = nowhere_;
    Run* next = runs_.make_room(n + 1);
    const Run* const begin = next;
    // Without branches, because the ends of runs are unpredictable.
    for (int32_t i = 0, first = 0; i < n; ++i) {
      const bool last = place[i + 1] != place[i] + lanes;
      *next = {left + first, i + 1 - first, place[first]};
      next += last & (place[i] != nowhere_);
      first = last ? i + 1 : first;
    }
    runs_.advance(next - begin);
    run_end_.push(runs_.size());
    if (whole()) return;
    for (const Run* run = begin; run < next; ++run) {
      const int64_t x = run->x - near.x0, half = field_.half_x;
      const int64_t to = std::min((x + run->length - 1 + half) / kBlock, blocks - 1);
      for (int64_t o = -field_.half_y; o <= field_.half_y; ++o) {
        if (y + o < near.y0 || y + o >= near.y1) continue;
        for (int64_t b = std::max<int64_t>(0, x - half) / kBlock; b <= to; ++b) {
          kinds[(y + o - near.y0) * blocks + b] = kFull;
        }
      }
    }
  }

  // kFull, or the number of the counts of block b of row y.
  int32_t number(int64_t y, int64_t b) {
    const int64_t width = 2 * field_.half_x + 1;
    int32_t* const count = counts.make_room(kBlock);
    const uint32_t top = y, tall = field_.h, wide = field_.w;
    Ints differ{};
    for (int l = 0; l < kBlock; l += kInts) {
      const Unsigned column = lane_numbers() + static_cast<uint32_t>(near.x0 + b * kBlock + l);
      Ints sum{};
      for (int64_t i = -field_.half_y; i <= field_.half_y; ++i) {
        const int32_t *const dy = row(y + i) + b * kBlock + l, *const dx = dy + padded();
        for (int64_t j = 0; j < width; ++j) {
          const Unsigned at_y = load_unsigned(dy + j) + top, at_x = load_unsigned(dx + j) + column;
          sum -= reinterpret_cast<Ints>((at_y < tall) & (at_x < wide));
        }
      }
      store(count + l, sum);
      differ |= reinterpret_cast<Ints>(sum != full) & reinterpret_cast<Ints>(column < wide);
    }
    int32_t any = 0;
    for (int l = 0; l < kInts; ++l) any |= differ[l];
    if (any == 0) return kFull;
    counts.advance(kBlock);
    return static_cast<int32_t>(counts.size() / kBlock - 1);
  }

  // Whether all patches around the block at (y, x) have one offset.
  bool moved(int64_t y, int64_t x) const {
    const int64_t begin = std::max<int64_t>(0, x - field_.half_x);
    const int64_t end = std::min(field_.w, x + kBlock + field_.half_x);
    const int32_t first_y = field_.dy[y * field_.w + x], first_x = field_.dx[y * field_.w + x];
    for (int64_t k = std::max<int64_t>(0, y - field_.half_y); k <= std::min(field_.h - 1, y + field_.half_y);
         ++k) {
      const int32_t *dy = field_.dy + k * field_.w, *dx = field_.dx + k * field_.w;
      int32_t differ = 0;
      for (int64_t i = begin; i < end; ++i) differ |= (dy[i] ^ first_y) | (dx[i] ^ first_x);
      if (differ != 0) return false;
    }
    return true;
  }

  Field field_{};
  Region far_{};  // a patch counts if it overlaps this: the image, or the tile of the transpose
  int64_t stride_ = 0, low_y_ = 0, high_y_ = 0;
  uint32_t nowhere_ = 0;
  GrowingArray<uint32_t> places_;  // (patch rows, stride); the transpose: of one row
  GrowingArray<Run> runs_;
  GrowingArray<int64_t> run_end_;
  GrowingArray<int32_t> rows_;    // (patch, 2, padded): offsets of the last rows
  GrowingArray<int32_t> summed_;  // (near rows + 1): the number of earlier rows with blocks that are summed
};

}  // namespace
}  // namespace apnt::cpu

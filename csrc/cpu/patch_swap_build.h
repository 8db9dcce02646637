// Makes the plans of patch_swap_plan.h from an offset field: Forward for the op, Transposed for its gradient.
#pragma once

#include <algorithm>

#include "cpu/patch_swap_plan.h"

namespace apnt::cpu {
namespace {

// As many int32 as a register has.
#ifdef __AVX512F__
constexpr int kInts = 16;
#elif defined(__AVX2__)
constexpr int kInts = 8;
#else
constexpr int kInts = 4;
#endif
using Ints = int32_t __attribute__((vector_size(4 * kInts)));
using Unsigned = uint32_t __attribute__((vector_size(4 * kInts)));
using Shorts = uint16_t __attribute__((vector_size(2 * kInts)));

template <class V, class T>
V load(const T* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline bool any(Ints mask) {
  int32_t all = 0;
  for (int l = 0; l < kInts; ++l) all |= mask[l];
  return all != 0;
}
inline Ints either(Ints mask, Ints a, int32_t b) { return (mask & a) | (~mask & (Ints{} + b)); }
inline Ints smaller(Ints a, Ints b) { return a < b ? a : b; }
inline Ints larger(Ints a, Ints b) { return a > b ? a : b; }

template <class V, class T>
void store(T* to, V v) {
  std::memcpy(to, &v, sizeof v);
}

struct Field {
  const int32_t *dy, *dx;  // (H, W)
  int64_t h, w;
  int patch;

  int half() const { return patch / 2; }
};

struct Tile {
  int64_t y0, y1, x0, x1;  // x0 is a multiple of kBlock, and so is x1 unless it is the width
};

// Part of the image, or of what lies around it.
struct Window {
  int64_t top, left, rows, columns;
};

inline Unsigned lane_numbers() {
  Unsigned lanes;
  for (int l = 0; l < kInts; ++l) lanes[l] = l;
  return lanes;
}

// Smallest and largest steps of the vectors that end in a window.
struct Steps {
  int32_t low_y = INT32_MAX, high_y = INT32_MIN, low_x = INT32_MAX, high_x = INT32_MIN;

  bool none() const { return low_y > high_y; }

  // Vectors of the pixels [begin, end) of row y.
  void add(const Field& field, int64_t y, int64_t begin, int64_t end, const Window& window) {
    const int32_t *dy = field.dy + y * field.w, *dx = field.dx + y * field.w;
    // Unsigned sums: a negative or an overflowing place is a large number, so one comparison finds both.
    const uint32_t above = y - window.top, before = -window.left, rows = window.rows,
                   columns = window.columns;
    int64_t x = begin;
    if (end - begin >= kInts) {
      const Unsigned lanes = lane_numbers();
      Ints min_y = Ints{} + low_y, max_y = Ints{} + high_y, min_x = Ints{} + low_x, max_x = Ints{} + high_x;
      for (; x + kInts <= end; x += kInts) {
        const Ints step_y = load<Ints>(dy + x), step_x = load<Ints>(dx + x);
        const Unsigned row = reinterpret_cast<Unsigned>(step_y) + above;
        const Unsigned column =
            reinterpret_cast<Unsigned>(step_x) + lanes + (before + static_cast<uint32_t>(x));
        const Ints inside = reinterpret_cast<Ints>(row < rows) & reinterpret_cast<Ints>(column < columns);
        min_y = smaller(min_y, either(inside, step_y, INT32_MAX));
        max_y = larger(max_y, either(inside, step_y, INT32_MIN));
        min_x = smaller(min_x, either(inside, step_x, INT32_MAX));
        max_x = larger(max_x, either(inside, step_x, INT32_MIN));
      }
      for (int l = 0; l < kInts; ++l) {
        low_y = std::min<int32_t>(low_y, min_y[l]);
        high_y = std::max<int32_t>(high_y, max_y[l]);
        low_x = std::min<int32_t>(low_x, min_x[l]);
        high_x = std::max<int32_t>(high_x, max_x[l]);
      }
    }
    for (; x < end; ++x) {
      const uint32_t row = above + static_cast<uint32_t>(dy[x]);
      const uint32_t column = before + static_cast<uint32_t>(x) + static_cast<uint32_t>(dx[x]);
      if (row >= rows || column >= columns) continue;
      low_y = std::min(low_y, dy[x]);
      high_y = std::max(high_y, dy[x]);
      low_x = std::min(low_x, dx[x]);
      high_x = std::max(high_x, dx[x]);
    }
  }
};

// out[x] = mean over o of in[x + offset[x - o]].
class Forward {
 public:
  static constexpr bool kWhole = false;  // a tile's rows may be planned and carried out in parts

  explicit Forward(const Field& field) : field_(field) {}

  // False: the tile reads too far apart for the ring; if it is final it can be planned all the same.
  bool begin(const Tile& tile, bool final, Plan&) {
    const int64_t h = field_.h, w = field_.w;
    const int half = field_.half();
    tile_ = tile;
    left_ = std::max<int64_t>(0, tile.x0 - half);
    const int64_t right = std::min(w, tile.x1 + half);

    // Patches that lie inside in part.
    const Window around{-half, -half, h + 2 * half, w + 2 * half};
    Steps steps;
    for (int64_t y = std::max<int64_t>(0, tile.y0 - half); y < std::min(h, tile.y1 + half); ++y) {
      steps.add(field_, y, left_, right, around);
    }
    if (steps.none()) steps = {0, 0, 0, 0};
    ring_.set(w, steps.low_y, steps.high_y, std::clamp<int64_t>(tile.x0 + steps.low_x, 0, w - 1),
              std::clamp<int64_t>(tile.x1 - 1 + steps.high_x, 0, w - 1));
    if (!ring_.fits && !final) return false;
    coherence_.begin(tile.y0, tile.y1, right - left_, half,
                     [this](int64_t y, const int32_t*& a, const int32_t*& b) {
                       if (y < 0 || y >= field_.h) return false;
                       a = field_.dy + y * field_.w + left_;
                       b = field_.dx + y * field_.w + left_;
                       return true;
                     });
    return ring_.fits;
  }

  int64_t slots() const { return ring_.slots(); }

  // What was packed is not there any more.
  void forget() { ring_.forget(); }

  void row(int64_t y, Plan& plan) {
    const uint8_t* const marks = coherence_.row(y) - left_;
    for (int64_t x = tile_.x0; x < tile_.x1; x += kBlock) {
      const int64_t end = std::min(x + kBlock, tile_.x1);
      if (all_marked(marks + x) && (field_.patch > 1 || uniform(y, x, end))) {
        move(y, x, end, plan);
      } else {
        examine(y, x, end - x, plan);
      }
    }
    ring_.pack(y, plan);
    plan.end_row();
  }

 private:
  bool uniform(int64_t y, int64_t x, int64_t end) const {
    const int32_t *dy = field_.dy + y * field_.w, *dx = field_.dx + y * field_.w;
    for (int64_t i = x + 1; i < end; ++i) {
      if (dy[i] != dy[x] || dx[i] != dx[x]) return false;
    }
    return true;
  }

  // Pixels that share one offset: what they read lies side by side, as far as it is inside.
  void move(int64_t y, int64_t x, int64_t end, Plan& plan) const {
    const int64_t dy = field_.dy[y * field_.w + x], dx = field_.dx[y * field_.w + x];
    int64_t first = std::max(x, -dx), last = std::min(end, field_.w - dx);
    if (y + dy < 0 || y + dy >= field_.h || first >= last) first = last = end;
    if (x < first) plan.copy(x, first - x, kZeros);
    if (first < last) plan.copy(first, last - first, (y + dy) * field_.w + first + dx);
    if (last < end) plan.copy(last, end - last, kZeros);
  }

  // What is known of kBlock pixels.
  struct Lanes {
    alignas(64) int32_t count[kBlock];     // reads
    alignas(64) uint32_t lowest[kBlock];   // place that is read; UINT32_MAX if there is none
    alignas(64) uint32_t highest[kBlock];  // 0 if there is none
  };

  // Pixels of any kind.
  void examine(int64_t y, int64_t x, int64_t length, Plan& plan) {
    const int patch = field_.patch, half = patch / 2, number = patch * patch;
    // Where the offsets stand of the patches that reach row y, beginning with the one at x - half.
    rows_.resize(2 * patch);
    const bool inner = x - half >= 0 && x + kBlock + half <= field_.w;
    const int64_t span = kBlock + 2 * half;
    if (!inner) border_.resize(2 * patch * span);
    for (int i = 0; i < patch; ++i) {
      const int64_t ky = y + half - i, at = ky * field_.w + x - half;
      rows_[2 * i] = rows_[2 * i + 1] = nullptr;
      if (ky < 0 || ky >= field_.h) continue;
      rows_[2 * i] = field_.dy + at;
      rows_[2 * i + 1] = field_.dx + at;
      if (inner) continue;
      int32_t *const dy = border_.data() + 2 * i * span, *const dx = dy + span;
      for (int64_t l = 0; l < span; ++l) {
        const bool inside = x - half + l >= 0 && x - half + l < field_.w;
        dy[l] = inside ? rows_[2 * i][l] : INT32_MAX;  // from any row this leads out of the image
        dx[l] = inside ? rows_[2 * i + 1][l] : INT32_MAX;
      }
      rows_[2 * i] = dy;
      rows_[2 * i + 1] = dx;
    }

    Lanes lanes;
    if (!ring_.fits) {
      int32_t* const places = direct_.reserve(number * kBlock);
      for (int l = 0; l < kBlock; l += kInts) locate<false>(y, x, l, length, places + l, lanes);
      return sum_directly(x, length, lanes, plan);
    }
    uint16_t* const places = plan.reads.reserve(number * kBlock);
    for (int l = 0; l < kBlock; l += kInts) locate<true>(y, x, l, length, places + l, lanes);
    uint8_t* const wanted = ring_.wanted();
    for (int i = 0; i < number; ++i) {
      for (int l = 0; l < kBlock; ++l) wanted[places[i * kBlock + l] / kBlock] = 1;
    }
    // Where all reads are the same one of them is enough, and exact.
    uint16_t differ[kBlock];
    int32_t most = 0, same_lanes = 0;
    for (int l = 0; l < kBlock; ++l) {
      const bool same = lanes.lowest[l] == lanes.highest[l];
      most = std::max(most, lanes.count[l]);
      same_lanes += same;
      differ[l] = same ? 0 : 0xffff;
      lanes.count[l] = same ? 1 : lanes.count[l];
    }
    if (most == 0) return plan.copy(x, length, kZeros);
    if (same_lanes > 0) {
      for (int i = 0; i < number; ++i) {
        for (int l = 0; l < kBlock; ++l) places[i * kBlock + l] &= differ[l];
      }
      for (int l = 0; l < kBlock; ++l) places[l] |= static_cast<uint16_t>(~differ[l] & lanes.highest[l]);
    }
    plan.blocks.push({static_cast<int32_t>(x), number, plan.reads.size()});
    plan.reads.advance(number * kBlock);
    std::memcpy(plan.counts.reserve(kBlock), lanes.count, sizeof lanes.count);
    plan.counts.advance(kBlock);
  }

  // What the kInts pixels from (y, x + l) on read: places in the ring, or else in the plane, a row of kBlock
  // for every pixel of the patch; nothing is 0 there and -1 here.
  template <bool InRing, class Place>
  void locate(int64_t y, int64_t x, int l, int64_t length, Place* places, Lanes& lanes) const {
    // Unsigned sums: a negative or an overflowing place is a large number, so one comparison finds both.
    const uint32_t height = field_.h, width = field_.w, top = y;
    const uint32_t base = ring_.base(0), row_size = ring_.blocks * kBlock, rows = ring_.rows;
    const uint32_t below = ring_.row_of(y + ring_.low) - (y + ring_.low);
    const Unsigned here = lane_numbers() + static_cast<uint32_t>(l), column = here + static_cast<uint32_t>(x);
    const Ints alive = reinterpret_cast<Ints>(here < static_cast<uint32_t>(length));
    const int patch = field_.patch;
    Ints count{};
    Unsigned lowest = ~Unsigned{}, highest{};
    for (int i = 0; i < patch; ++i) {
      if (rows_[2 * i] == nullptr) {
        for (int j = 0; j < patch; ++j, places += kBlock) {
          std::memset(static_cast<void*>(places), InRing ? 0 : 0xff, kInts * sizeof *places);
        }
        continue;
      }
      // The patch around x - o, with o from -half on: the right one first.
      const int32_t *dy = rows_[2 * i] + l + patch - 1, *dx = rows_[2 * i + 1] + l + patch - 1;
      for (int j = 0; j < patch; ++j, --dy, --dx, places += kBlock) {
        const Unsigned at_y = load<Unsigned>(dy) + top, at_x = load<Unsigned>(dx) + column;
        const Ints inside =
            reinterpret_cast<Ints>(at_y < height) & reinterpret_cast<Ints>(at_x < width) & alive;
        count -= inside;
        Unsigned place;
        if (InRing) {
          Unsigned row = at_y + below;
          row -= reinterpret_cast<Unsigned>(row >= rows) & rows;
          place = (row * row_size + at_x + base) & reinterpret_cast<Unsigned>(inside);
          store(places, __builtin_convertvector(place, Shorts));
        } else {
          place = at_y * width + at_x;
          store(places, reinterpret_cast<Ints>(place) | ~inside);
          place &= reinterpret_cast<Unsigned>(inside);
        }
        const Unsigned some = place | ~reinterpret_cast<Unsigned>(inside);
        lowest = some < lowest ? some : lowest;
        highest = place > highest ? place : highest;
      }
    }
    store(lanes.count + l, count);
    store(lanes.lowest + l, lowest);
    store(lanes.highest + l, highest);
  }

  void sum_directly(int64_t x, int64_t length, const Lanes& lanes, Plan& plan) {
    const int number = field_.patch * field_.patch;
    for (int l = 0; l < length; ++l) {
      const int64_t begin = plan.direct_reads.size();
      const bool same = lanes.lowest[l] == lanes.highest[l];
      for (int i = 0; i < number; ++i) {
        const int32_t place = direct_[i * kBlock + l];
        if (place >= 0 && (!same || plan.direct_reads.size() == begin)) plan.direct_reads.push(place);
      }
      const int32_t count = static_cast<int32_t>(plan.direct_reads.size() - begin);
      plan.directs.push({static_cast<int32_t>(x + l), count, begin});
    }
  }

  Field field_;
  Tile tile_{};
  int64_t left_ = 0;  // first column of the marks
  Ring ring_;
  Coherence coherence_;
  Buffer<const int32_t*> rows_;
  Buffer<int32_t> border_, direct_;
};

// What the transpose needs to know of the whole image.
struct Reach {
  Buffer<int32_t> low_y, high_y, low_x, high_x;  // (H): smallest and largest steps of a row
  Buffer<int32_t> valid;                         // (H, W): how many reads an output pixel of the op has

  void resize(const Field& field) {
    for (Buffer<int32_t>* each : {&low_y, &high_y, &low_x, &high_x}) each->resize(field.h);
    valid.resize(field.h * field.w);
  }

  // For rows [first, last); rows do not depend on each other.
  void fill(const Field& field, int64_t first, int64_t last) {
    const int64_t h = field.h, w = field.w;
    const int half = field.half();
    for (int64_t y = first; y < last; ++y) {
      const int32_t *dy = field.dy + y * w, *dx = field.dx + y * w;
      int32_t steps[4] = {INT32_MAX, INT32_MIN, INT32_MAX, INT32_MIN};
      for (int64_t x = 0; x < w; ++x) {
        steps[0] = std::min(steps[0], dy[x]);
        steps[1] = std::max(steps[1], dy[x]);
        steps[2] = std::min(steps[2], dx[x]);
        steps[3] = std::max(steps[3], dx[x]);
      }
      low_y[y] = steps[0];
      high_y[y] = steps[1];
      low_x[y] = steps[2];
      high_x[y] = steps[3];

      int32_t* const count = valid.data() + y * w;
      std::memset(count, 0, w * sizeof *count);
      const uint32_t height = h, width = w, top = y;
      for (int64_t ky = std::max<int64_t>(0, y - half); ky <= std::min<int64_t>(h - 1, y + half); ++ky) {
        for (int ox = -half; ox <= half; ++ox) {
          const int32_t *from_dy = field.dy + ky * w - ox, *from_dx = field.dx + ky * w - ox;
          const int64_t begin = std::max<int64_t>(0, ox), end = std::min<int64_t>(w, w + ox);
          for (int64_t x = begin; x < end; ++x) {
            const uint32_t at_y = top + static_cast<uint32_t>(from_dy[x]);
            const uint32_t at_x = static_cast<uint32_t>(x) + static_cast<uint32_t>(from_dx[x]);
            count[x] += (at_y < height) & (at_x < width);
          }
        }
      }
    }
  }
};

// out[p] = sum over o and over the patches k with k + offset[k] = p - o of in[k + o] / valid[k + o].
class Transposed {
 public:
  static constexpr bool kWhole = true;

  Transposed(const Field& field, const Reach& reach) : field_(field), reach_(reach) {}

  bool begin(const Tile& tile, bool final, Plan& plan) {
    const int64_t w = field_.w;
    const int half = field_.half();
    tile_ = tile;
    window_ = {tile.y0 - half, tile.x0 - half, tile.y1 - tile.y0 + 2 * half, tile.x1 - tile.x0 + 2 * half};
    per_row_ = (tile.x1 - tile.x0 + kBlock - 1) / kBlock;

    Steps steps;
    for_rows([&](int64_t y, int64_t begin, int64_t end) { steps.add(field_, y, begin, end, window_); });
    if (steps.none()) steps = {0, 0, 0, 0};
    ring_.set(w, -int64_t{steps.high_y}, -int64_t{steps.low_y},
              std::clamp<int64_t>(tile.x0 - steps.high_x, 0, w - 1),
              std::clamp<int64_t>(tile.x1 - 1 - steps.low_x, 0, w - 1));
    if (!ring_.fits && !final) return false;

    const int64_t size = window_.rows * window_.columns;
    arrivals_.clear();
    back_.resize(size);
    for (int64_t i = 0; i < size; ++i) back_[i] = kNobody;
    for_rows([&](int64_t y, int64_t begin, int64_t end) { list_arrivals(y, begin, end); });
    coherence_.begin(tile.y0, tile.y1, window_.columns, half,
                     [this](int64_t y, const int32_t*& a, const int32_t*& b) {
                       a = b = back_.data() + (y - window_.top) * window_.columns;
                       return true;
                     });
    const int64_t blocks = number_blocks();
    if (blocks > 0) collect(blocks, plan);
    return ring_.fits;
  }

  int64_t slots() const { return ring_.slots(); }

  // What was packed is not there any more.
  void forget() { ring_.forget(); }

  void row(int64_t y, Plan& plan) {
    const int64_t row = y - tile_.y0;
    const int32_t* const number = number_.data() + row * per_row_;
    const int32_t* const back = back_.data() + (y - window_.top) * window_.columns - window_.left;
    for (int64_t i = 0, x = tile_.x0; x < tile_.x1; ++i, x += kBlock) {
      const int64_t length = std::min<int64_t>(kBlock, tile_.x1 - x);
      if (number[i] == none_) {
        plan.copy(x, length, back[x] == kNobody ? kZeros : y * field_.w + x + back[x]);
        continue;
      }
      const int32_t* const count = count_.data() + int64_t{number[i]} * kBlock;
      int32_t depth = 0;
      for (int l = 0; l < kBlock; ++l) depth = std::max(depth, listed(count[l]) ? count[l] : 0);
      plan.blocks.push({static_cast<int32_t>(x), depth, int64_t{number[i]} * kRoom * kBlock});
      for (int l = 0; l < length; ++l) {
        if (listed(count[l])) continue;
        plan.directs.push({static_cast<int32_t>(x + l), count[l], direct_[int64_t{number[i]} * kBlock + l]});
      }
    }
    if (none_ > 0) {
      std::memcpy(ring_.wanted(), read_.data() + row * ring_.slots(), ring_.slots());
      ring_.pack(y, plan);
    }
    plan.end_row();
  }

 private:
  static constexpr int32_t kNobody = INT32_MIN;       // no patch came to this position
  static constexpr int32_t kSeveral = INT32_MIN + 1;  // more than one did
  static constexpr int kRoom = kDeepest + 1;          // reads of a pixel that there is room for

  bool listed(int32_t count) const { return count == 0 || (ring_.fits && count <= kDeepest); }

  // A patch (y, x) that went to a place (row, column) of the window.
  struct Arrival {
    int32_t y, x, row, column;
  };

  // Calls each(y, begin, end) for the parts of rows that may have something in the window.
  template <class Each>
  void for_rows(const Each& each) const {
    for (int64_t y = 0; y < field_.h; ++y) {
      if (y + reach_.high_y[y] < window_.top || y + reach_.low_y[y] >= window_.top + window_.rows) continue;
      const int64_t begin = std::max<int64_t>(0, window_.left - reach_.high_x[y]);
      const int64_t end = std::min<int64_t>(field_.w, window_.left + window_.columns - reach_.low_x[y]);
      if (begin < end) each(y, begin, end);
    }
  }

  // Lists what arrives in the window from the pixels [begin, end) of row y, and sets the ways back.
  void list_arrivals(int64_t y, int64_t begin, int64_t end) {
    const int64_t w = field_.w;
    const int32_t *dy = field_.dy + y * w, *dx = field_.dx + y * w;
    const uint32_t above = y - window_.top, before = -window_.left, rows = window_.rows,
                   columns = window_.columns;
    const Unsigned lanes = lane_numbers();
    Arrival* next = arrivals_.reserve(end - begin);
    int32_t* const back = back_.data();
    const auto list = [&](int64_t x) {
      const uint32_t row = above + static_cast<uint32_t>(dy[x]);
      const uint32_t column = before + static_cast<uint32_t>(x) + static_cast<uint32_t>(dx[x]);
      if ((row >= rows) | (column >= columns)) return;
      *next++ = {static_cast<int32_t>(y), static_cast<int32_t>(x), static_cast<int32_t>(row),
                 static_cast<int32_t>(column)};
      const int64_t step = -(dy[x] * w + dx[x]);
      int32_t& way = back[row * columns + column];
      way = way == kNobody && step > kSeveral && step <= INT32_MAX ? static_cast<int32_t>(step) : kSeveral;
    };
    int64_t x = begin;
    for (; x + kInts <= end; x += kInts) {
      const Unsigned row = load<Unsigned>(dy + x) + above;
      const Unsigned column = load<Unsigned>(dx + x) + lanes + (before + static_cast<uint32_t>(x));
      if (!any(reinterpret_cast<Ints>(row < rows) & reinterpret_cast<Ints>(column < columns))) continue;
      for (int l = 0; l < kInts; ++l) list(x + l);
    }
    for (; x < end; ++x) list(x);
    arrivals_.resize(next - arrivals_.data());
  }

  // Gives the blocks that have to be computed their numbers, and the others one more than all of them.
  int64_t number_blocks() {
    const int64_t h = field_.h, w = field_.w;
    const int half = field_.half();
    number_.resize((tile_.y1 - tile_.y0) * per_row_);
    int32_t next = 0;
    int64_t at = 0;
    for (int64_t y = tile_.y0; y < tile_.y1; ++y) {
      const uint8_t* const marks = coherence_.row(y) - window_.left;
      const int32_t* const back = back_.data() + (y - window_.top) * window_.columns - window_.left;
      for (int64_t x = tile_.x0; x < tile_.x1; x += kBlock, ++at) {
        const int64_t end = std::min(x + kBlock, tile_.x1);
        // Coherent neighbours have the same way back, unless a patch is one pixel.
        bool alike = back[x] != kSeveral;
        if (end - x < kBlock || field_.patch == 1) {
          for (int64_t i = x; i < end; ++i) alike &= marks[i] & (back[i] == back[x]);
        } else {
          alike &= all_marked(marks + x);
        }
        if (alike && back[x] != kNobody) {
          // Near the border neighbours in memory are not always neighbours in the image.
          const int64_t from = y * w + x + back[x], from_y = from / w, from_x = from % w;
          alike = from_y >= half && from_y < h - half && from_x >= half && from_x + end - x <= w - half;
        }
        number_[at] = alike ? -1 : next++;
      }
    }
    none_ = next;
    for (int64_t i = 0; i < at; ++i) number_[i] = number_[i] < 0 ? none_ : number_[i];
    return next;
  }

  // Lists what the pixels of the numbered blocks read.
  void collect(int64_t blocks, Plan& plan) {
    const int64_t lowest = tile_.y0 + ring_.low, slots = ring_.slots(), tall = tile_.y1 - tile_.y0;
    const bool packed = ring_.fits;
    count_.resize((blocks + 1) * kBlock);
    std::memset(count_.data(), 0, count_.size() * sizeof(int32_t));
    plan.reads.resize((blocks + 1) * kRoom * kBlock);
    std::memset(static_cast<void*>(plan.reads.data()), 0, plan.reads.size() * sizeof(uint16_t));
    read_.resize(tall * slots);
    std::memset(read_.data(), 0, read_.size());
    places_.resize(window_.rows * window_.columns);
    std::memset(places_.data(), 0, places_.size());
    for (int64_t y = 0, at = 0; y < tall; ++y) {
      for (int64_t x = tile_.x0; x < tile_.x1; x += kBlock, ++at) {
        if (number_[at] != none_) want(y, x - tile_.x0, std::min<int64_t>(kBlock, tile_.x1 - x));
      }
    }
    bases_.resize(tall + ring_.rows);
    for (int64_t i = 0; i < bases_.size(); ++i) bases_[i] = packed ? ring_.base(ring_.row_of(lowest + i)) : 0;

    uint16_t* const reads = plan.reads.data();
    int32_t* const counts = count_.data();
    uint8_t* const read = read_.data();
    const int32_t* const bases = bases_.data() - lowest;
    visit_reads([=](int64_t out_y, uint32_t number, uint32_t lane, int64_t at_y, int64_t at_x) {
      const int32_t n = counts[number * kBlock + lane]++;
      if (!packed) return;
      const uint32_t place = bases[at_y] + static_cast<uint32_t>(at_x);
      const uint32_t depth = n < kDeepest ? n : kDeepest;  // what is too much goes where nobody looks
      reads[(size_t{number} * kRoom + depth) * kBlock + lane] = static_cast<uint16_t>(place);
      read[out_y * slots + place / kBlock] = 1;
    });

    int64_t total = 0;
    direct_.resize(blocks * kBlock);
    std::memset(places_.data(), 0, places_.size());
    for (int64_t y = 0, at = 0; y < tall; ++y) {
      for (int64_t block = 0; block < per_row_; ++block, ++at) {
        if (number_[at] == none_) continue;
        for (int l = 0; l < kBlock; ++l) {
          const int64_t number = number_[at], cell = number * kBlock + l;
          direct_[cell] = total;
          if (listed(counts[cell])) continue;
          total += counts[cell];
          for (int i = 0; i < kDeepest; ++i) reads[(number * kRoom + i) * kBlock + l] = 0;
          want(y, block * kBlock + l, 1);
        }
      }
    }
    plan.direct_reads.resize(total);
    if (total == 0) return;
    visit_reads([&](int64_t, uint32_t number, uint32_t lane, int64_t at_y, int64_t at_x) {
      const int64_t cell = int64_t{number} * kBlock + lane;
      if (number == static_cast<uint32_t>(none_) || listed(counts[cell])) return;
      plan.direct_reads[direct_[cell]++] = static_cast<int32_t>(at_y * field_.w + at_x);
    });
    for (int64_t cell = 0; cell < blocks * kBlock; ++cell) {
      if (!listed(counts[cell])) direct_[cell] -= counts[cell];
    }
  }

  // Marks the places of the window whose arrivals are read by `length` pixels of the tile.
  void want(int64_t row, int64_t column, int64_t length) {
    for (int i = 0; i < field_.patch; ++i) {
      std::memset(places_.data() + (row + i) * window_.columns + column, 1, length + field_.patch - 1);
    }
  }

  // Calls each(out_y, number, lane, at_y, at_x) for every read of a wanted pixel: a row of the tile, the
  // number of its block, and where it reads.
  template <class Each>
  void visit_reads(const Each each) const {
    const int64_t h = field_.h, w = field_.w, tall = tile_.y1 - tile_.y0, wide = tile_.x1 - tile_.x0;
    const int half = field_.half(), patch = field_.patch;
    for (int64_t i = 0; i < arrivals_.size(); ++i) {
      const Arrival& a = arrivals_[i];
      if (!places_[a.row * window_.columns + a.column]) continue;
      // Top left of the patch, where it came from and where it went to.
      const int64_t from_y = a.y - half, from_x = a.x - half, to_y = a.row - 2 * half,
                    to_x = a.column - 2 * half;
      const int64_t top = -std::min<int64_t>(0, std::min(from_y, to_y));
      const int64_t left = -std::min<int64_t>(0, std::min(from_x, to_x));
      const int64_t bottom = std::min<int64_t>(patch, std::min(h - from_y, tall - to_y));
      const int64_t right = std::min<int64_t>(patch, std::min(w - from_x, wide - to_x));
      for (int64_t y = top; y < bottom; ++y) {
        const int32_t* const number = number_.data() + (to_y + y) * per_row_;
        for (int64_t x = left; x < right; ++x) {
          const uint32_t out_x = static_cast<uint32_t>(to_x + x);
          each(to_y + y, static_cast<uint32_t>(number[out_x / kBlock]), out_x % kBlock, from_y + y,
               from_x + x);
        }
      }
    }
  }

  Field field_;
  const Reach& reach_;
  Tile tile_{};
  Window window_{};      // the tile and `half` around it
  int64_t per_row_ = 0;  // blocks in a row of the tile
  Ring ring_;
  Coherence coherence_;
  Buffer<Arrival> arrivals_;
  Buffer<int32_t> bases_;  // of the rows in the ring
  Buffer<int32_t> back_;   // (rows, width): step in places of the plane; kNobody; kSeveral
  int32_t none_ = 0;
  Buffer<int32_t> number_;  // (tile rows, per_row); none_: not computed
  Buffer<int32_t> count_;   // (blocks, 16): reads of a pixel
  Buffer<int64_t> direct_;  // (blocks, 16): where a pixel's direct reads begin
  Buffer<uint8_t> places_;  // of the window: what arrives there is read
  Buffer<uint8_t> read_;    // (tile rows, slots): which blocks of the ring a row reads
};

}  // namespace
}  // namespace apnt::cpu

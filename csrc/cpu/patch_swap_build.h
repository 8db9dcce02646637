// Makes the plans of patch_swap_plan.h from an offset field: Forward for the op, Transposed for its gradient.
// Included once for every set of instructions, in an anonymous namespace.
#pragma once

#include <algorithm>

#include "cpu/patch_swap_plan.h"

namespace apnt::cpu {
namespace {

struct Field {
  const int32_t *dy, *dx;  // (H, W)
  int64_t h, w;
  int patch;

  int half() const { return patch / 2; }
};

// Marks of coherent pixels for the rows [first, last) of a chunk, over any field of two int32 numbers a pixel.
class Coherence {
 public:
  // row(y, a, b) sets where row y of the field begins, for first - half <= y < last + half; false: outside the image.
  template <class Row>
  void begin(int64_t first, int64_t last, int64_t width, int half, const Row& row) {
    first_ = first - half;
    width_ = width;
    patch_ = 2 * half + 1;
    const int64_t rows = last - first + 2 * half;
    flat_.resize(rows * width);
    same_.resize(rows * width);
    equal_.resize(width);
    coherent_.resize(width + 1);
    for (int64_t i = 0; i < rows; ++i) {
      const int32_t *a, *b, *c, *d;
      const bool inside = row(first_ + i, a, b);
      if (inside) {
        mark_flat(a, b, width, half, equal_.data(), flat_.data() + i * width);
      } else {
        std::memset(flat_.data() + i * width, 0, width);
      }
      if (i + 1 < rows && inside && row(first_ + i + 1, c, d)) {
        mark_same(a, b, c, d, width, same_.data() + i * width);
      } else {
        std::memset(same_.data() + i * width, 0, width);
      }
    }
  }

  // coherent[x] of row y, with a byte behind the last that can be written.
  uint8_t* row(int64_t y) {
    const int64_t top = (y - first_ - patch_ / 2) * width_;
    mark_coherent(flat_.data() + top, same_.data() + top, width_, width_, patch_, coherent_.data());
    return coherent_.data();
  }

 private:
  Buffer<uint8_t> flat_, same_, equal_, coherent_;
  int64_t first_ = 0, width_ = 0;
  int patch_ = 0;
};

// Calls alike(x, end) and mixed(x, end) with the runs of equal marks in [0, width), in their order.
template <class Alike, class Mixed>
void split(uint8_t* marks, int64_t width, const Alike& alike, const Mixed& mixed) {
  for (int64_t x = 0; x < width;) {
    const uint8_t mark = marks[x];
    marks[width] = !mark;
    int64_t end = x + 1;
    while (marks[end] == mark) ++end;
    if (mark) {
      alike(x, end);
    } else {
      mixed(x, end);
    }
    x = end;
  }
}

// out[x] = mean over o of in[x + offset[x - o]].
template <class Acc>
class Forward {
 public:
  explicit Forward(const Field& field) : field_(field) {
    places_.resize(field.patch * field.patch * kLanes);
    shares_.resize(field.patch * field.patch * kLanes);
  }

  void begin(int64_t first, int64_t last) {
    coherence_.begin(first, last, field_.w, field_.half(), [this](int64_t y, const int32_t*& a, const int32_t*& b) {
      if (y < 0 || y >= field_.h) return false;
      a = field_.dy + y * field_.w;
      b = field_.dx + y * field_.w;
      return true;
    });
  }

  void row(int64_t y, Plan<Acc>& plan) {
    const int32_t *const dy = field_.dy + y * field_.w, *const dx = field_.dx + y * field_.w;
    const auto alike = [&](int64_t x, int64_t end) {
      // Coherent neighbours share their offset, unless a patch is one pixel.
      for (int64_t stop; x < end; x = stop) {
        for (stop = x + 1; stop < end && dy[stop] == dy[x] && dx[stop] == dx[x];) ++stop;
        move(y, x, stop, plan);
      }
    };
    const auto mixed = [&](int64_t x, int64_t end) {
      for (; x < end; x += kLanes) examine(y, x, std::min<int64_t>(kLanes, end - x), plan);
    };
    split(coherence_.row(y), field_.w, alike, mixed);
    plan.end_row();
  }

 private:
  // Pixels that share one offset: what they read lies side by side, as far as it is inside.
  void move(int64_t y, int64_t x, int64_t end, Plan<Acc>& plan) {
    const int64_t dy = field_.dy[y * field_.w + x], dx = field_.dx[y * field_.w + x];
    int64_t first = std::max(x, -dx), last = std::min(end, field_.w - dx);
    if (y + dy < 0 || y + dy >= field_.h || first >= last) first = last = end;
    if (x < first) plan.copy(x, first - x, kZeros);
    if (first < last) plan.copy(first, last - first, (y + dy) * field_.w + first + dx);
    if (last < end) plan.copy(last, end - last, kZeros);
  }

  // Pixels of any kind, all reads of kLanes pixels at a time.
  void examine(int64_t y, int64_t x, int64_t count, Plan<Acc>& plan) {
    const int patch = field_.patch, half = patch / 2, number = patch * patch;
    int32_t* const places = places_.data();  // (patch**2, kLanes): place in the plane, or -1
    int32_t* const shares = shares_.data();  // (patch**2, kLanes): how often it is read; 0 where an earlier one counts
    int32_t valid[kLanes] = {}, distinct[kLanes] = {};
    for (int oy = -half, i = 0; oy <= half; ++oy) {
      for (int ox = -half; ox <= half; ++ox, ++i) locate(y, x, y - oy, x - ox, places + i * kLanes);
    }
    for (int i = 0; i < number; ++i) {
      const int32_t* place = places + i * kLanes;
      int32_t* share = shares + i * kLanes;
      for (int l = 0; l < kLanes; ++l) share[l] = place[l] >= 0;
      for (int l = 0; l < kLanes; ++l) valid[l] += share[l];
      if (number > kMerged) continue;
      int32_t repeated[kLanes] = {};
      for (int j = 0; j < i; ++j) {
        const int32_t* other = places + j * kLanes;
        int32_t* more = shares + j * kLanes;
        for (int l = 0; l < kLanes; ++l) {
          // Where j itself repeats an earlier one its share may grow too: it is set to 0 below.
          const int32_t equal = place[l] == other[l];
          more[l] += equal;
          repeated[l] |= equal;
        }
      }
      for (int l = 0; l < kLanes; ++l) first_[i][l] = share[l] & ~repeated[l];
    }
    for (int i = 0; i < number; ++i) {
      int32_t* share = shares + i * kLanes;
      if (number <= kMerged) {
        for (int l = 0; l < kLanes; ++l) share[l] = first_[i][l] ? share[l] : 0;
      }
      for (int l = 0; l < kLanes; ++l) distinct[l] += share[l] != 0;
    }
    for (int l = 0; l < count; ++l) add(x + l, l, valid[l], distinct[l], plan);
  }

  // Places that kLanes pixels from (y, x) on read by the patches around (ky, kx) and its neighbours to the right.
  void locate(int64_t y, int64_t x, int64_t ky, int64_t kx, int32_t* place) const {
    const int64_t w = field_.w;
    if (ky < 0 || ky >= field_.h) {
      for (int l = 0; l < kLanes; ++l) place[l] = -1;
      return;
    }
    const int32_t *dy = field_.dy + ky * w + kx, *dx = field_.dx + ky * w + kx;
    int32_t border_dy[kLanes], border_dx[kLanes];
    if (kx < 0 || kx + kLanes > w) {
      for (int l = 0; l < kLanes; ++l) {
        const bool inside = kx + l >= 0 && kx + l < w;
        border_dy[l] = inside ? dy[l] : INT32_MAX;  // from any row this leads out of the image
        border_dx[l] = inside ? dx[l] : INT32_MAX;
      }
      dy = border_dy;
      dx = border_dx;
    }
    // Unsigned sums: a negative or an overflowing place is a large number, so one comparison finds both.
    const uint32_t height = field_.h, width = field_.w, top = y, left = x;
    for (int l = 0; l < kLanes; ++l) {
      const uint32_t at_y = top + static_cast<uint32_t>(dy[l]), at_x = left + l + static_cast<uint32_t>(dx[l]);
      const bool inside = (at_y < height) & (at_x < width);
      place[l] = inside ? static_cast<int32_t>(at_y * width + at_x) : -1;
    }
  }

  void add(int64_t x, int lane, int32_t valid, int32_t distinct, Plan<Acc>& plan) {
    const int number = field_.patch * field_.patch;
    if (distinct == 0) return plan.copy(x, 1, kZeros);
    // One more than needed: every candidate is written, and only kept by moving on.
    Read<Acc>* read = plan.list_for(distinct).reads.reserve(distinct + 1);
    Read<Acc>* next = read;
    for (int i = 0; i < number; ++i) {
      const int32_t share = shares_[i * kLanes + lane];
      *next = {places_[i * kLanes + lane], static_cast<Acc>(share)};
      next += share != 0;
    }
    if (distinct == 1) return plan.copy(x, 1, read->from);
    plan.gather(x, distinct, Acc(1) / valid);
  }

  static constexpr int kMerged = 25;  // larger patches keep equal reads apart: the comparisons would cost more

  Field field_;
  Coherence coherence_;
  Buffer<int32_t> places_, shares_;
  int32_t first_[kMerged][kLanes];
};

// What the transpose needs to know of the whole image.
struct Reach {
  Buffer<int32_t> low, high;  // (H): smallest and largest row that the patches centred on a row go to
  Buffer<int32_t> valid;      // (H, W): how many reads an output pixel of the op has

  void resize(const Field& field) {
    low.resize(field.h);
    high.resize(field.h);
    valid.resize(field.h * field.w);
  }

  // For rows [first, last); rows do not depend on each other.
  void fill(const Field& field, int64_t first, int64_t last) {
    const int64_t h = field.h, w = field.w;
    const int half = field.half();
    for (int64_t y = first; y < last; ++y) {
      int32_t smallest = INT32_MAX, largest = INT32_MIN;
      for (int64_t x = 0; x < w; ++x) {
        smallest = std::min(smallest, field.dy[y * w + x]);
        largest = std::max(largest, field.dy[y * w + x]);
      }
      low[y] = static_cast<int32_t>(std::clamp<int64_t>(y + smallest, INT32_MIN, INT32_MAX));
      high[y] = static_cast<int32_t>(std::clamp<int64_t>(y + largest, INT32_MIN, INT32_MAX));

      int32_t* const count = valid.data() + y * w;
      std::memset(count, 0, w * sizeof *count);
      const uint32_t height = h, width = w, top = y;
      for (int64_t ky = std::max<int64_t>(0, y - half); ky <= std::min<int64_t>(h - 1, y + half); ++ky) {
        for (int ox = -half; ox <= half; ++ox) {
          const int32_t *dy = field.dy + ky * w - ox, *dx = field.dx + ky * w - ox;
          const int64_t begin = std::max<int64_t>(0, ox), end = std::min<int64_t>(w, w + ox);
          for (int64_t x = begin; x < end; ++x) {
            const uint32_t at_y = top + static_cast<uint32_t>(dy[x]);
            const uint32_t at_x = static_cast<uint32_t>(x) + static_cast<uint32_t>(dx[x]);
            count[x] += (at_y < height) & (at_x < width);
          }
        }
      }
    }
  }
};

// out[p] = sum over o and over the patches k with k + offset[k] = p - o of in[k + o] / valid[k + o].
template <class Acc>
class Transposed {
 public:
  Transposed(const Field& field, const Reach& reach) : field_(field), reach_(reach) {
    const int number = field.patch * field.patch;
    reciprocal_.resize(number + 1);
    for (int i = 0; i <= number; ++i) reciprocal_[i] = i == 0 ? Acc(0) : Acc(1) / i;
  }

  void begin(int64_t first, int64_t last) {
    list_arrivals(first - field_.half(), last + field_.half());
    coherence_.begin(first, last, width_, field_.half(), [this](int64_t y, const int32_t*& a, const int32_t*& b) {
      a = b = back_.data() + (y - top_) * width_;
      return true;
    });
  }

  void row(int64_t y, Plan<Acc>& plan) {
    const int half = field_.half();
    uint8_t* const marks = coherence_.row(y) + half;
    const int32_t* const back = back_.data() + (y - top_) * width_ + half;
    const auto alike = [&](int64_t x, int64_t end) {
      for (int64_t stop; x < end; x = stop) {
        for (stop = x + 1; stop < end && back[stop] == back[x];) ++stop;
        move(y, x, stop, back, plan);
      }
    };
    const auto mixed = [&](int64_t x, int64_t end) {
      for (; x < end; ++x) collect(y, x, plan);
    };
    split(marks, field_.w, alike, mixed);
    plan.end_row();
  }

 private:
  struct Arrival {
    int32_t from, x;  // centre of the patch: place in the plane, and its column
  };

  // For all positions in rows [top, bottom) and columns [-half, w + half): the patches that went there.
  void list_arrivals(int64_t top, int64_t bottom) {
    const int64_t h = field_.h, w = field_.w, rows = bottom - top;
    const int half = field_.half();
    top_ = top;
    width_ = w + 2 * half;
    begin_.resize(rows * width_ + 2);
    std::memset(begin_.data(), 0, begin_.size() * sizeof(int32_t));
    const auto visit = [&](const auto& each) {
      for (int64_t y = 0; y < h; ++y) {
        if (reach_.high[y] < top || reach_.low[y] >= bottom) continue;
        for (int64_t x = 0; x < w; ++x) {
          const int64_t i = y * w + x, to_y = y + field_.dy[i] - top, to_x = x + field_.dx[i] + half;
          const bool inside = (static_cast<uint64_t>(to_y) < static_cast<uint64_t>(rows)) &
                              (static_cast<uint64_t>(to_x) < static_cast<uint64_t>(width_));
          if (inside) each(to_y * width_ + to_x, i, x);
        }
      }
    };
    // Counts stand two places further on; after the sums, one; after the listing, where they belong.
    visit([&](int64_t to, int64_t, int64_t) { ++begin_[to + 2]; });
    for (int64_t i = 2; i < begin_.size(); ++i) begin_[i] += begin_[i - 1];
    arrivals_.resize(begin_.back());
    visit([&](int64_t to, int64_t from, int64_t x) {
      arrivals_[begin_[to + 1]++] = {static_cast<int32_t>(from), static_cast<int32_t>(x)};
    });

    back_.resize(rows * width_);
    for (int64_t y = 0, i = 0; y < rows; ++y) {
      for (int64_t x = 0; x < width_; ++x, ++i) {
        const int32_t count = begin_[i + 1] - begin_[i];
        int64_t step = count == 0 ? kNobody : kSeveral;
        if (count == 1) step = arrivals_[begin_[i]].from - ((top + y) * w + x - half);
        back_[i] = static_cast<int32_t>(step > kSeveral && step <= INT32_MAX ? step : count == 0 ? kNobody : kSeveral);
      }
    }
  }

  // Pixels around which every position has one arrival, all from side by side: the gradient comes back as it went.
  void move(int64_t y, int64_t x, int64_t end, const int32_t* back, Plan<Acc>& plan) {
    if (back[x] == kNobody) return plan.copy(x, end - x, kZeros);
    const int half = field_.half();
    while (x < end) {
      const int64_t from = y * field_.w + x + back[x], from_y = from / field_.w, from_x = from % field_.w;
      // Near the border neighbours in memory are not always neighbours in the image.
      const bool inner = back[x] != kSeveral && from_y >= half && from_y < field_.h - half && from_x >= half &&
                         from_x < field_.w - half;
      if (!inner) {
        collect(y, x++, plan);
        continue;
      }
      const int64_t length = std::min(end - x, field_.w - half - from_x);
      plan.copy(x, length, from);
      x += length;
    }
  }

  // Any pixel: every patch that brought something from it.
  void collect(int64_t y, int64_t x, Plan<Acc>& plan) {
    const int64_t w = field_.w, size = field_.h * w;
    const int half = field_.half();
    found_.clear();
    for (int oy = -half; oy <= half; ++oy) {
      for (int ox = -half; ox <= half; ++ox) {
        const int64_t to = (y - oy - top_) * width_ + x - ox + half;
        for (int32_t i = begin_[to]; i < begin_[to + 1]; ++i) {
          const int64_t from = int64_t{arrivals_[i].from} + oy * w + ox, from_x = int64_t{arrivals_[i].x} + ox;
          if (from >= 0 && from < size && from_x >= 0 && from_x < w) found_.push({static_cast<int32_t>(from), Acc(1)});
        }
      }
    }
    if (found_.size() == 0) return plan.copy(x, 1, kZeros);

    // Their order is that of the patch, or of the image: always the same.
    const auto before = [](const Read<Acc>& a, const Read<Acc>& b) { return a.from < b.from; };
    if (found_.size() > kFew) std::sort(found_.data(), found_.data() + found_.size(), before);
    int64_t count = 0;
    for (int64_t i = 0; i < found_.size(); ++i) {
      const int64_t back_to = found_.size() > kFew ? std::max<int64_t>(0, count - 1) : 0;
      int64_t j = back_to;
      while (j < count && found_[j].from != found_[i].from) ++j;
      if (j < count) {
        found_[j].weight += 1;
      } else {
        found_[count++] = found_[i];
      }
    }
    Read<Acc>* read = plan.list_for(count).reads.reserve(count);
    for (int64_t i = 0; i < count; ++i) {
      read[i] = {found_[i].from, found_[i].weight * reciprocal_[reach_.valid[found_[i].from]]};
    }
    if (count == 1 && read->weight == Acc(1)) return plan.copy(x, 1, read->from);
    plan.gather(x, count, Acc(1));
  }

  static constexpr int64_t kFew = 32;  // so many reads are compared with each other rather than sorted

  Field field_;
  const Reach& reach_;
  Coherence coherence_;
  Buffer<Acc> reciprocal_;
  Buffer<int32_t> begin_;  // (rows * width + 1) into arrivals
  Buffer<Arrival> arrivals_;
  Buffer<int32_t> back_;  // (rows, width): way back to the only patch that came here, in places; kNobody; kSeveral
  Buffer<Read<Acc>> found_;
  int64_t top_ = 0, width_ = 0;
};

}  // namespace
}  // namespace apnt::cpu

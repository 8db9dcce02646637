// patch_swap for the instruction set of the file that includes this. APNT_BODY is the function's name.
#pragma once

#include <stdexcept>

#include "common/parallel.h"
#include "cpu/patch_swap.h"
#include "cpu/patch_swap_lanes.h"
#include "cpu/patch_swap_last.h"
#include "cpu/patch_swap_plan.h"
#include "cpu/write_row.h"

namespace apnt::cpu {
namespace {

constexpr int64_t kStreamed = 16 << 20;  // bytes: results of this size or more bypass the caches
constexpr int64_t kTask = 32 << 10;      // elements: the least work of a thread
constexpr int64_t kNarrow = 256;         // pixels: the least width of a tile
constexpr int64_t kLow = 64;             // rows: the least height of a tile
constexpr int64_t kRows = 32;            // rows copied of one channel before the next
constexpr int64_t kAhead = 8 * kBlock;   // pixels by which reads of planes are prefetched

// Executes plans, L::lanes channels at a time. T is the type in memory, L::Sum that of the sums.
template <class L, class T>
class Worker {
 public:
  static constexpr int lanes = L::lanes;
  using Sum = typename L::Sum;
  using V = typename L::V;

  Worker(const SwapArgs& a, const Field& field, const T* in, T* out, bool stream)
      : a_(a), field_(field), in_(in), out_(out), plane_(a.h * a.w), stream_(stream) {}

  // The op for the channels from c on.
  void gather(const Plan& plan, const Steps& steps, const Region& tile, int64_t c) {
    begin(plan, tile, c);
    int64_t far = -2 * field_.half_y;
    for (int64_t y = tile.y0; y < tile.y1;) {
      const int64_t rows = moved_rows(plan, tile, y);
      if (rows > 0) {  // straight to the result, channel by channel, which suits the caches
        for (int k = 0; k < live_; ++k) {
          for (int64_t i = y; i < y + rows; ++i) move(k, i, tile.x0, tile.x1, out_row(k, i, tile), true);
        }
        y += rows;
        continue;
      }
      far = std::max(far, y + steps.low_y);
      for (const int64_t end = std::min(y + steps.high_y + 1, field_.h + 2 * field_.half_y); far < end;
           ++far) {
        if (plan.reads(far)) pack(far, plan.ring);
      }
      const int32_t* const kinds = plan.kind(y);
      for (int64_t b = 0; b < plan.blocks;) {
        const int64_t x = tile.x0 + b * kBlock;
        if (kinds[b] == kMoved) {
          const int64_t first = b++;
          while (b < plan.blocks && kinds[b] == kMoved && alike(y, x, tile.x0 + b * kBlock)) ++b;
          const int64_t end = std::min(tile.x1, x + (b - first) * kBlock);
          for (int k = 0; k < live_; ++k) move(k, y, x, end, buffers_[k] + first * kBlock, false);
        } else if (field_.half_y == 1 && field_.half_x == 1) {
          sum<1>(plan, y, x, kinds[b++], far * a_.w + x);
        } else {
          sum<0>(plan, y, x, kinds[b++], far * a_.w + x);
        }
      }
      write(y++, tile);
    }
    finish();
  }

  // The transpose for the channels from c on.
  void scatter(const Plan& plan, const Steps& steps, const Region& tile, int64_t c) {
    begin(plan, tile, c);
    std::memset(static_cast<void*>(ring_), 0, plan.ring.pixels() * lanes * sizeof(Sum));
    // The rows of `in` that the patches of one row contain, padded at both sides.
    const int64_t half_y = field_.half_y, window = 2 * half_y + 1;
    line_stride_ = (plan.blocks * kBlock + 4 * field_.half_x) * lanes;
    lines_.resize(window * line_stride_);
    std::memset(static_cast<void*>(lines_.data()), 0, lines_.size() * sizeof(Sum));
    int64_t done = tile.y0 - 2 * half_y, next = plan.near.y0;
    const int64_t last = tile.y1 + 2 * half_y;
    for (int64_t y = std::max<int64_t>(0, next - half_y); y < std::min(a_.h, plan.near.y1 + half_y); ++y) {
      for (; done < std::min(y - half_y + steps.low_y, last); ++done) unpack(done, plan.ring, tile);
      for (; next < std::min(y + half_y + 1, plan.near.y1); ++next) take(plan, next);
      if (half_y == 1 && field_.half_x == 1) {
        spread<1>(plan, y);
      } else {
        spread<0>(plan, y);
      }
    }
    for (; done < last; ++done) unpack(done, plan.ring, tile);
    finish();
  }

 private:
  void begin(const Plan& plan, const Region& tile, int64_t c) {
    c_ = c;
    live_ = static_cast<int>(std::min<int64_t>(lanes, a_.c - c));
    const int64_t stride = tile.columns() + 2 * kBlock;
    rows_.resize(lanes * stride);
    for (int k = 0; k < lanes; ++k) {
      planes_[k] = in_ + std::min(c + k, a_.c - 1) * plane_;  // lanes beyond the last channel repeat it
      buffers_[k] = rows_.data() + k * stride;
    }
    // 64 bytes more, so that every pixel can be aligned to a cache line.
    memory_.resize(plan.ring.pixels() * lanes * sizeof(Sum) + 64);
    ring_ = reinterpret_cast<Sum*>((reinterpret_cast<uintptr_t>(memory_.data()) + 63) / 64 * 64);
    for (int64_t row = 0; row <= 2 * field_.half_y; ++row) {
      std::memset(static_cast<void*>(ring_ + row * plan.ring.stride * lanes), 0,
                  plan.ring.zeros * lanes * sizeof(Sum));
    }
  }

  void finish() const {
#ifdef __SSE2__
    if (stream_) _mm_sfence();
#endif
  }

  T* out_row(int k, int64_t y, const Region& tile) const {
    return out_ + (c_ + k) * plane_ + y * a_.w + tile.x0;
  }

  void write(int64_t y, const Region& tile) {
    for (int k = 0; k < live_; ++k) {
      write_row(out_row(k, y, tile), buffers_[k], tile.columns() * sizeof(T), stream_);
    }
  }

  bool alike(int64_t y, int64_t x, int64_t other) const {
    const int64_t at = y * a_.w;
    return field_.dy[at + x] == field_.dy[at + other] && field_.dx[at + x] == field_.dx[at + other];
  }

  // The number of rows from y on that are copied as a whole.
  int64_t moved_rows(const Plan& plan, const Region& tile, int64_t y) const {
    const int64_t end = std::min(tile.y1, y + kRows);
    for (int64_t i = y; i < end; ++i) {
      for (int64_t b = 0; b < plan.blocks; ++b) {
        if (plan.kind(i)[b] != kMoved || !alike(i, tile.x0, tile.x0 + b * kBlock)) return i - y;
      }
    }
    return end - y;
  }

  // Copies pixels [x, end) of row y, which have one offset; zeros where it leads out of the image. straight:
  // `to` is the result, not a buffer.
  void move(int k, int64_t y, int64_t x, int64_t end, T* to, bool straight) const {
    const int64_t from_y = y + field_.dy[y * a_.w + x], from_x = x + field_.dx[y * a_.w + x],
                  length = end - x;
    const int64_t before = std::max<int64_t>(0, -from_x), inside = std::min(length, a_.w - from_x) - before;
    if (from_y < 0 || from_y >= a_.h || inside <= 0) {
      std::memset(static_cast<void*>(to), 0, length * sizeof(T));
      return;
    }
    const int64_t from = from_y * a_.w + from_x + before;
    if (before > 0) std::memset(static_cast<void*>(to), 0, before * sizeof(T));
    if (straight || from + inside + kBlock > plane_) {
      write_row(to + before, planes_[k] + from, inside * sizeof(T), straight && stream_);
    } else {  // whole blocks: the pixels behind may be read, and are overwritten later
      for (int64_t i = 0; i < inside; i += kBlock) {
        std::memcpy(static_cast<void*>(to + before + i), planes_[k] + from + i, kBlock * sizeof(T));
      }
    }
    if (before + inside < length) {
      std::memset(static_cast<void*>(to + before + inside), 0, (length - before - inside) * sizeof(T));
    }
  }

  // Writes a block of `in` pixel by pixel, its channels together, times `share`; zeros outside the image.
  void transpose_block(int64_t y, int64_t x, Sum* to, const V* share) const {
    const T* from[lanes];
    T ends[lanes][kBlock];
    for (int k = 0; k < lanes; ++k) from[k] = planes_[k] + y * a_.w + x;
    if (x < 0 || x + kBlock > a_.w) {
      const int64_t first = std::clamp<int64_t>(-x, 0, kBlock), end = std::min<int64_t>(kBlock, a_.w - x);
      std::memset(static_cast<void*>(ends), 0, sizeof ends);
      for (int k = 0; k < lanes; ++k) {
        if (first < end) std::memcpy(ends[k] + first, from[k] + first, (end - first) * sizeof(T));
        from[k] = ends[k];
      }
    } else {
      for (int k = 0; k < lanes; ++k) __builtin_prefetch(from[k] + kAhead);
    }
    for (int s = 0; s < kBlock; s += lanes) {
      V r[lanes];
      for (int k = 0; k < lanes; ++k) {
        r[k] = L::read(from[k] + s);
        if (share) r[k] = L::mul(r[k], share[s / lanes]);
      }
      L::transpose(r);
      for (int i = 0; i < lanes; ++i) L::store(to + (s + i) * lanes, r[i]);
    }
  }

  // Copies row y of the source into the ring.
  void pack(int64_t y, const Ring& ring) {
    const int64_t slot = ring.slot(y), twin = ring.twin(slot) * ring.stride * lanes;
    Sum* const to = ring_ + ring.cell(slot, ring.left) * lanes;
    const int64_t size = (ring.right - ring.left) * lanes;
    if (y < 0 || y >= a_.h) {
      std::memset(static_cast<void*>(to), 0, size * sizeof(Sum));
    } else {
      for (int64_t x = ring.left; x < ring.right; x += kBlock)
        transpose_block(y, x, to + (x - ring.left) * lanes, nullptr);
    }
    if (twin != 0) std::memcpy(static_cast<void*>(to + twin), to, size * sizeof(Sum));
  }

  // 1 / count for the pixels from s on of a block.
  static V weight(const Plan& plan, int32_t kind, int s) {
    if (kind == kFull) return L::fill(Sum(1) / plan.full);
    return L::reciprocal(plan.counts.data() + int64_t{kind} * kBlock + s);
  }

  // Adds the pixels that the patches of one row read, from the right patch to the left; `at` is in the
  // opposite order.
  template <int Half>
  static V add_row(V sum, const Sum* from, const uint32_t* at, int64_t half) {
    if (Half == 1) {
      sum = L::add(sum, L::load(from + at[2] - lanes));
      sum = L::add(sum, L::load(from + at[1]));
      return L::add(sum, L::load(from + at[0] + lanes));
    }
    for (int64_t o = -half; o <= half; ++o) sum = L::add(sum, L::load(from + at[half - o] + o * lanes));
    return sum;
  }

  // Computes a block of row y. Prefetches the pixels that are packed next, from `next` in the planes on.
  template <int Half>
  __attribute__((noinline)) void sum(const Plan& plan, int64_t y, int64_t x, int32_t kind, int64_t next) {
    const int64_t stride = plan.ring.stride * lanes, row = plan.stride();
    for (int k = 0; k < lanes; ++k) __builtin_prefetch(planes_[k] + next);
    for (int s = 0; s < kBlock; s += lanes) {
      const uint32_t* const places = plan.places(y, x + s);
      V r[lanes];
      if (Half == 1) {
        const Sum *up = ring_ - stride, *here = ring_, *down = ring_ + stride;
        const uint32_t *const a = places, *const b = a + row, *const c = b + row;
        for (int i = 0; i < lanes; ++i) {
          r[i] = add_row<1>(add_row<1>(add_row<1>(L::zero(), down, a + i, 1), here, b + i, 1), up, c + i, 1);
        }
      } else {
        for (int i = 0; i < lanes; ++i) {
          r[i] = L::zero();
          for (int64_t o = -field_.half_y; o <= field_.half_y; ++o) {
            const uint32_t* const at = places + (field_.half_y - o) * row + i;
            r[i] = add_row<0>(r[i], ring_ + o * stride, at, field_.half_x);
          }
        }
      }
      L::transpose(r);
      const V share = weight(plan, kind, s);
      for (int k = 0; k < lanes; ++k) L::write(buffers_[k] + x + s - plan.near.x0, L::mul(r[k], share));
    }
  }

  Sum* line(int64_t y) { return lines_.data() + y % (2 * field_.half_y + 1) * line_stride_; }

  // Divides row y of `in` by its counts.
  void take(const Plan& plan, int64_t y) {
    const int32_t* const kinds = plan.kind(y);
    Sum* const to = line(y) + 2 * field_.half_x * lanes;
    for (int64_t b = 0; b < plan.blocks; ++b) {
      if (kinds[b] == kNothing) continue;
      V share[kBlock / lanes];
      for (int s = 0; s < kBlock; s += lanes) share[s / lanes] = weight(plan, kinds[b], s);
      transpose_block(y, plan.near.x0 + b * kBlock, to + b * kBlock * lanes, share);
    }
  }

  static void add(Sum* to, const Sum* from) { L::store(to, L::add(L::load(to), L::load(from))); }
  static void add(Sum* to, const Sum* from, V times) {
    L::store(to, L::add(L::load(to), L::mul(L::load(from), times)));
  }

  // Adds a row of `in` to patches with one offset. All patches that contain a pixel add it to the same place.
  // to, from: the first pixel of the first patch.
  static void add_run(Sum* to, const Sum* from, int64_t patches, int64_t half) {
    const int64_t last = patches + 2 * half - 1, most = std::min(patches, 2 * half + 1);
    for (int64_t i = 0; i < most - 1; ++i) {
      const V times = L::fill(Sum(i + 1));
      add(to + i * lanes, from + i * lanes, times);
      add(to + (last - i) * lanes, from + (last - i) * lanes, times);
    }
    const V times = L::fill(Sum(most));
    for (int64_t i = most - 1; i <= last + 1 - most; ++i) add(to + i * lanes, from + i * lanes, times);
  }

  // Adds the patches of row y to the ring.
  template <int Half>
  __attribute__((noinline)) void spread(const Plan& plan, int64_t y) {
    const int64_t half_y = field_.half_y, half_x = field_.half_x, stride = plan.ring.stride * lanes;
    const int64_t first = std::max(-half_y, plan.near.y0 - y), last = std::min(half_y, plan.near.y1 - 1 - y);
    const int64_t shift = (half_x - plan.near.x0) * lanes;
    const Run *run = plan.runs(y), *const end = plan.runs_end(y);
    if (Half == 1 && last - first == 2) {
      const Sum *above = line(y - 1) + shift, *here = line(y) + shift, *below = line(y + 1) + shift;
      Sum *up = ring_ - stride - lanes, *middle = ring_ - lanes, *down = ring_ + stride - lanes;
      for (; run < end; ++run) {
        const int64_t x = int64_t{run->x} * lanes;
        add_run(up + run->place, above + x, run->length, 1);
        add_run(middle + run->place, here + x, run->length, 1);
        add_run(down + run->place, below + x, run->length, 1);
      }
    }
    for (; run < end; ++run) {
      for (int64_t o = first; o <= last; ++o) {
        add_run(ring_ + run->place + o * stride - half_x * lanes,
                line(y + o) + shift + int64_t{run->x} * lanes, run->length, half_x);
      }
    }
  }

  // Row y of the ring is complete: writes it, unless it is outside the tile, and clears it.
  void unpack(int64_t y, const Ring& ring, const Region& tile) {
    const int64_t slot = ring.slot(y), twin = ring.twin(slot) * ring.stride * lanes;
    const int64_t size = (ring.right - ring.left) * lanes;
    Sum* const begin = ring_ + ring.cell(slot, ring.left) * lanes;
    if (twin != 0) {
      for (int64_t i = 0; i < size; i += lanes) add(begin + i, begin + twin + i);
      std::memset(static_cast<void*>(begin + twin), 0, size * sizeof(Sum));
    }
    if (y < tile.y0 || y >= tile.y1) {
      std::memset(static_cast<void*>(begin), 0, size * sizeof(Sum));
      return;
    }
    const int64_t left = (tile.x0 - ring.left) * lanes, right = (blocks_up(tile.x1) - ring.left) * lanes;
    std::memset(static_cast<void*>(begin), 0, left * sizeof(Sum));
    std::memset(static_cast<void*>(begin + right), 0, (size - right) * sizeof(Sum));
    for (int64_t x = 0; x < tile.columns(); x += lanes) {
      Sum* const from = begin + left + x * lanes;
      V r[lanes];
      for (int i = 0; i < lanes; ++i) {
        r[i] = L::load(from + i * lanes);
        L::store(from + i * lanes, L::zero());
      }
      L::transpose(r);
      for (int k = 0; k < lanes; ++k) L::write(buffers_[k] + x, r[k]);
    }
    write(y, tile);
  }

  const SwapArgs& a_;
  const Field& field_;
  const T* in_;
  T* out_;
  const int64_t plane_;
  const bool stream_;
  int64_t c_ = 0;
  int live_ = 0;             // lanes that hold a channel
  GrowingArray<T> rows_;     // (lanes, stride): a row of the result
  GrowingArray<Sum> lines_;  // (patch rows, columns, lanes): rows of `in`
  int64_t line_stride_ = 0;
  GrowingArray<char> memory_;
  Sum* ring_ = nullptr;  // (rows, stride, lanes)
  const T* planes_[lanes];
  T* buffers_[lanes];
};

// The sizes of tiles: as large as memory and threads allow, because planes are read fastest in whole rows.
// Rings and plans of all threads together take less than a tenth of the arguments' memory, unless there are
// only a few channels.
struct Cut {
  int64_t width, height;
  bool single;  // even the ring of a narrow tile is too large: one channel at a time, and the whole image
};

inline Cut cut(const SwapArgs& a, const Field& field, const Steps& steps, bool transposed, int64_t element,
               int64_t pixel) {
  const int64_t bytes = a.h * a.w * (a.c * element + 8);
  const int64_t tasks = std::clamp<int64_t>(a.h * a.w * a.c / kTask, 1, num_threads());
  const int64_t share = bytes / 20 / tasks, plan = bytes / 25 / tasks / 8;  // 8 bytes of a plan for a pixel
  const auto ring = [&](int64_t width) {
    return make_ring(field, steps, 0, std::min(width, a.w), transposed).pixels() * pixel;
  };
  Cut cut{blocks_up(a.w), a.h, false};
  while (cut.width > kNarrow && ring(cut.width) > share)
    cut.width = std::max(kNarrow, blocks_up(cut.width / 2));
  if (ring(cut.width) > std::max<int64_t>(bytes / 12, 1 << 20)) return {blocks_up(a.w), a.h, true};
  const int64_t strips = (a.w + cut.width - 1) / cut.width, parts = strips % tasks == 0 ? 1 : tasks;
  cut.height = std::min((a.h + parts - 1) / parts, std::max(kLow, plan / cut.width));
  return cut;
}

template <class L, class T>
void swap(const SwapArgs& a, bool transposed) {
  using Sum = typename L::Sum;
  const int64_t plane = a.h * a.w, image = a.c * plane;
  const bool stream = a.n * image * int64_t{sizeof(T)} >= kStreamed;
  GrowingArray<Steps> row_steps;
  row_steps.resize(a.h);
  for (int64_t n = 0; n < a.n; ++n) {
    const T* in = static_cast<const T*>(a.in) + n * image;
    T* out = static_cast<T*>(a.out) + n * image;
    const int32_t* const offset = a.offset + 2 * n * plane;
    const Field field{offset,
                      offset + plane,
                      a.h,
                      a.w,
                      std::min<int64_t>(a.patch / 2, a.h - 1),
                      std::min<int64_t>(a.patch / 2, a.w - 1)};
    parallel_for(0, a.h, std::max<int64_t>(1, kTask / a.w), [&](int64_t begin, int64_t end) {
      for (int64_t y = begin; y < end; ++y) {
        row_steps[y] = Steps();
        row_steps[y].add(field, y);
      }
    });
    Steps steps;
    for (int64_t y = 0; y < a.h; ++y) steps.add(row_steps[y]);
    if (steps.low_y > steps.high_y) steps = {0, 0, 0, 0};

    const Cut size = cut(a, field, steps, transposed, sizeof(T), L::lanes * sizeof(Sum));
    const auto run_channels = [&](auto& worker, const Plan& plan, const Region& tile, int64_t c) {
      if (transposed) {
        worker.scatter(plan, steps, tile, c);
      } else {
        worker.gather(plan, steps, tile, c);
      }
    };
    if (size.single) {
      const Region tile{0, a.h, 0, a.w};
      if (make_ring(field, steps, 0, a.w, transposed).pixels() > UINT32_MAX) {
        throw std::length_error("patch_size is too large for an image of this size");
      }
      Plan plan;
      plan.build(field, steps, tile, transposed, 1);
      parallel_for(0, a.c, std::max<int64_t>(1, kTask / plane), [&](int64_t begin, int64_t end) {
        Worker<Plain<Sum, 1>, T> worker(a, field, in, out, stream);
        for (int64_t c = begin; c < end; ++c) run_channels(worker, plan, tile, c);
      });
      continue;
    }
    const int64_t strips = (a.w + size.width - 1) / size.width, tall = (a.h + size.height - 1) / size.height;
    const int64_t grain = std::max<int64_t>(1, kTask / (std::min(size.width, a.w) * size.height * a.c));
    parallel_for(0, strips * tall, grain, [&](int64_t begin, int64_t end) {
      Worker<L, T> worker(a, field, in, out, stream);
      Plan plan;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t x = i % strips * size.width, y = i / strips * size.height;
        const Region tile{y, std::min(a.h, y + size.height), x, std::min(a.w, x + size.width)};
        plan.build(field, steps, tile, transposed, L::lanes);
        for (int64_t c = 0; c < a.c; c += L::lanes) run_channels(worker, plan, tile, c);
      }
    });
  }
}

}  // namespace

void APNT_BODY(const SwapArgs& a, bool transposed) {
  switch (a.type) {
    case Type::f32:
      return a.last ? swap_last<Wide, float>(a, kStreamed) : swap<Wide, float>(a, transposed);
    case Type::f64:
      return swap<Plain<double>, double>(a, transposed);
    case Type::f16:
      return a.last ? swap_last<Wide, half_t>(a, kStreamed) : swap<Wide, half_t>(a, transposed);
    case Type::bf16:
      return a.last ? swap_last<Wide, bfloat_t>(a, kStreamed) : swap<Wide, bfloat_t>(a, transposed);
  }
}

}  // namespace apnt::cpu

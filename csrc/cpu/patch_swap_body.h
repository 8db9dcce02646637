// patch_swap for one set of instructions: the file that includes this says which, by its name and by
// APNT_BODY.
#pragma once

#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "common/parallel.h"
#include "cpu/patch_swap.h"
#include "cpu/patch_swap_build.h"
#include "cpu/patch_swap_lanes.h"

namespace apnt::cpu {
namespace {

constexpr int64_t kStep = 64;            // bytes of a run copied at a time
constexpr int64_t kLongRun = 1 << 10;    // bytes from which runs go straight to the result
constexpr int64_t kStreamed = 16 << 20;  // bytes of results from which on they bypass the caches
constexpr int kAhead = 4;                // blocks to be packed that are fetched in advance
constexpr int64_t kTask = 32 << 10;      // elements: least work of a thread

// Copies bytes in whole steps where what lies behind may be read and overwritten, else exactly.
inline void copy_run(char* to, const char* from, int64_t length, int64_t readable) {
  if (length + kStep > readable) {
    std::memcpy(to, from, length);
    return;
  }
  for (int64_t i = 0; i < length; i += kStep) std::memcpy(to + i, from + i, kStep);
}

inline void write_row(char* to, const char* from, int64_t length, bool stream) {
#ifdef __SSE2__
  if (stream) {
    int64_t i = std::min<int64_t>(length, -reinterpret_cast<intptr_t>(to) & 63);
    std::memcpy(to, from, i);
    for (; i + 64 <= length; i += 64) {
#ifdef __AVX__
      const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
      const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i + 32));
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i), a);
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i + 32), b);
#else
      for (int j = 0; j < 64; j += 16) {
        const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i + j));
        _mm_stream_si128(reinterpret_cast<__m128i*>(to + i + j), a);
      }
#endif
    }
    std::memcpy(to + i, from + i, length - i);
    return;
  }
#endif
  (void)stream;
  std::memcpy(to, from, length);
}

// Carries plans out for L::lanes channels at a time. T lies in memory, sums are L::Sum.
template <class L, class T>
class Worker {
 public:
  static constexpr int lanes = L::lanes;
  using Sum = typename L::Sum;
  using V = typename L::V;

  // valid: for the transpose, how many reads every pixel of `in` stands for; else nullptr.
  Worker(const SwapArgs& a, const T* in, T* out, const int32_t* valid, bool stream)
      : a_(a), in_(in), out_(out), valid_(valid), plane_(a.h * a.w), stream_(stream) {}

  template <class Builder>
  void tile(const Tile& tile, Builder& builder) {
    plan_.clear();
    const int64_t width = tile.x1 - tile.x0;
    const bool narrow = width <= kNarrow * kBlock;
    if (!builder.begin(tile, narrow, plan_) && !narrow) {
      const int64_t middle = tile.x0 + (width / 2 + kBlock - 1) / kBlock * kBlock;
      this->tile({tile.y0, tile.y1, tile.x0, middle}, builder);
      return this->tile({tile.y0, tile.y1, middle, tile.x1}, builder);
    }
    slots_ = builder.slots();
    for (int64_t y = tile.y0; y < tile.y1;) {
      const int64_t top = y;
      while (y < tile.y1 &&
             (Builder::kWhole || plan_.reads.size() + plan_.direct_reads.size() < kPlanReads)) {
        builder.row(y++, plan_);
      }
      for (int64_t c = 0; c < a_.c; c += lanes) carry_out(c, {top, y, tile.x0, tile.x1});
      if (y < tile.y1) {
        plan_.clear();
        builder.forget();
      }
    }
#ifdef __SSE2__
    if (stream_) _mm_sfence();
#endif
  }

 private:
  void carry_out(int64_t c, const Tile& tile) {
    const int live = static_cast<int>(std::min<int64_t>(lanes, a_.c - c));
    const int64_t stride = tile.x1 - tile.x0 + 2 * kBlock + kStep;
    rows_.resize(lanes * stride);
    for (int k = 0; k < lanes; ++k) {
      planes_[k] = in_ + std::min(c + k, a_.c - 1) * plane_;  // the last channels fill the lanes up
      buffers_[k] = rows_.data() + k * stride;
    }
    ring_ = plan_.blocks.size() ? prepare_ring() : nullptr;
    const int64_t width = (tile.x1 - tile.x0) * int64_t{sizeof(T)};
    Entries now{};
    for (int64_t row = 0; row < plan_.rows();) {
      T* const out = out_ + c * plane_ + (tile.y0 + row) * a_.w + tile.x0;
      // Long runs go straight to the result; a channel after the other where there is nothing else, the
      // caches like that.
      const auto straight = [&](int64_t r) {
        const Entries first = end(r - 1), last = end(r);
        const int64_t pieces =
            last.run - first.run + 2 * (last.block - first.block + last.direct - first.direct);
        return pieces * kLongRun <= width;
      };
      const auto copies = [&](int64_t r) {
        return straight(r) && end(r).block == now.block && end(r).direct == now.direct;
      };
      int64_t stop = row;
      while (stop < plan_.rows() && copies(stop)) ++stop;
      if (stop > row) {
        for (int k = 0; k < live; ++k) {
          for (int64_t r = row; r < stop; ++r) {
            T* const to = out + k * plane_ + (r - row) * a_.w;
            for (int64_t i = end(r - 1).run; i < end(r).run; ++i) {
              copy(plan_.runs[i], planes_[k], to + plan_.runs[i].x - tile.x0, true);
            }
          }
        }
        now = end(stop - 1);
        row = stop;
        continue;
      }

      const Entries last = end(row);
      for (; now.pack < last.pack; ++now.pack) {
        if (now.pack + kAhead < plan_.packs.size()) prefetch(plan_.packs[now.pack + kAhead]);
        pack(plan_.packs[now.pack]);
      }
      const bool whole = !straight(row);  // the row is put together in the buffers
      for (; now.run < last.run; ++now.run) {
        const Run& run = plan_.runs[now.run];
        for (int k = 0; k < live; ++k) {
          T* const to = (whole ? buffers_[k] : out + k * plane_) + run.x - tile.x0;
          copy(run, planes_[k], to, !whole);
        }
      }
      const int64_t first_block = now.block, first_direct = now.direct;
      for (; now.block < last.block; ++now.block) compute(now.block, tile.x0);
      for (; now.direct < last.direct; ++now.direct) sum_directly(plan_.directs[now.direct], tile.x0);
      const auto write = [&](int64_t x, int64_t length, bool stream) {
        for (int k = 0; k < live; ++k) {
          write_row(reinterpret_cast<char*>(out + k * plane_ + x),
                    reinterpret_cast<const char*>(buffers_[k] + x), length * sizeof(T), stream);
        }
      };
      if (whole) {
        write(0, tile.x1 - tile.x0, stream_);
      } else {
        for (int64_t i = first_block; i < last.block; ++i) {
          const int64_t x = plan_.blocks[i].x - tile.x0;
          write(x, std::min<int64_t>(kBlock, tile.x1 - tile.x0 - x), false);
        }
        for (int64_t i = first_direct; i < last.direct; ++i) write(plan_.directs[i].x - tile.x0, 1, false);
      }
      ++row;
    }
  }

  // How many entries of the plan the rows up to and with this one have.
  struct Entries {
    int64_t run, pack, block, direct;
  };
  Entries end(int64_t row) const {
    if (row < 0) return {};
    return {plan_.run_end[row], plan_.pack_end[row], plan_.block_end[row], plan_.direct_end[row]};
  }

  Sum* prepare_ring() {
    // 64 bytes more, so that every pixel can begin where a line of the cache does.
    memory_.resize(slots_ * kBlock * lanes * sizeof(Sum) + 64);
    Sum* const ring = reinterpret_cast<Sum*>((reinterpret_cast<uintptr_t>(memory_.data()) + 63) / 64 * 64);
    std::memset(static_cast<void*>(ring), 0, kBlock * lanes * sizeof(Sum));
    return ring;
  }

  // A run of one channel; exact: nothing behind it may be written.
  void copy(const Run& run, const T* plane, T* to, bool exact) const {
    const int64_t bytes = run.length * int64_t{sizeof(T)};
    const char* const from = reinterpret_cast<const char*>(plane + run.from);
    if (run.from == kZeros) {
      std::memset(static_cast<void*>(to), 0, bytes);
    } else if (exact) {
      write_row(reinterpret_cast<char*>(to), from, bytes, stream_);
    } else {
      copy_run(reinterpret_cast<char*>(to), from, bytes, (plane_ - run.from) * sizeof(T));
    }
  }

  void prefetch(const Pack& pack) const {
    for (int k = 0; k < lanes; ++k) {
      const char* const from = reinterpret_cast<const char*>(planes_[k] + pack.from);
      __builtin_prefetch(from);
      if (kBlock * sizeof(T) > 32) __builtin_prefetch(from + kBlock * sizeof(T) - 1);
    }
  }

  void pack(const Pack& pack) {
    Sum* const to = ring_ + int64_t{pack.slot} * kBlock * lanes;
    const int64_t left = plane_ - pack.from;
    T ends[lanes][kBlock];
    int32_t end_counts[kBlock];
    const T* from[lanes];
    const int32_t* counts = valid_ ? valid_ + pack.from : nullptr;
    for (int k = 0; k < lanes; ++k) from[k] = planes_[k] + pack.from;
    if (left < kBlock) {  // nothing behind the image may be read
      std::memset(static_cast<void*>(ends), 0, sizeof ends);
      for (int k = 0; k < lanes; ++k)
        from[k] = static_cast<T*>(std::memcpy(ends[k], from[k], left * sizeof(T)));
      std::memset(end_counts, 0, sizeof end_counts);
      if (counts) counts = static_cast<int32_t*>(std::memcpy(end_counts, counts, left * sizeof(int32_t)));
    }
    for (int s = 0; s < kBlock; s += lanes) {
      V r[lanes];
      for (int k = 0; k < lanes; ++k) r[k] = L::read(from[k] + s);
      if (counts) {
        const V share = L::reciprocal(counts + s);
        for (int k = 0; k < lanes; ++k) r[k] = L::mul(r[k], share);
      }
      L::transpose(r);
      for (int i = 0; i < lanes; ++i) L::store(to + (s + i) * lanes, r[i]);
    }
  }

  void compute(int64_t index, int64_t x0) {
    const Block& block = plan_.blocks[index];
    const uint16_t* const places = plan_.reads.data() + block.reads;
    const int32_t* const counts = valid_ ? nullptr : plan_.counts.data() + index * kBlock;
    if (block.depth == 9) return compute<9>(places, 9, counts, block.x - x0);
    compute<0>(places, block.depth, counts, block.x - x0);
  }

  template <int Depth>
  void compute(const uint16_t* places, int depth, const int32_t* counts, int64_t x) {
    const Sum* const ring = ring_;
    for (int s = 0; s < kBlock; s += lanes) {
      V r[lanes];
      for (int i = 0; i < lanes; ++i) {
        V sum = L::zero();
        for (int d = 0; d < (Depth ? Depth : depth); ++d) {
          sum = L::add(sum, L::load(ring + int64_t{places[d * kBlock + s + i]} * lanes));
        }
        r[i] = sum;
      }
      L::transpose(r);
      if (counts) {
        const V share = L::reciprocal(counts + s);
        for (int k = 0; k < lanes; ++k) r[k] = L::mul(r[k], share);
      }
      for (int k = 0; k < lanes; ++k) L::write(buffers_[k] + x + s, r[k]);
    }
  }

  void sum_directly(const Direct& direct, int64_t x0) {
    const int32_t* const from = plan_.direct_reads.data() + direct.reads;
    Sum sum[lanes] = {};
    for (int i = 0; i < direct.count; ++i) {
      const Sum weight = valid_ ? Sum(1) / valid_[from[i]] : Sum(1);
      for (int k = 0; k < lanes; ++k) sum[k] += weight * to_float(planes_[k][from[i]]);
    }
    const Sum scale = valid_ || direct.count == 0 ? Sum(1) : Sum(1) / direct.count;
    for (int k = 0; k < lanes; ++k) apnt::store(buffers_[k] + direct.x - x0, sum[k] * scale);
  }

  const SwapArgs& a_;
  const T* in_;
  T* out_;
  const int32_t* valid_;
  const int64_t plane_;
  const bool stream_;
  Plan plan_;
  int64_t slots_ = 0;  // of the ring
  Buffer<T> rows_;     // (lanes, stride): a row of the result, put together in the cache
  Buffer<char> memory_;
  Sum* ring_ = nullptr;  // (slots, 16, lanes)
  const T* planes_[lanes];
  T* buffers_[lanes];
};

template <class L, class T>
void swap(const SwapArgs& a, bool transposed) {
  const int64_t plane = a.h * a.w, image = a.c * plane;
  const bool stream = a.n * image * int64_t{sizeof(T)} >= kStreamed;
  // Tiles are rows of full width, cut only where they read too far apart. The height is no matter of how many
  // threads there are, so neither is the result.
  const int64_t height = std::clamp<int64_t>(a.h / 16, 8, 32), chunks = (a.h + height - 1) / height;
  const int64_t grain = std::max<int64_t>(1, kTask / (height * a.w * a.c));
  const auto field = [&](int64_t n) {
    const int32_t* offset = a.offset + 2 * n * plane;
    return Field{offset, offset + plane, a.h, a.w, a.patch};
  };
  for (int64_t n = 0; n < a.n; ++n) {
    const T* in = static_cast<const T*>(a.in) + n * image;
    T* out = static_cast<T*>(a.out) + n * image;
    Reach reach;
    if (transposed) {
      reach.resize(field(n));
      const int64_t rows = std::max<int64_t>(1, kTask / (a.w * a.patch * a.patch));
      parallel_for(0, a.h, rows, [&](int64_t begin, int64_t end) { reach.fill(field(n), begin, end); });
    }
    parallel_for(0, chunks, grain, [&](int64_t begin, int64_t end) {
      Worker<L, T> worker(a, in, out, transposed ? reach.valid.data() : nullptr, stream);
      const auto tiles = [&](auto& builder) {
        for (int64_t i = begin; i < end; ++i) {
          worker.tile({i * height, std::min(a.h, (i + 1) * height), 0, a.w}, builder);
        }
      };
      if (transposed) {
        Transposed builder(field(n), reach);
        tiles(builder);
      } else {
        Forward builder(field(n));
        tiles(builder);
      }
    });
  }
}

}  // namespace

void APNT_BODY(const SwapArgs& a, bool transposed) {
  switch (a.type) {
    case Type::f32:
      return swap<Wide, float>(a, transposed);
    case Type::f64:
      return swap<Plain<double>, double>(a, transposed);
    case Type::f16:
      return swap<Wide, half_t>(a, transposed);
    case Type::bf16:
      return swap<Wide, bfloat_t>(a, transposed);
  }
}

}  // namespace apnt::cpu

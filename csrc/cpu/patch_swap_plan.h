// What patch_swap and its transpose do to a tile of one plane, as lists that all channels share.
//
// Both are out[p] = scale * sum of in[q] over a few q; in the transpose each in[q] has a weight too. A tile's
// rows are cut into blocks of 16 pixels. Where neighbouring patches move together a block has one q a pixel,
// side by side, and is copied. The other blocks are computed for several channels at once: blocks of `in` are
// packed, that is turned over so that the channels of a pixel lie together, and the sums then add whole
// vectors of channels.
//
// Packed blocks lie in a ring of rows, since pixels of an output row read rows near it only. Where rows are
// too far apart for that, and for the few pixels that are read from very many places, pixels are summed
// directly.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "common/buffer.h"

namespace apnt::cpu {
namespace {

constexpr int kBlock = 16;             // pixels
constexpr int32_t kMostPacked = 4095;  // blocks in the ring: a place in it has 16 bits
constexpr int kNarrow = 8;             // blocks of the narrowest tile
constexpr int kDeepest = 32;           // reads of a pixel in a computed block; pixels with more are direct
constexpr int64_t kPlanReads = 256 << 10;  // reads in a plan before it is carried out
constexpr int32_t kZeros = -1;             // a run that reads nothing

struct Run {
  int32_t x, length, from;  // from: place in the plane, or kZeros
};

struct Pack {
  int32_t from;  // place of the block in the plane
  int32_t slot;  // in the ring; slot 0 stays zero
};

struct Block {
  int32_t x, depth;
  int64_t reads;  // first of (depth, 16) places in the ring, in pixels; 0 is a zero
};

struct Direct {
  int32_t x, count;
  int64_t reads;  // first of `count` places in the plane
};

// A tile's rows in their order; row i's entries end at *_end[i].
struct Plan {
  Buffer<Run> runs;
  Buffer<Pack> packs;
  Buffer<Block> blocks;
  Buffer<Direct> directs;
  Buffer<int64_t> run_end, pack_end, block_end, direct_end;
  Buffer<uint16_t> reads;  // of the blocks
  Buffer<int32_t> counts;  // (blocks, 16): the scale of a pixel is one over it; empty: no scale
  Buffer<int32_t> direct_reads;

  void clear() {
    runs.clear();
    packs.clear();
    blocks.clear();
    directs.clear();
    run_end.clear();
    pack_end.clear();
    block_end.clear();
    direct_end.clear();
    reads.clear();
    counts.clear();
    direct_reads.clear();
  }

  int64_t rows() const { return run_end.size(); }

  void end_row() {
    run_end.push(runs.size());
    pack_end.push(packs.size());
    block_end.push(blocks.size());
    direct_end.push(directs.size());
  }

  // Pixels [x, x + length) of the current row are a copy of what begins at `from`.
  void copy(int32_t x, int32_t length, int32_t from) {
    const int64_t row_begin = rows() == 0 ? 0 : run_end.back();
    if (runs.size() > row_begin) {
      Run& last = runs.back();
      const bool zeros = from == kZeros && last.from == kZeros;
      const bool next = from != kZeros && last.from != kZeros && last.from + last.length == from;
      if (last.x + last.length == x && (zeros || next)) {
        last.length += length;
        return;
      }
    }
    runs.push({x, length, from});
  }
};

// Places of rows and blocks in the ring. An output row y reads rows y + low ... y + high.
class Ring {
 public:
  bool fits = false;
  int32_t low = 0, rows = 0;     // rows = high - low + 1
  int32_t left = 0, blocks = 0;  // first block of a row that is ever read, and how many

  void set(int64_t width, int64_t low_y, int64_t high_y, int64_t first_x, int64_t last_x) {
    w_ = width;
    low = static_cast<int32_t>(low_y);
    left = static_cast<int32_t>(first_x / kBlock);
    const int64_t deep = high_y - low_y + 1, wide = last_x / kBlock - left + 1;
    fits = deep <= kMostPacked && wide <= kMostPacked && deep * wide <= kMostPacked;
    rows = fits ? static_cast<int32_t>(deep) : 1;
    blocks = fits ? static_cast<int32_t>(wide) : 1;
    wanted_.resize(slots() + 8);
    std::memset(wanted_.data(), 0, slots() + 8);
    present_.resize(slots() + 8);
    next_ = -1;
  }

  int32_t slots() const { return 1 + rows * blocks; }
  int32_t row_of(int64_t at_y) const { return static_cast<int32_t>((at_y % rows + rows) % rows); }
  // Place of the pixel (at_y, at_x) is this plus at_x.
  int32_t base(int32_t ring_row) const { return (1 + ring_row * blocks - left) * kBlock; }

  // Nothing is packed any more.
  void forget() { next_ = -1; }

  // Bytes by slot, to be set for what the current row reads; slot 0 does not matter.
  uint8_t* wanted() { return wanted_.data(); }

  // Ends the row y: lists what was wanted and is not there yet.
  void pack(int64_t y, Plan& plan) {
    uint8_t *const wanted = wanted_.data(), *const present = present_.data();
    const int32_t end = slots(), deep = rows, wide = blocks;
    if (y != next_) std::memset(present, 0, present_.size());
    next_ = y + 1;
    // What this row reads last comes new; it takes the place of a row that nobody reads any more.
    std::memset(present + 1 + row_of(y + low + deep - 1) * wide, 0, wide);
    wanted[0] = 0;
    const int32_t start = row_of(y + low);
    for (int32_t ring_row = 0; ring_row < deep; ++ring_row) {
      const int64_t at_y = y + low + (ring_row < start ? ring_row + deep - start : ring_row - start);
      const int32_t first = 1 + ring_row * wide;
      for (int32_t at = first; at < first + wide; at += 8) {
        uint64_t want, have;
        std::memcpy(&want, wanted + at, 8);
        std::memcpy(&have, present + at, 8);
        if ((want & ~have) == 0) continue;
        for (int32_t slot = at; slot < std::min(at + 8, first + wide); ++slot) {
          if (!wanted[slot] || present[slot]) continue;
          present[slot] = 1;
          plan.packs.push({static_cast<int32_t>(at_y * w_ + int64_t{slot - first + left} * kBlock), slot});
        }
      }
    }
    std::memset(wanted, 0, end);
  }

 private:
  int64_t w_ = 0, next_ = -1;
  Buffer<uint8_t> wanted_, present_;  // (slots): read by the current row; packed
};

// Where whole patches agree, in a window of a field of vectors, given as two arrays of int32 or twice the
// same. flat[x] = the vectors `half` to both sides of x in the row are all equal, as far as the window goes.
inline void mark_flat(const int32_t* __restrict a, const int32_t* __restrict b, int64_t width, int half,
                      uint8_t* __restrict equal, uint8_t* __restrict flat) {
  std::memset(flat, 1, width);
  for (int64_t x = 0; x + 1 < width; ++x) equal[x] = ((a[x] ^ a[x + 1]) | (b[x] ^ b[x + 1])) == 0;
  for (int64_t i = -half; i < half; ++i) {
    const int64_t begin = std::max<int64_t>(0, -i), end = std::min(width, width - 1 - i);
    for (int64_t x = begin; x < end; ++x) flat[x] &= equal[x + i];
  }
}

inline void mark_same(const int32_t* __restrict a, const int32_t* __restrict b, const int32_t* __restrict c,
                      const int32_t* __restrict d, int64_t width, uint8_t* __restrict same) {
  for (int64_t x = 0; x < width; ++x) same[x] = ((a[x] ^ c[x]) | (b[x] ^ d[x])) == 0;
}

inline void mark_both(const uint8_t* __restrict a, const uint8_t* __restrict b, int64_t width,
                      uint8_t* __restrict marks) {
  for (int64_t x = 0; x < width; ++x) marks[x] &= a[x] & b[x];
}

// Marks of pixels around which all patch**2 vectors agree, as far as they are in the image, for the rows of a
// tile.
class Coherence {
 public:
  // row(y, a, b) says where row y of the field begins, for first - half <= y < last + half; false: outside
  // the image.
  template <class Row>
  void begin(int64_t first, int64_t last, int64_t width, int half, const Row& row) {
    first_ = first - half;
    width_ = width;
    patch_ = 2 * half + 1;
    const int64_t rows = last - first + 2 * half;
    flat_.resize(rows * width);
    same_.resize(rows * width);
    equal_.resize(width);
    marks_.resize(width + kBlock);
    std::memset(marks_.data() + width, 1, kBlock);
    for (int64_t i = 0; i < rows; ++i) {
      const int32_t *a, *b, *c, *d;
      uint8_t *const flat = flat_.data() + i * width, *const same = same_.data() + i * width;
      const bool inside = row(first_ + i, a, b);
      if (inside) {
        mark_flat(a, b, width, half, equal_.data(), flat);
      } else {
        std::memset(flat, 1, width);
      }
      if (i + 1 < rows && inside && row(first_ + i + 1, c, d)) {
        mark_same(a, b, c, d, width, same);
      } else {
        std::memset(same, 1, width);
      }
    }
  }

  // Marks (width) of row y, followed by kBlock set ones.
  const uint8_t* row(int64_t y) {
    const int64_t top = (y - first_ - patch_ / 2) * width_;
    uint8_t* const marks = marks_.data();
    std::memcpy(marks, flat_.data() + top, width_);
    for (int i = 1; i < patch_; ++i) {
      mark_both(same_.data() + top + (i - 1) * width_, flat_.data() + top + i * width_, width_, marks);
    }
    return marks;
  }

 private:
  Buffer<uint8_t> flat_, same_, equal_, marks_;
  int64_t first_ = 0, width_ = 0;
  int patch_ = 0;
};

// Whether all pixels of a block are marked.
inline bool all_marked(const uint8_t* marks) {
  uint64_t a, b;
  std::memcpy(&a, marks, 8);
  std::memcpy(&b, marks + 8, 8);
  return (a & b) == 0x0101010101010101u;
}

}  // namespace
}  // namespace apnt::cpu

// What patch_swap and its transpose do to one plane, as a list that all channels share.
//
// Both are out[p] = sum of weight * in[q] over a few q. Where neighbouring patches move together that is one q of weight
// 1, and a run of such pixels is a copy. Elsewhere a pixel has 2 to patch**2 reads (its transpose any number); pixels
// are listed by that number, so that the loops over the reads can be unrolled. Included once for every set of
// instructions, in an anonymous namespace.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/buffer.h"

namespace apnt::cpu {
namespace {

constexpr int kListed = 9;        // pixels with up to this many reads have a list of their own
constexpr int kLanes = 16;        // pixels examined together
constexpr int32_t kZeros = -1;    // a run that reads nothing
constexpr int32_t kNobody = INT32_MIN;     // inverse: no patch came to this position
constexpr int32_t kSeveral = INT32_MIN + 1;  // inverse: more than one did

struct Run {
  int32_t x, length, from;  // from: place in the plane, or kZeros
};

template <class Acc>
struct Read {
  int32_t from;
  Acc weight;
};

template <class Acc>
struct Pixel {
  int32_t x, reads;
  int64_t first;  // index of its first Read
  Acc scale;      // of the weighted sum
};

// Pixels with `reads` reads each; reads == 0: any number.
template <class Acc>
struct List {
  Buffer<Pixel<Acc>> pixels;
  Buffer<Read<Acc>> reads;
};

template <class Acc>
struct Plan {
  Buffer<Run> runs;
  List<Acc> lists[kListed + 1];              // by number of reads; 0: more than kListed
  Buffer<int64_t> run_end;                   // by row
  Buffer<int64_t> pixel_end[kListed + 1];    // by row
  int64_t weight = 0;                        // about how much there is in the lists

  void clear() {
    runs.clear();
    run_end.clear();
    for (int d = 0; d <= kListed; ++d) {
      lists[d].pixels.clear();
      lists[d].reads.clear();
      pixel_end[d].clear();
    }
    weight = 0;
  }

  int64_t rows() const { return run_end.size(); }

  void end_row() {
    run_end.push(runs.size());
    for (int d = 0; d <= kListed; ++d) pixel_end[d].push(lists[d].pixels.size());
  }

  // Pixels [x, x + length) of the current row become a copy of what begins at `from`.
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

  // Adds a pixel whose `count` reads were written behind list_for(count)'s reads.
  List<Acc>& list_for(int64_t count) { return lists[count <= kListed ? count : 0]; }

  void gather(int32_t x, int64_t count, Acc scale) {
    List<Acc>& list = list_for(count);
    list.pixels.push({x, static_cast<int32_t>(count), list.reads.size(), scale});
    list.reads.advance(count);
    weight += count + 2;
  }
};

// Where whole patches agree: rows of a field of vectors, whose places are given as two int32 arrays or one.
// flat[x] = the vectors around x in the row, `half` to both sides, are all equal; 0 within `half` of the ends.
inline void mark_flat(const int32_t* a, const int32_t* b, int64_t width, int half, uint8_t* equal, uint8_t* flat) {
  if (width < 2 * half + 1) {
    std::memset(flat, 0, width);
    return;
  }
  for (int64_t x = 0; x + 1 < width; ++x) equal[x] = (a[x] == a[x + 1]) & (b[x] == b[x + 1]);
  std::memset(flat, 0, width);
  std::memset(flat + half, 1, width - 2 * half);
  for (int i = 0; i < 2 * half; ++i) {
    for (int64_t x = half; x < width - half; ++x) flat[x] &= equal[x - half + i];
  }
}

inline void mark_same(const int32_t* a, const int32_t* b, const int32_t* c, const int32_t* d, int64_t width,
                      uint8_t* same) {
  for (int64_t x = 0; x < width; ++x) same[x] = (a[x] == c[x]) & (b[x] == d[x]);
}

// coherent[x] = all patch**2 vectors around x agree; rows point at the first of the patch's rows, `stride` apart.
inline void mark_coherent(const uint8_t* flat, const uint8_t* same, int64_t stride, int64_t width, int patch,
                          uint8_t* coherent) {
  std::memcpy(coherent, flat, width);
  for (int i = 1; i < patch; ++i) {
    const uint8_t* down = same + (i - 1) * stride;
    const uint8_t* row = flat + i * stride;
    for (int64_t x = 0; x < width; ++x) coherent[x] &= down[x] & row[x];
  }
}

}  // namespace
}  // namespace apnt::cpu

// Who reads each pixel: lists of the centres whose patches land on a place, in raster order. Sums along them have one
// order, whatever that of the threads. A centre k with an offset lands on k + offset[k]; pixel p is read by the lists of
// all p - o, o in the patch. No work grows with the longest list alone: centres are sorted, not counted one by one, and
// pixels with many reads are summed by whole blocks, piece by piece (gather.cuh).
#pragma once

#include <algorithm>

#include "cuda/arena.cuh"

namespace apnt::cuda {

// Of N images: places are the image's pixels and a border of the pixels from which a patch reaches into it.
struct Field {
  int64_t n;
  int h, w, border_y, border_x;

  __host__ __device__ int64_t plane() const { return int64_t{h} * w; }
  __host__ __device__ int height() const { return h + 2 * border_y; }
  __host__ __device__ int width() const { return w + 2 * border_x; }
  __host__ __device__ uint32_t places() const { return uint32_t(height()) * uint32_t(width()); }  // < 2**31
};

struct ReadLists {
  Field f;
  const int32_t* centres;  // (N, H * W), sorted by their places; those that land nowhere last
  int32_t *first, *last;   // (N, places): where in `centres` a list begins and ends
  // Of the sort.
  uint32_t* keys[2];      // (N, H * W)
  int32_t* sorted[2];     // (N, H * W)
  int32_t *starts, *totals;

  ReadLists(const Field& f, Arena& arena);
};

// offset: (N, 2, H, W).
void list_reads(const int32_t* offset, ReadLists& lists, Stream stream);

// The pixels that more reads reach than one thread sums: up to `piece` of them one block does, more are cut into pieces.
struct LongReads {
  struct Huge {
    int64_t pixel;
    int64_t base;  // number of its first piece
  };
  int half_y, half_x;  // of the patch
  int most, piece;     // reads of a thread, of a block
  int64_t pieces;      // no more than these, of all images
  uint8_t* is_long;    // (N, H, W)
  int64_t* pixels;     // among those of all images, in any order
  Huge* huge;
  unsigned long long* counts;  // of `pixels`; of `huge`, times 2**32, and of their pieces

  // Every centre reads a pixel at most once, so the sums of lists are bounded: there is room for all.
  LongReads(const Field& f, int half_y, int half_x, Arena& arena);
};

void find_long_reads(const ReadLists& lists, const LongReads& longs, Stream stream);

// Calls f(y of o, x of o, first, last) for the lists of image `image` that reach its pixel (y, x), in raster order of o.
template <class F>
__device__ __forceinline__ void for_lists(const ReadLists& lists, const LongReads& longs, int64_t image, int y, int x,
                                          const F& each) {
  const Field& f = lists.f;
  const int64_t places = image * f.places();
  const int row = y + f.border_y, column = x + f.border_x;  // of the place of o = 0
  const int top = max(-longs.half_y, row - f.height() + 1), bottom = min(longs.half_y, row);
  const int left = max(-longs.half_x, column - f.width() + 1), right = min(longs.half_x, column);
  for (int oy = top; oy <= bottom; ++oy) {
    for (int ox = left; ox <= right; ++ox) {
      const int64_t place = places + uint32_t(row - oy) * uint32_t(f.width()) + uint32_t(column - ox);
      const int first = lists.first[place], last = lists.last[place];
      if (last > first) each(oy, ox, first, last);
    }
  }
}

}  // namespace apnt::cuda

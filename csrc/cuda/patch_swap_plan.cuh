// The reads of a pixel: the different source pixels whose mean it is, with their weights.
#pragma once

#include "cuda/channels.cuh"

namespace apnt::cuda {
namespace {

constexpr int kTileX = 32, kTileY = 8;  // pixels of a block, one a thread; a row is one warp

// Resident blocks of a multiprocessor: as many as the registers allow without spills. Four of them have 32 KB
// of float32 reads in flight, more than an H200 needs for its full bandwidth.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
constexpr int kFloatBlocks = 4;
#else
constexpr int kFloatBlocks = 3;
#endif
template <class S>
constexpr int kBlocks = sizeof(S) == 8 ? 2 : kFloatBlocks;

// Blocks that keep every processor of an H200 busy. Where there are as many, channels are not shared out further, because
// each block computes its plans again.
constexpr int64_t kEnoughBlocks = 8 * 132;

struct Shape {
  int64_t n, c;
  int h, w;
};

// Index of the source pixel that the patch centred at (cy, cx) moves to pixel (y, x); -1 if one of them is
// outside.
__device__ __forceinline__ int read_at(const Shape& s, int y, int x, int dy, int dx) {
  // In 64 bits: an offset may be any int32.
  const int64_t from_y = int64_t{y} + dy, from_x = int64_t{x} + dx;
  const bool inside = from_y >= 0 && from_y < s.h && from_x >= 0 && from_x < s.w;
  return inside ? static_cast<int>(from_y * s.w + from_x) : -1;
}

// Calls f(place) for every read of pixel (y, x), in raster order of the patch. offset: (2, H, W).
template <class F>
__device__ __forceinline__ void for_reads(const int32_t* __restrict__ offset, const Shape& s, int patch,
                                          int y, int x, const F& f) {
  const int half = patch / 2;
  const int64_t plane = int64_t{s.h} * s.w;
  const int top = max(y - half, 0), bottom = static_cast<int>(min(int64_t{y} + half, int64_t{s.h} - 1));
  const int left = max(x - half, 0), right = static_cast<int>(min(int64_t{x} + half, int64_t{s.w} - 1));
  for (int cy = top; cy <= bottom; ++cy) {
    for (int cx = left; cx <= right; ++cx) {
      const int64_t centre = int64_t{cy} * s.w + cx;
      const int at = read_at(s, y, x, offset[centre], offset[plane + centre]);
      if (at >= 0) f(at);
    }
  }
}

// The reads of the pixels of one block, a pixel a thread. An offset that occurs several times in the patch is
// one read with a larger weight.
template <class S, int Patch>
struct Plan {
  static constexpr int kHalf = Patch / 2, kWidth = kTileX + 2 * kHalf, kHeight = kTileY + 2 * kHalf;
  static constexpr int kOutside = INT32_MIN;

  static_assert(Patch * Patch < 16, "how often a read counts has four bits");

  int at[Patch * Patch];  // -1: no read, or equal to an earlier one
  uint64_t times;         // the weight of each, in four bits: nine floats would take too many registers
  S share;                // 1 / number of reads

  // Exactly 1 if all reads are equal: in float and double n * (1 / n) is 1 for every n that occurs.
  __device__ __forceinline__ S weight(int o) const {
    return S(static_cast<int>(static_cast<unsigned>(times >> (4 * o)) & 15)) * share;
  }

  // All threads of the block; (x0, y0) is the block's first pixel.
  __device__ __forceinline__ void make(const int32_t* __restrict__ offset, const Shape& s, int x0, int y0) {
    APNT_SHARED(int, dy, [kHeight][kWidth]);
    APNT_SHARED(int, dx, [kHeight][kWidth]);
    const int64_t plane = int64_t{s.h} * s.w;
    const int tid = threadIdx.y * kTileX + threadIdx.x;
    __syncthreads();  // the tile before this one has been read
    for (int i = tid; i < kHeight * kWidth; i += kTileX * kTileY) {
      const int r = i / kWidth, q = i % kWidth, cy = y0 + r - kHalf, cx = x0 + q - kHalf;
      const bool inside = cy >= 0 && cy < s.h && cx >= 0 && cx < s.w;
      const int64_t centre = int64_t{cy} * s.w + cx;
      dy[r][q] = inside ? __ldg(offset + centre) : kOutside;
      dx[r][q] = inside ? __ldg(offset + plane + centre) : 0;
    }
    __syncthreads();

    const int y = y0 + threadIdx.y, x = x0 + threadIdx.x;
    int count = 0;
    times = 0;
#pragma unroll
    for (int o = 0; o < Patch * Patch; ++o) {
      const int r = threadIdx.y + o / Patch, q = threadIdx.x + o % Patch;
      // A row far outside the image stays outside with every int32 offset.
      const int place = dy[r][q] == kOutside ? -1 : read_at(s, y, x, dy[r][q], dx[r][q]);
      bool known = place < 0;
      count += place >= 0;
#pragma unroll
      for (int e = 0; e < o; ++e) {
        if (at[e] == place && place >= 0) {
          times += uint64_t{1} << (4 * e);
          known = true;
        }
      }
      at[o] = known ? -1 : place;
      if (!known) times += uint64_t{1} << (4 * o);
    }
    share = count ? S(1) / S(count) : S(0);
    if (y >= s.h || x >= s.w) {
#pragma unroll
      for (int o = 0; o < Patch * Patch; ++o) at[o] = -1;
    }
  }

  // Bit o is set if a pixel of the warp has read o. All threads of the warp must call it.
  __device__ __forceinline__ unsigned used() const {
    unsigned mine = 0;
#pragma unroll
    for (int o = 0; o < Patch * Patch; ++o) {
      if (at[o] >= 0) mine |= 1u << o;
    }
    return __reduce_or_sync(0xffffffffu, mine);
  }
};

}  // namespace
}  // namespace apnt::cuda

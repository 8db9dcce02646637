// One round of window_match_centered.cu: it copies pixels to shared memory, multiplies the 4 x 4 target
// pixels of a block with the source pixels of its candidates, sums boxes, divides and selects the best
// candidates. FmaBlocks multiplies float32.
#pragma once

#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kReach = 2, kBorder = 1;  // largest radius and half patch
constexpr int kSpan = 2 * kReach + 1, kCandidates = kSpan * kSpan;
constexpr int kTargetSide = 2 + 2 * kBorder;           // target pixels of a block, in each direction
constexpr int kSourceSide = kTargetSide + 2 * kReach;  // source pixels
constexpr int kProducts = kTargetSide * kTargetSide * kCandidates;  // [target pixel][candidate]
constexpr int kTileCols = 16, kMostRows = 8, kMostPixels = kTileCols * kMostRows,
              kMostBlocks = kMostPixels / 4;

// A tile in shared memory. Pixel 4 * b + 2 * ky + kx is that of block b = 8 * by + bx.
struct Tile {
  Step center[kMostPixels];
  int pending[kMostPixels];
  int lead[kMostBlocks];                // the pixel whose centre counts in this round, -1: none is pending
  int window[kMostBlocks];              // position of the block's window in the region, -1: not inside
  int top, bottom, left, right, first;  // of the windows' corners; first block that is pending
};

// The data of a round.
template <class T>
struct Round {
  const Match<T>& m;
  Tile& tile;
  const int* places;  // place in the image's plane of each staged pixel, -1 outside: region, then target
  float* squares;     // of the region's pixels
  float* scales;      // one over the norms of the patches around them, except at the region's edge
  int64_t image;
  int y0, x0, rows;   // of the tile
  int capacity;       // the largest number of pixels of a region
  int region, pitch;  // pixels of the region, of a row of it
};

__device__ __forceinline__ int block_row(int b) { return b / (kTileCols / 2) * 2; }
__device__ __forceinline__ int block_col(int b) { return b % (kTileCols / 2) * 2; }

// The unit of stores to shared memory.
template <class T>
struct alignas(16) Packet {
  T features[16 / sizeof(T)];
};

// Channels c0 ... of the staged pixels, 16 bytes at a time; zero outside. Returns how many 16 bytes a pixel
// has, a multiple of kAlign: stored at `at(place, part)`. A thread has kAhead of them in flight, to
// hide the latency. Sums the squares of the region, always in the order of the channels.
template <class T, int kChunk, int kAlign, int kAhead, class At>
__device__ __forceinline__ int stage(const Round<T>& r, int c0, int pixels, const At& at) {
  constexpr int kEach = 16 / sizeof(T);
  static_assert(kChunk % (kEach * kAhead) == 0, "what is read ahead would belong to the next chunk");
  const int parts = ceil_div(min(kChunk, r.m.c - c0), kEach * kAlign) * kAlign;
  const int64_t plane = r.m.plane(), first = (r.image * r.m.c + c0) * plane;
  for (int i = threadIdx.x; i < pixels; i += blockDim.x) {
    const int place = r.places[i];
    const T* from = (i < r.region ? r.m.source : r.m.target) + first + place;
    const int channels = place >= 0 ? r.m.c - c0 : 0;
    float squares = c0 == 0 || i >= r.region ? 0 : r.squares[i];
    for (int part = 0; part < parts; part += kAhead) {
      Packet<T> values[kAhead];
#pragma unroll
      for (int a = 0; a < kAhead; ++a)
#pragma unroll
        for (int e = 0; e < kEach; ++e, from += plane)
          values[a].features[e] = (part + a) * kEach + e < channels ? *from : T();
#pragma unroll
      for (int a = 0; a < kAhead; ++a)
#pragma unroll
        for (int e = 0; e < kEach; ++e)
          squares += to_float(values[a].features[e]) * to_float(values[a].features[e]);
#pragma unroll
      for (int a = 0; a < kAhead; ++a)
        if (part + a < parts) *reinterpret_cast<Packet<T>*>(at(i, part + a)) = values[a];
    }
    if (i < r.region) r.squares[i] = squares;
  }
  return parts;
}

// From the squares, between two barriers.
template <class T>
__device__ __forceinline__ void put_scales(const Round<T>& r) {
  const int half = r.m.patch / 2, first = kBorder * (r.pitch + 1);
  for (int i = threadIdx.x + first; i < r.region - first; i += blockDim.x) {
    float sum = 0;
#pragma unroll
    for (int x = -kBorder; x <= kBorder; ++x) {
      float column = 0;
#pragma unroll
      for (int y = -kBorder; y <= kBorder; ++y)
        if (abs(x) <= half && abs(y) <= half) column += r.squares[i + y * r.pitch + x];
      sum += column;
    }
    r.scales[i] = r.m.by_source ? 1.0f / floored_norm(sum) : 1.0f;
  }
}

// Whether pixel p is matched in this round.
__device__ __forceinline__ bool is_served(const Tile& tile, int p) {
  const int b = p / 4;
  if (tile.window[b] < 0 || !tile.pending[p]) return false;
  const Step own = tile.center[p], lead = tile.center[tile.lead[b]];
  return own.dy == lead.dy && own.dx == lead.dx;
}

// Candidate k of pixel p, from its block's products.
template <class T>
__device__ __forceinline__ void take_candidate(const Round<T>& r, int p, int k, const float* products,
                                               Best& best) {
  const int dy = k / kSpan - kReach, dx = k % kSpan - kReach;
  if (abs(dy) > r.m.radius || abs(dx) > r.m.radius) return;
  const int b = p / 4, ky = p % 4 / 2, kx = p % 2;
  const int y = r.y0 + block_row(b) + ky + r.tile.center[p].dy + dy;
  const int x = r.x0 + block_col(b) + kx + r.tile.center[p].dx + dx;
  if (y < 0 || y >= r.m.h || x < 0 || x >= r.m.w) return;
  const int half = r.m.patch / 2;
  float sum = 0;
#pragma unroll
  for (int j = -kBorder; j <= kBorder; ++j) {
    float column = 0;
#pragma unroll
    for (int i = -kBorder; i <= kBorder; ++i)
      if (abs(i) <= half && abs(j) <= half)
        column += products[((ky + kBorder + i) * kTargetSide + kx + kBorder + j) * kCandidates + k];
    sum += column;
  }
  const int in_window = (ky + kBorder + kReach + dy) * r.pitch + kx + kBorder + kReach + dx;
  best.take(sum * r.scales[r.tile.window[b] + in_window], candidate_key(dy, dx));
}

template <class T>
__device__ __forceinline__ void write_pixel(const Round<T>& r, int p, Best best) {
  const int b = p / 4;
  write_match(r.m, r.image, r.y0 + block_row(b) + p % 4 / 2, r.x0 + block_col(b) + p % 2, r.tile.center[p],
              best);
  r.tile.pending[p] = 0;
}

// Products on the CUDA cores. A block has four threads, a row of its target pixels each.
struct FmaBlocks {
  using Element = float;
  static constexpr int kThreads = kMostBlocks * kTargetSide, kChunk = 16, kRegion = 640;
  static constexpr int kTargetPitch =
      kTileCols + 2 * kBorder + 1;  // odd, as the region's, so that rows are in different banks
  static constexpr int kSlots = kRegion + kTargetPitch * (kMostRows + 2 * kBorder);
  static constexpr int kBlockProducts = kProducts + 1;  // so that blocks are in different banks
  static constexpr int kStaged = 4 * kSlots * kChunk, kPut = 4 * kMostBlocks * kBlockProducts;  // bytes
  static constexpr int kBytes = kStaged > kPut ? kStaged : kPut;

  static constexpr int kResident = 2;  // thread blocks of a multiprocessor

  static int tile_rows(int /*c*/) { return kMostRows; }
  static __host__ __device__ constexpr int capacity(int /*rows*/) { return kRegion; }
  static int bytes(int /*rows*/) { return kBytes; }
  static __host__ __device__ constexpr int pitch(int cols) { return cols | 1; }

  static __device__ __forceinline__ void run(const Round<float>& r, int pixels, unsigned char* memory) {
    float4* const staged = reinterpret_cast<float4*>(memory);  // [4 channels][pixel]
    float* const products = reinterpret_cast<float*>(memory);
    // Eight threads that read at the same time have blocks above each other.
    const int lane = threadIdx.x % 32, ty = lane % kTargetSide, in_warp = lane / kTargetSide;
    const int by = in_warp % (kMostRows / 2), bx = threadIdx.x / 32 * 2 + in_warp / (kMostRows / 2);
    const int b = by * (kTileCols / 2) + bx, window = r.tile.window[b];

    float acc[kSpan][kSpan][kTargetSide];
#pragma unroll
    for (int i = 0; i < kSpan; ++i)
#pragma unroll
      for (int j = 0; j < kSpan; ++j)
#pragma unroll
        for (int k = 0; k < kTargetSide; ++k) acc[i][j][k] = 0;

    for (int c0 = 0; c0 < r.m.c; c0 += kChunk) {
      __syncthreads();
      const int parts = stage<float, kChunk, 1, 4>(
          r, c0, pixels, [=](int i, int part) { return staged + part * kSlots + i; });
      __syncthreads();
      if (window < 0) continue;
      for (int part = 0; part < parts; ++part) {
        const float4* target = staged + part * kSlots + r.region + (2 * by + ty) * kTargetPitch + 2 * bx;
        const float4* source = staged + part * kSlots + window + ty * r.pitch;
        float4 t[kTargetSide];
#pragma unroll
        for (int k = 0; k < kTargetSide; ++k) t[k] = target[k];
#pragma unroll
        for (int i = 0; i < kSpan; ++i, source += r.pitch)
#pragma unroll
          for (int x = 0; x < kSourceSide; ++x) {
            const float4 s = source[x];
#pragma unroll
            for (int k = 0; k < kTargetSide; ++k) {
              const int j = x - k;
              if (j < 0 || j >= kSpan) continue;
              acc[i][j][k] += t[k].x * s.x;
              acc[i][j][k] += t[k].y * s.y;
              acc[i][j][k] += t[k].z * s.z;
              acc[i][j][k] += t[k].w * s.w;
            }
          }
      }
    }
    __syncthreads();
    put_scales(r);
    float* const own = products + b * kBlockProducts;
#pragma unroll
    for (int i = 0; i < kSpan; ++i)
#pragma unroll
      for (int j = 0; j < kSpan; ++j)
#pragma unroll
        for (int k = 0; k < kTargetSide; ++k)
          own[(ty * kTargetSide + k) * kCandidates + i * kSpan + j] = acc[i][j][k];
    __syncthreads();
    // One pixel per thread.
    const int p = 4 * b + ty;
    if (!is_served(r.tile, p)) return;
    Best best;
    best.clear();
#pragma unroll 5
    for (int k = 0; k < kCandidates; ++k) take_candidate(r, p, k, own, best);
    write_pixel(r, p, best);
  }
};

}  // namespace
}  // namespace apnt::cuda

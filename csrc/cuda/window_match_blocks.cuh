// One round of window_match_centered.cu: it copies pixels to shared memory, multiplies the 4 x 4 target
// pixels of a block with the source pixels of its candidates, sums boxes, divides and selects the best
// candidates. FmaBlocks multiplies float32, MmaBlocks half precision, and float32 that may be rounded to
// tf32.
#pragma once

#include "cuda/mma.cuh"
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
  float* norms;       // of the patches around them, except at the region's edge
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
// hide the latency. Sums the squares of the region, always in the order of the channels. kRound: stores
// float32 rounded to tf32.
template <class T, int kChunk, int kAlign, int kAhead, bool kRound, class At>
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
      if constexpr (kRound) {
#pragma unroll
        for (int a = 0; a < kAhead; ++a)
#pragma unroll
          for (int e = 0; e < kEach; ++e)
            values[a].features[e] = __uint_as_float(to_tf32(values[a].features[e]));
      }
#pragma unroll
      for (int a = 0; a < kAhead; ++a)
        if (part + a < parts) *reinterpret_cast<Packet<T>*>(at(i, part + a)) = values[a];
    }
    if (i < r.region) r.squares[i] = squares;
  }
  return parts;
}

// Norms of the patches, from the squares, between two barriers.
template <class T>
__device__ __forceinline__ void sum_norms(const Round<T>& r) {
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
    r.norms[i] = r.m.by_source ? floored_norm(sum) : 1.0f;
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
  best.take(sum / r.norms[r.tile.window[b] + in_window], candidate_key(dy, dx));
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
      const int parts = stage<float, kChunk, 1, 4, false>(
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
    sum_norms(r);
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

// Products on the tensor cores: the 16 target pixels of a block by the 8 source pixels of each row of its
// window. A warp has two blocks at a time; a tile takes one pass for every 16 blocks. float32 is rounded
// to tf32; its fragments are those of half precision, 4 features for 8 in 16 bytes.
template <class T>
struct MmaBlocks {
  using Element = T;
  static constexpr int kWarps = 8, kEach = 2, kThreads = 32 * kWarps, kRegion = 400;
  static constexpr int kPart = 16 / sizeof(T), kChunk = 8 * kPart;  // features
  static constexpr int kPassRows = 4, kAhead = sizeof(T);           // 16 features in flight
  static constexpr int kTargetPitch = 20;  // the rows of a matrix, 2 x 4 pixels, lie in different banks
  static constexpr int kSlots = kRegion + kTargetPitch * (kMostRows + 2 * kBorder);
  static constexpr int kPixel = kChunk + kPart;  // features: an odd multiple of 16 bytes
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  static constexpr int kResident = 1;  // two do not fit the shared memory and leave too few registers
#else
  static constexpr int kResident = 2;
#endif

  static __host__ __device__ constexpr int capacity(int rows) { return rows > kPassRows ? kRegion : 304; }
  static __host__ __device__ constexpr int staged_bytes(int rows) {
    return int(sizeof(T)) * kPixel * (capacity(rows) + kTargetPitch * (rows + 2 * kBorder));
  }
  static int bytes(int rows) { return staged_bytes(rows) + 4 * kWarps * kProducts; }

  // Two passes if one chunk holds all channels, so that nothing is copied twice, and the shared memory is
  // large.
  static int tile_rows(int c) {
    constexpr int kStatic = sizeof(Tile) + 4 * kSlots + 8 * kRegion + 512;
    return c <= kChunk && bytes(2 * kPassRows) + kStatic <= shared_limit() ? 2 * kPassRows : kPassRows;
  }
  static __host__ __device__ constexpr int pitch(int cols) { return cols; }

  static __device__ __forceinline__ void run(const Round<T>& r, int pixels, unsigned char* memory) {
    T* const staged = reinterpret_cast<T*>(memory);  // [pixel][channel]
    const int warp = threadIdx.x / 32;
    float* const products = reinterpret_cast<float*>(memory + staged_bytes(r.rows)) + warp * kProducts;
    int parts = 0;
    for (int pass = 0; pass < r.rows / kPassRows; ++pass) {
      const int b0 = (pass * (kPassRows / 2) + warp / 4) * (kTileCols / 2) + warp % 4 * kEach;
      float acc[kEach][kSourceSide][4];
#pragma unroll
      for (int i = 0; i < kEach; ++i)
#pragma unroll
        for (int n = 0; n < kSourceSide; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) acc[i][n][e] = 0;

      for (int c0 = 0; c0 < r.m.c; c0 += kChunk) {
        if (pass == 0) {  // tile_rows: with more passes there is one chunk
          __syncthreads();
          parts = stage<T, kChunk, 2, kAhead, std::is_same_v<T, float>>(
              r, c0, pixels, [=](int i, int part) { return staged + i * kPixel + part * kPart; });
          __syncthreads();
        }
        multiply(r, b0, staged, parts, acc);
      }
      if (pass == 0) {
        __syncthreads();
        sum_norms(r);
        __syncthreads();
      }
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        if (r.tile.window[b0 + i] < 0) continue;
        put(acc[i], products);
        __syncwarp();
        choose(r, b0 + i, products);
      }
    }
  }

  static __device__ __forceinline__ void multiply(const Round<T>& r, int b0, const T* staged, int parts,
                                                  float (&acc)[kEach][kSourceSide][4]) {
    // Lane 8 * i + row of a load names a row of matrix i: a pixel, kPart channels. A: pixels 0, 8, then the
    // next channels. B: the channels, the next ones, then the next source row.
    const int lane = threadIdx.x % 32, row = lane % 8, matrix = lane / 8, pixel = matrix % 2 * 8 + row;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int b = b0 + i, window = r.tile.window[b];
      if (window < 0) continue;
      const int target_pixel =
          (block_row(b) + pixel / kTargetSide) * kTargetPitch + block_col(b) + pixel % kTargetSide;
      const T* target = staged + (r.region + target_pixel) * kPixel + matrix / 2 * kPart;
      const T* source = staged + (window + matrix / 2 * r.pitch + row) * kPixel + matrix % 2 * kPart;
#pragma unroll 1
      for (int k = 0; k < parts * kPart; k += 2 * kPart) {
        uint32_t a[4];
        ldmatrix_x4(a, target + k);
#pragma unroll
        for (int n = 0; n < kSourceSide; n += 2) {
          uint32_t columns[4];
          ldmatrix_x4(columns, source + n * r.pitch * kPixel + k);
          const uint32_t upper[2] = {columns[0], columns[1]}, lower[2] = {columns[2], columns[3]};
          mma(acc[i][n], a, upper, T());
          mma(acc[i][n + 1], a, lower, T());
        }
      }
    }
  }

  static __device__ __forceinline__ void put(const float (&acc)[kSourceSide][4], float* products) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < kSourceSide; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int pixel = lane / 4 + e / 2 * 8, dy = n - pixel / kTargetSide,
                  dx = lane % 4 * 2 + e % 2 - pixel % kTargetSide;
        if (dy < 0 || dy >= kSpan || dx < 0 || dx >= kSpan) continue;
        products[pixel * kCandidates + dy * kSpan + dx] = acc[n][e];
      }
  }

  // Eight lanes per pixel.
  static __device__ __forceinline__ void choose(const Round<T>& r, int b, const float* products) {
    const int lane = threadIdx.x % 32, p = 4 * b + lane / 8;
    const bool served = is_served(r.tile, p);
    Best best;
    best.clear();
    if (served)
      for (int k = lane % 8; k < kCandidates; k += 8) take_candidate(r, p, k, products, best);
#pragma unroll
    for (int step = 1; step < 8; step *= 2) {
      const float score = __shfl_xor_sync(0xffffffffu, best.score, step);
      const uint32_t key = __shfl_xor_sync(0xffffffffu, best.key, step);
      best.take(score, key);
    }
    // All lanes have read the pixel's state, which one of them changes, and the products, which the next block's
    // replace: shuffles order registers, not memory.
    __syncwarp();
    if (served && lane % 8 == 0) write_pixel(r, p, best);
  }
};

}  // namespace
}  // namespace apnt::cuda

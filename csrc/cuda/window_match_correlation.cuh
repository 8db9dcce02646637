// Products of target pixels with source pixels at every displacement of a slice, for window_match_shared.cu:
// a thread has its own in registers while chunks of channels pass through shared memory, and finally stores
// them there, a plane per displacement. Three kinds: FmaCorrelation of float32, MmaCorrelation of half
// precision, Tf32Correlation of float32 that may be rounded to tf32.
#pragma once

#include "cuda/mma.cuh"
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kCols = 16;           // of target pixels; their number of rows depends on the kind
constexpr int kDys = 6, kDxs = 17;  // displacements of a slice, at most
constexpr int kSourceCols = kCols + kDxs - 1;
constexpr int kProductRow = 20;  // floats

// Floats of a plane of products, 4 more than it holds, so that fragments are stored without bank conflicts.
template <class Correlation>
constexpr int kProductPlane = Correlation::kRows * kProductRow + 4;

// Position of a slice. The columns are even for windows without a centre, so that pairs of half-precision
// features are aligned wherever the image's rows are.
struct Tile {
  int64_t image;                               // first element of the image in both maps
  int target_y, target_x, source_y, source_x;  // first row and column, possibly outside
  int source_rows, source_cols;                // that the slice needs
};

// Channels c0 ... c0 + kChunk - 1, zero outside; a warp copies a source row or two target rows at a time.
template <class Correlation>
__device__ __forceinline__ void stage_floats(const Match<float>& m, const Tile& t, int c0, float* to) {
  const int lane = threadIdx.x % 32, warps = blockDim.x / 32;
  for (int line = threadIdx.x / 32; line < t.source_rows + Correlation::kRows / 2; line += warps) {
    const bool source = line < t.source_rows;
    const int row = source ? line : (line - t.source_rows) * 2 + lane / kCols,
              col = source ? lane : lane % kCols;
    const int y = (source ? t.source_y : t.target_y) + row, x = (source ? t.source_x : t.target_x) + col;
    if (source && col >= t.source_cols) continue;
    const bool inside = y >= 0 && y < m.h && x >= 0 && x < m.w;
    const int64_t plane = m.plane();
    const float* from =
        (source ? m.source : m.target) + t.image + c0 * plane + (inside ? int64_t(y) * m.w + x : 0);
    float* at =
        to + (source ? Correlation::kChunk * Correlation::kTargetChannel + row * Correlation::kSourceRow + col
                     : row * Correlation::kTargetRow + col);
    const int pitch = source ? Correlation::kSourceChannel : Correlation::kTargetChannel;
#pragma unroll
    for (int k = 0; k < Correlation::kChunk; ++k)
      cp_async_4(at + k * pitch, from + k * plane, inside && c0 + k < m.c);
  }
}

// Products on the CUDA cores. A warp has one row of displacements and kD columns, a thread 8 target pixels of
// a row.
template <int kD>
struct FmaCorrelation {
  using Element = float;
  static constexpr int kRows = 16, kSourceRows = kRows + kDys - 1;
  static constexpr int kGroupStep = kD - 1, kChunk = 8, kStages = 2;
  static constexpr int kMostThreads = 32 * kDys * (kD > 5 ? 2 : 1);
  static constexpr int kTargetRow = 20, kTargetChannel = kRows * kTargetRow;
  static constexpr int kSourceRow = 36, kSourceChannel = kSourceRows * kSourceRow;
  static constexpr int kStage = kChunk * (kTargetChannel + kSourceChannel);  // elements

  float acc[kD][8];
  int dy, group;  // of the slice
  bool idle;

  static int warps(int dys, int dxs) { return dys * (dxs > kD ? 2 : 1); }

  __device__ __forceinline__ void start(int dys, int dxs) {
    dy = threadIdx.x / 32 % dys;
    group = threadIdx.x / 32 / dys;
    idle = group > 0 && (group > 1 || dxs <= kD);
#pragma unroll
    for (int d = 0; d < kD; ++d)
#pragma unroll
      for (int i = 0; i < 8; ++i) acc[d][i] = 0;
  }

  static __device__ __forceinline__ void stage(const Match<float>& m, const Tile& t, int c0, float* to) {
    stage_floats<FmaCorrelation>(m, t, c0, to);
  }

  __device__ __forceinline__ void multiply(const float* staged) {
    if (idle) return;
    const int lane = threadIdx.x % 32, row = lane % kRows, side = lane / kRows;
    const float* target = staged + row * kTargetRow + side * 8;
    const float* source =
        staged + kChunk * kTargetChannel + (row + dy) * kSourceRow + side * 8 + group * kGroupStep;
    // Twice would spill there.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
#pragma unroll 1
#else
#pragma unroll 2
#endif
    for (int k = 0; k < kChunk; ++k) {
      constexpr int kWide = (8 + kD - 1 + 3) / 4 * 4;
      float t[8], s[kWide];
#pragma unroll
      for (int i = 0; i < 8; i += 4)
        *reinterpret_cast<float4*>(t + i) = *reinterpret_cast<const float4*>(target + k * kTargetChannel + i);
#pragma unroll
      for (int i = 0; i < kWide; i += 4)
        *reinterpret_cast<float4*>(s + i) = *reinterpret_cast<const float4*>(source + k * kSourceChannel + i);
#pragma unroll
      for (int d = 0; d < kD; ++d)
#pragma unroll
        for (int i = 0; i < 8; ++i) acc[d][i] += t[i] * s[i + d];
    }
  }

  __device__ __forceinline__ void put(float* products, int dxs, int /*dys*/) const {
    if (idle) return;
    const int lane = threadIdx.x % 32, row = lane % kRows, side = lane / kRows;
#pragma unroll
    for (int d = 0; d < kD; ++d) {
      const int dx = group * kGroupStep + d;
      // The last column of the first group is the first one of the second.
      if (dx >= dxs || (d == kD - 1 && group == 0 && dxs > kD)) continue;
      float* at = products + (dy * dxs + dx) * kProductPlane<FmaCorrelation> + row * kProductRow + side * 8;
#pragma unroll
      for (int i = 0; i < 8; i += 4)
        *reinterpret_cast<float4*>(at + i) =
            make_float4(acc[d][i], acc[d][i + 1], acc[d][i + 2], acc[d][i + 3]);
    }
  }
};

// Products on the tensor cores: 16 target pixels of a row against the 32 source pixels of a row that hold
// their windows; the band on the diagonal is used. A warp has 2 target rows and 3 rows of displacements: 4
// source rows.
struct MmaBand {
  // 12 rows are 12 warps, which leaves 168 registers per thread: 96 hold products. Too few on sm_120, where shared
  // memory is small: there half a slice is multiplied at a time, with half the warps.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
  static constexpr int kMostThreads = 192;
#else
  static constexpr int kMostThreads = 384;
#endif
  static constexpr int kRows = 12, kSourceRows = kRows + kDys - 1;
  static constexpr int kTargetRow = kCols, kSourceRow = kSourceCols;
  static constexpr int kPairRows = 2, kTripleDys = 3, kTiles = kSourceCols / 8;

  float acc[kPairRows][kTripleDys][kTiles][4];
  int row, dy;  // the first ones
  bool idle;

  static int warps(int dys, int /*dxs*/) { return kRows / kPairRows * ceil_div(dys, kTripleDys); }

  __device__ __forceinline__ void start(int dys, int /*dxs*/) {
    row = threadIdx.x / 32 % (kRows / kPairRows) * kPairRows;
    dy = threadIdx.x / 32 / (kRows / kPairRows) * kTripleDys;
    idle = dy >= dys;
#pragma unroll
    for (int i = 0; i < kPairRows; ++i)
#pragma unroll
      for (int j = 0; j < kTripleDys; ++j)
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) acc[i][j][n][e] = 0;
  }

  __device__ __forceinline__ void put(float* products, int dxs, int dys) const {
    if (idle) return;
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int p = 0; p < kPairRows; ++p)
#pragma unroll
      for (int d = 0; d < kTripleDys; ++d)
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const int x = lane / 4 + e / 2 * 8, dx = n * 8 + lane % 4 * 2 + e % 2 - x;
            if (dx < 0 || dx >= dxs || dy + d >= dys) continue;
            products[((dy + d) * dxs + dx) * kProductPlane<MmaBand> + (row + p) * kProductRow + x] =
                acc[p][d][n][e];
          }
  }
};

// Of half precision.
template <class T>
struct MmaCorrelation : MmaBand {
  using Element = T;
  static constexpr int kChunk = 16, kStages = 3;
  // A channel is an odd multiple of 16 bytes, so that the rows of a matrix lie in different banks.
  static constexpr int kTargetChannel = ceil_div(kRows * kTargetRow, 64) * 64 + 8;
  static constexpr int kSourceChannel = ceil_div(kSourceRows * kSourceRow, 64) * 64 + 8;
  static constexpr int kStage = kChunk * (kTargetChannel + kSourceChannel);

  // As above, a pair of pixels a lane: two source rows or four target rows a warp.
  static __device__ __forceinline__ void stage(const Match<T>& m, const Tile& t, int c0, T* to) {
    constexpr int kSourcePairs = kSourceCols / 2, kTargetPairs = kCols / 2;
    const int lane = threadIdx.x % 32, warps = blockDim.x / 32,
              lines = ceil_div(t.source_rows, 32 / kSourcePairs);
    for (int line = threadIdx.x / 32; line < lines + ceil_div(kRows * kTargetPairs, 32); line += warps) {
      const bool source = line < lines;
      const int pairs = source ? kSourcePairs : kTargetPairs;
      const int row = (source ? line : line - lines) * (32 / pairs) + lane / pairs, col = lane % pairs * 2;
      if (row >= (source ? t.source_rows : kRows) || (source && col >= t.source_cols)) continue;
      const int y = (source ? t.source_y : t.target_y) + row, x = (source ? t.source_x : t.target_x) + col;
      const bool in_row = y >= 0 && y < m.h;
      const bool first = in_row && x >= 0 && x < m.w, second = in_row && x + 1 >= 0 && x + 1 < m.w;
      const int64_t plane = m.plane();
      const unsigned short* from = reinterpret_cast<const unsigned short*>(source ? m.source : m.target) +
                                   t.image + c0 * plane + (first || second ? int64_t(y) * m.w + x : 0);
      T* at = to + (source ? kChunk * kTargetChannel + row * kSourceRow + col : row * kTargetRow + col);
      const int pitch = source ? kSourceChannel : kTargetChannel;
#pragma unroll 1
      for (int k = 0; k < kChunk; ++k, from += plane, at += pitch) {
        const bool channel = c0 + k < m.c;
        if (first && second && reinterpret_cast<uintptr_t>(from) % 4 == 0) {
          cp_async_4(at, from, channel);
        } else {
          const unsigned low = first && channel ? from[0] : 0, high = second && channel ? from[1] : 0;
          *reinterpret_cast<uint32_t*>(at) = low | high << 16;
        }
      }
    }
  }

  __device__ __forceinline__ void multiply(const T* staged) {
    if (idle) return;
    // Lane 8 * i + r of a load names row r of matrix i: a channel, 8 pixels. A: pixels 0, 8, then channels 8
    // on. B: channels 0, 8, then pixels 8 on.
    const int lane = threadIdx.x % 32, r = lane % 8, i = lane / 8;
    const T* target = staged + (r + i / 2 * 8) * kTargetChannel + row * kTargetRow + i % 2 * 8;
    const T* source = staged + kChunk * kTargetChannel + (r + i % 2 * 8) * kSourceChannel +
                      (row + dy) * kSourceRow + i / 2 * 8;
#pragma unroll 1
    for (int k = 0; k < kChunk; k += 16) {
      uint32_t a[kPairRows][4];
#pragma unroll
      for (int p = 0; p < kPairRows; ++p)
        ldmatrix_x4_trans(a[p], target + k * kTargetChannel + p * kTargetRow);
#pragma unroll
      for (int s = 0; s < kPairRows + kTripleDys - 1; ++s)
#pragma unroll
        for (int n = 0; n < kTiles; n += 2) {
          uint32_t b[4];
          ldmatrix_x4_trans(b, source + k * kSourceChannel + s * kSourceRow + n * 8);
          const uint32_t left[2] = {b[0], b[1]}, right[2] = {b[2], b[3]};
#pragma unroll
          for (int p = 0; p < kPairRows; ++p) {
            const int d = s - p;
            if (d < 0 || d >= kTripleDys) continue;
            mma(acc[p][d][n], a[p], left, T());
            mma(acc[p][d][n + 1], a[p], right, T());
          }
        }
    }
  }
};

// Of float32 features, rounded to tf32 when they are loaded to registers: the norms are sums of the unrounded
// ones.
struct Tf32Correlation : MmaBand {
  using Element = float;
  static constexpr int kChunk = 8, kStages = 3;
  // The four channels that a warp reads together are 8 banks apart.
  static constexpr int kTargetChannel = ceil_div(kRows * kTargetRow, 32) * 32 + 8;
  static constexpr int kSourceChannel = ceil_div(kSourceRows * kSourceRow, 32) * 32 + 8;
  static constexpr int kStage = kChunk * (kTargetChannel + kSourceChannel);

  static __device__ __forceinline__ void stage(const Match<float>& m, const Tile& t, int c0, float* to) {
    stage_floats<Tf32Correlation>(m, t, c0, to);
  }

  __device__ __forceinline__ void multiply(const float* staged) {
    if (idle) return;
    const int lane = threadIdx.x % 32, pixel = lane / 4, channel = lane % 4;
    const float* target = staged + channel * kTargetChannel + row * kTargetRow + pixel;
    const float* source =
        staged + kChunk * kTargetChannel + channel * kSourceChannel + (row + dy) * kSourceRow + pixel;
    static_assert(kChunk == 8, "the depth of one product");
    uint32_t a[kPairRows][4];
#pragma unroll
    for (int p = 0; p < kPairRows; ++p)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        a[p][i] = to_tf32(target[i / 2 * 4 * kTargetChannel + p * kTargetRow + i % 2 * 8]);
#pragma unroll
    for (int s = 0; s < kPairRows + kTripleDys - 1; ++s)
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        const float* at = source + s * kSourceRow + n * 8;
        const uint32_t b[2] = {to_tf32(at[0]), to_tf32(at[4 * kSourceChannel])};
#pragma unroll
        for (int p = 0; p < kPairRows; ++p) {
          const int d = s - p;
          if (d < 0 || d >= kTripleDys) continue;
          mma(acc[p][d][n], a[p], b, float());
        }
      }
  }
};

}  // namespace
}  // namespace apnt::cuda

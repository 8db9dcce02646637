// Products of target pixels with source pixels at every displacement of a slice, for window_match_shared.cu:
// a thread has its own in registers while chunks of channels pass through shared memory, and finally stores
// them there, a plane per displacement. Two kinds: FmaCorrelation on the CUDA cores, MmaCorrelation on the
// tensor cores.
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

// Position of a slice.
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
  static constexpr bool kChannelsLast = false;
  static constexpr int kRows = 16, kSourceRows = kRows + kDys - 1;
  static constexpr int kGroupStep = kD - 1, kChunk = 8, kStages = 2;
  static constexpr int kMostThreads = 32 * kDys * (kD > 5 ? 2 : 1);
  static constexpr int kTargetRow = 20, kTargetChannel = kRows * kTargetRow;
  static constexpr int kSourceRow = 36, kSourceChannel = kSourceRows * kSourceRow;
  static __host__ __device__ constexpr int stage_elements(int /*slice*/) {
    return kChunk * (kTargetChannel + kSourceChannel);
  }

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

// Products on the tensor cores, of channels-last features of half precision, or of float32 rounded to tf32 on the way
// to the registers: 16 target pixels of a row against the 32 source pixels of a row that hold their windows; the band
// on the diagonal is used. A warp has 2 target rows and 3 rows of displacements: 4 source rows.
template <class T>
struct MmaCorrelation {
  using Element = T;
  // 12 rows are 12 warps, which leaves 168 registers per thread: 96 hold products. Too few on sm_120, where shared
  // memory is small: there half a slice is multiplied at a time, with half the warps.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
  static constexpr int kMostThreads = 192;
#else
  static constexpr int kMostThreads = 384;
#endif
  static constexpr bool kChannelsLast = true;
  static constexpr int kRows = 12, kSourceRows = kRows + kDys - 1, kTargetPixels = kRows * kCols;
  static constexpr int kPairRows = 2, kTripleDys = 3, kTiles = kSourceCols / 8;
  // A staged pixel has 4 pieces of 16 bytes, in an order such that the same piece of 8 pixels in a row, which
  // ldmatrix reads together, lies in different banks.
  static constexpr int kPiece = 16, kBytes = 4 * kPiece, kChunk = kBytes / int(sizeof(T)), kStages = 2;
  static __host__ __device__ constexpr int stage_elements(int slice) {
    return kChunk * (kTargetPixels + (kRows + slice - 1) * kSourceCols);
  }

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

  // A warp copies a source row or two target rows at a time, 32 pixels: four lanes a pixel, eight pixels at once.
  static __device__ __forceinline__ void stage(const Match<T>& m, const Tile& t, int c0, T* to) {
    const int lane = threadIdx.x % 32, warps = blockDim.x / 32, part = lane % 4, col = lane / 4;
    const int pixel = m.c * int(sizeof(T)), at = c0 * int(sizeof(T)) + part * kPiece;
    const bool channel = at < pixel;
    auto* const own = reinterpret_cast<unsigned char*>(to) + col * kBytes + (part ^ (col / 2 % 4)) * kPiece;
    const auto* const source = reinterpret_cast<const unsigned char*>(m.source + t.image) + at;
    const auto* const target = reinterpret_cast<const unsigned char*>(m.target + t.image) + at;
    for (int line = threadIdx.x / 32; line < kRows / 2 + t.source_rows; line += warps) {
      const bool two = line < kRows / 2;
      const int y = two ? t.target_y + 2 * line : t.source_y + line - kRows / 2;
      const int x = (two ? t.target_x : t.source_x) + col;
      const auto* const from = two ? target : source;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int yi = two ? y + i / 2 : y, xi = x + (two ? i % 2 : i) * 8;
        const bool inside = channel && yi >= 0 && yi < m.h && xi >= 0 && xi < m.w;
        cp_async_16(own + (line * kSourceCols + i * 8) * kBytes, from + int64_t(inside ? yi * m.w + xi : 0) * pixel,
                    inside);
      }
    }
  }

  static __device__ __forceinline__ void load(uint32_t (&r)[4], const unsigned char* at) {
    ldmatrix_x4(r, at);
    if constexpr (std::is_same_v<T, float>) {
#pragma unroll
      for (int i = 0; i < 4; ++i) r[i] = to_tf32(__uint_as_float(r[i]));
    }
  }

  __device__ __forceinline__ void multiply(const T* staged) {
    if (idle) return;
    // Lane 8 * i + r of a load names row r of matrix i: a pixel, one piece. A: pixels 0, 8, then the next piece. B:
    // the pieces, then pixels 8 on.
    const int lane = threadIdx.x % 32, r = lane % 8, i = lane / 8, turn = r / 2;
    const auto* const bytes = reinterpret_cast<const unsigned char*>(staged);
    const auto* const target = bytes + (row * kCols + i % 2 * 8 + r) * kBytes;
    const auto* const source = bytes + (kTargetPixels + (row + dy) * kSourceCols + i / 2 * 8 + r) * kBytes;
    constexpr int kTargetRow = kCols * kBytes, kSourceRow = kSourceCols * kBytes;
    // Twice would spill.
#pragma unroll 1
    for (int k = 0; k < 4; k += 2) {
      const auto* const a_at = target + ((k + i / 2) ^ turn) * kPiece;
      const auto* const b_at = source + ((k + i % 2) ^ turn) * kPiece;
      uint32_t a[kPairRows][4];
#pragma unroll
      for (int p = 0; p < kPairRows; ++p) load(a[p], a_at + p * kTargetRow);
#pragma unroll
      for (int s = 0; s < kPairRows + kTripleDys - 1; ++s)
#pragma unroll
        for (int n = 0; n < kTiles; n += 2) {
          uint32_t b[4];
          load(b, b_at + s * kSourceRow + n * 8 * kBytes);
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

  __device__ __forceinline__ void put(float* products, int dxs, int dys) const {
    if (idle) return;
    constexpr int kPlane = kProductPlane<MmaCorrelation>;
    const int lane = threadIdx.x % 32, g = lane / 4, dx0 = lane % 4 * 2 - g;
    float* const first = products + (dy * dxs + dx0) * kPlane + row * kProductRow + g;
#pragma unroll
    for (int d = 0; d < kTripleDys; ++d) {
      if (dy + d >= dys) break;
      float* const at = first + d * dxs * kPlane;
#pragma unroll
      for (int n = 0; n < kTiles; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int dx = n * 8 + e % 2 - e / 2 * 8;
          if (dx0 + dx < 0 || dx0 + dx >= dxs) continue;
#pragma unroll
          for (int p = 0; p < kPairRows; ++p) at[dx * kPlane + p * kProductRow + e / 2 * 8] = acc[p][d][n][e];
        }
    }
  }
};

}  // namespace
}  // namespace apnt::cuda

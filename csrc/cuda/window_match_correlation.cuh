// Products of target pixels with source pixels at every displacement of a slice, on tensor cores, for
// window_match_shared.cu: a thread has its own in registers while chunks of channels pass through shared memory, and
// finally stores them there, a plane per displacement.
#pragma once

#include "cuda/mma.cuh"
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kRows = 12, kCols = 16;  // of target pixels
constexpr int kDys = 6, kDxs = 17;     // displacements of a slice, at most
constexpr int kTripleDys = 3;          // rows of displacements of a warp
constexpr int kSourceCols = kCols + kDxs - 1;
constexpr int kProductRow = 20;  // floats

// Floats of a plane of products, 4 more than it holds, so that fragments are stored without bank conflicts.
constexpr int kProductPlane = kRows * kProductRow + 4;

// Position of a slice.
struct Tile {
  int64_t image;                               // first element of the image in both maps
  int target_y, target_x, source_y, source_x;  // first row and column, possibly outside
  int lines;                                   // that the slice needs
};

// Pixels are staged in lines of 32: two target rows, or a source row. A lane copies a quarter of four pixels of a
// line; their numbers in the image lie side by side, -1 outside.
constexpr int kLine = 32, kTargetLines = kRows * kCols / kLine;
static_assert(kLine == kSourceCols && kLine == 2 * kCols);
// As many as warps read: of whole triples of displacements.
__host__ __device__ constexpr int lines_of(int dys) {
  return kTargetLines + kRows + ceil_div(dys, kTripleDys) * kTripleDys - 1;
}

template <class T>
__device__ __forceinline__ void put_places(const Match<T>& m, const Tile& t, int* places) {
  for (int i = threadIdx.x; i < t.lines * kLine; i += blockDim.x) {
    const int line = i / kLine, col = i % 4 * 8 + i % kLine / 4;
    const bool target = line < kTargetLines;
    const int y = target ? t.target_y + line * 2 + col / kCols : t.source_y + line - kTargetLines;
    const int x = target ? t.target_x + col % kCols : t.source_x + col;
    places[i] = y >= 0 && y < m.h && x >= 0 && x < m.w ? y * m.w + x : -1;
  }
}

// Channels-last features of half precision, or of float32 as tf32 or, where kSplit, all of it (mma.cuh): 16 target
// pixels of a row against the 32 source pixels of a row that hold their windows; the band on the diagonal is used. A
// warp has 2 target rows and 3 rows of displacements: 4 source rows.
template <class T, bool kSplit>
struct Correlation {
  // 12 rows are 12 warps, which leaves 168 registers per thread: 96 hold products. Too few on sm_120, where shared
  // memory is small, and for split factors: there half a slice is multiplied at a time, with half the warps.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
  static constexpr int kMostThreads = 192;
#else
  static constexpr int kMostThreads = kSplit ? 192 : 384;
#endif
  static constexpr int kPairRows = 2, kTiles = kSourceCols / 8;
  // A staged pixel has 4 pieces of 16 bytes, in an order such that the same piece of 8 pixels in a row, which
  // ldmatrix reads together, lies in different banks.
  static constexpr int kPiece = 16, kBytes = 4 * kPiece, kChunk = kBytes / int(sizeof(T)), kStages = 2;
  static __host__ __device__ constexpr int stage_bytes(int dys) { return lines_of(dys) * kLine * kBytes; }

  float acc[kPairRows][kTripleDys][kTiles][4];
  int row, dy;  // the first ones
  bool idle;

  static int warps(int dys) { return kRows / kPairRows * ceil_div(dys, kTripleDys); }

  __device__ __forceinline__ void start(int dys) {
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

  // Channels c0 ... c0 + kChunk - 1, zero outside. A warp copies a line at a time: four lanes a pixel, eight pixels at
  // once.
  static __device__ __forceinline__ void stage(const Match<T>& m, const Tile& t, const int* places, int c0,
                                               unsigned char* to) {
    const int lane = threadIdx.x % 32, part = lane % 4, col = lane / 4;
    const int pixel = m.c * int(sizeof(T)), at = c0 * int(sizeof(T)) + part * kPiece;
    const int least = at < pixel ? 0 : INT32_MAX;
    const auto* const source = reinterpret_cast<const unsigned char*>(m.source + t.image) + at;
    const auto* const target = reinterpret_cast<const unsigned char*>(m.target + t.image) + at;
    int line = threadIdx.x / 32;
    auto* own = to + (line * kLine + col) * kBytes + (part ^ (col / 2 % 4)) * kPiece;
    for (; line < t.lines; line += blockDim.x / 32, own += blockDim.x * kBytes) {
      const int4 place = *reinterpret_cast<const int4*>(places + line * kLine + 4 * col);
      const auto* const from = line < kTargetLines ? target : source;
      const auto copy = [&](int i, int number) {
        cp_async_16(own + i * 8 * kBytes, wide_sum(from, max(number, 0), pixel), number >= least);
      };
      copy(0, place.x), copy(1, place.y), copy(2, place.z), copy(3, place.w);
    }
  }

  __device__ __forceinline__ void multiply(const unsigned char* staged) {
    if (idle) return;
    // Lane 8 * i + r of a load names row r of matrix i: a pixel, one piece. A: pixels 0, 8, then the next piece. B:
    // the pieces, then pixels 8 on.
    const int lane = threadIdx.x % 32, r = lane % 8, i = lane / 8, turn = r / 2;
    const auto* const target = staged + (row * kCols + i % 2 * 8 + r) * kBytes;
    const auto* const source = staged + (kTargetLines * kLine + (row + dy) * kSourceCols + i / 2 * 8 + r) * kBytes;
    constexpr int kTargetRow = kCols * kBytes, kSourceRow = kSourceCols * kBytes;
    // Twice would spill.
#pragma unroll 1
    for (int k = 0; k < 4; k += 2) {
      const auto* const a_at = target + ((k + i / 2) ^ turn) * kPiece;
      const auto* const b_at = source + ((k + i % 2) ^ turn) * kPiece;
      Factors<T, kSplit, 4> a[kPairRows];
#pragma unroll
      for (int p = 0; p < kPairRows; ++p) {
        uint32_t words[4];
        ldmatrix_x4(words, a_at + p * kTargetRow);
        a[p].set(words);
      }
#pragma unroll
      for (int s = 0; s < kPairRows + kTripleDys - 1; ++s)
#pragma unroll
        for (int n = 0; n < kTiles; n += 2) {
          uint32_t words[4];
          ldmatrix_x4(words, b_at + s * kSourceRow + n * 8 * kBytes);
          const uint32_t halves[2][2] = {{words[0], words[1]}, {words[2], words[3]}};
          Factors<T, kSplit, 2> b[2];
#pragma unroll
          for (int j = 0; j < 2; ++j) b[j].set(halves[j]);
#pragma unroll
          for (int term = 0; term < kTerms<kSplit>; ++term)
#pragma unroll
            for (int p = 0; p < kPairRows; ++p) {
              const int d = s - p;
              if (d < 0 || d >= kTripleDys) continue;
#pragma unroll
              for (int j = 0; j < 2; ++j) add_product(acc[p][d][n + j], a[p], b[j], term);
            }
        }
    }
  }

  // Whether this thread's sums are finite.
  __device__ __forceinline__ bool finite() const {
    float zero = 0;
#pragma unroll
    for (int i = 0; i < kPairRows; ++i)
#pragma unroll
      for (int j = 0; j < kTripleDys; ++j)
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) zero = fmaf(acc[i][j][n][e], 0.0f, zero);
    return zero == 0;
  }

  __device__ __forceinline__ void put(float* products, int dxs, int dys) const {
    if (idle) return;
    const int lane = threadIdx.x % 32, g = lane / 4, dx0 = lane % 4 * 2 - g;
    float* const first = products + (dy * dxs + dx0) * kProductPlane + row * kProductRow + g;
#pragma unroll
    for (int d = 0; d < kTripleDys; ++d) {
      if (dy + d >= dys) break;
      float* const at = first + d * dxs * kProductPlane;
#pragma unroll
      for (int n = 0; n < kTiles; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int dx = n * 8 + e % 2 - e / 2 * 8;
          if (dx0 + dx < 0 || dx0 + dx >= dxs) continue;
#pragma unroll
          for (int p = 0; p < kPairRows; ++p) at[dx * kProductPlane + p * kProductRow + e / 2 * 8] = acc[p][d][n][e];
        }
    }
  }
};

}  // namespace
}  // namespace apnt::cuda

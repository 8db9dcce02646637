// Common parts of the kernels of window_match: arguments, candidates and their order. The meaning is that of
// apnt/reference/window_match.py; docs/gpu_window_match.md says how work maps to blocks.
#pragma once

#include <stdexcept>

#include "common/args.h"
#include "cuda/runtime.cuh"
#include "cuda/stream.h"

namespace apnt::cuda {

// A match of feature maps of type T. All arrays are contiguous; planes have fewer than 2**31 pixels.
template <class T>
struct Match {
  const T* source;            // (N, C, H, W)
  const T* target;            // (N, C, H, W)
  const int32_t* center;      // (N, 2, H, W), or nullptr: zero everywhere
  bool by_source;             // whether scores are divided by the norm of the candidate's patch
  const Sum<T>* source_norm;  // (N, H, W): that norm; nullptr: kernels have to sum the squares themselves
  const Sum<T>* target_norm;  // (N, H, W): the divisor of the best score; nullptr: none
  int64_t n;
  int c, h, w, radius, patch;
  bool tf32;        // whether float32 features may be rounded to tf32 for the tensor cores
  int32_t* offset;  // (N, 2, H, W)
  Sum<T>* score;    // (N, H, W)

  __host__ __device__ int64_t plane() const { return int64_t(h) * w; }
};

// Whether scores are divided by the norm of the source's patch, of the target's.
inline bool by_source(Norm norm) { return norm == Norm::search || norm == Norm::cosine; }
inline bool by_target(Norm norm) { return norm == Norm::cosine || norm == Norm::paper; }

constexpr double kNormFloor = 1e-6;

// From the sum of a patch's squares.
template <class A>
__device__ __forceinline__ A floored_norm(A squares) {
  constexpr A kFloor = A(kNormFloor * kNormFloor);
  return sqrt(squares < kFloor ? kFloor : squares);
}

// In offset[:, 0] while the kernels of a match run one after the other: the pixel is not matched yet.
constexpr int32_t kPending = INT32_MIN;

struct Step {
  int dy, dx;
};

// Window centre of pixel (y, x), clamped to the image, relative to the pixel.
template <class T>
__device__ __forceinline__ Step clamped_center(const Match<T>& m, int64_t image, int y, int x) {
  if (!m.center) return {0, 0};
  const int32_t* at = m.center + 2 * image * m.plane() + int64_t(y) * m.w + x;
  const int64_t cy = int64_t(y) + at[0], cx = int64_t(x) + at[m.plane()];
  return {int(cy < 0 ? 0 : cy >= m.h ? m.h - 1 : cy) - y, int(cx < 0 ? 0 : cx >= m.w ? m.w - 1 : cx) - x};
}

// The tie rule as a number, the smaller the better: nearest to the centre first, then in raster order. It
// also contains the displacement from the centre. For radii up to kLargestKeyed.
constexpr int kLargestKeyed = 127;

__device__ __forceinline__ uint32_t candidate_key(int dy, int dx) {
  return uint32_t(dy * dy + dx * dx) << 16 | uint32_t(dy + 128) << 8 | uint32_t(dx + 128);
}
__device__ __forceinline__ int key_dy(uint32_t key) { return int(key >> 8 & 255u) - 128; }
__device__ __forceinline__ int key_dx(uint32_t key) { return int(key & 255u) - 128; }

// The best candidate so far. The first is the centre, which is always a candidate, with -inf: it is the
// result for a window of NaN, as in the reference.
struct Best {
  float score;
  uint32_t key;

  __device__ __forceinline__ void clear() {
    score = -INFINITY;
    key = candidate_key(0, 0);
  }

  // NaN is never taken.
  __device__ __forceinline__ void take(float other, uint32_t other_key) {
    if (other > score || (other == score && other_key < key)) {
      score = other;
      key = other_key;
    }
  }
};

// Writes the match of pixel (y, x), whose window is centred at `center`.
template <class T>
__device__ __forceinline__ void write_match(const Match<T>& m, int64_t image, int y, int x, Step center,
                                            Best best) {
  const int64_t at = int64_t(y) * m.w + x, plane = m.plane();
  int32_t* offset = m.offset + 2 * image * plane + at;
  offset[0] = center.dy + key_dy(best.key);
  offset[plane] = center.dx + key_dx(best.key);
  const float norm = m.target_norm ? m.target_norm[image * plane + at] : 1.0f;
  m.score[image * plane + at] = best.score / norm;
}

// Norms of the patches around every pixel, floored; `squares` is (N, H, W) of scratch memory.
template <class T>
void patch_norms(const T* map, int64_t n, int c, int h, int w, int patch, Sum<T>* squares, Sum<T>* norms,
                 Stream stream);

// squares[k] = |map[k]|**2.
template <class T>
void pixel_squares(const T* map, int64_t n, int c, int h, int w, Sum<T>* squares, Stream stream);

// Any type, radius, patch and centres, one warp per pixel. only_pending: pixels that other kernels have left.
template <class T>
void match_direct(const Match<T>& m, bool only_pending, Stream stream);

// Tiles whose pixels have one centre; the pixels of other tiles are marked as pending.
template <class T>
void match_shared(const Match<T>& m, Stream stream);
bool can_match_shared(int radius, int patch);

// Blocks of 2 x 2 pixels that have one centre each; the other pixels stay pending or are marked so.
// only_pending: pixels that another kernel has left.
template <class T>
void match_centered(const Match<T>& m, bool only_pending, Stream stream);
bool can_match_centered(int radius, int patch);

// Shared memory that a block may have on the current device, no more than kSharedLimit. GPUs of sm_86, sm_89
// and sm_120 have 99 KB. APNT_ON_CPU_SHARED sets it where the kernels run on the CPU.
int shared_limit();

// Blocks of a grid that has one dimension, or an error.
inline unsigned grid_size(int64_t blocks) {
  if (blocks > INT32_MAX) throw std::runtime_error("window_match: too many pixels for one launch");
  return static_cast<unsigned>(blocks);
}

}  // namespace apnt::cuda

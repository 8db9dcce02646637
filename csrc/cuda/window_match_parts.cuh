// Common parts of the kernels of window_match: arguments, candidates and their order. The meaning is that of
// apnt/reference/window_match.py; docs/gpu_window_match.md says how work maps to blocks.
#pragma once

#include "common/args.h"
#include "cuda/runtime.cuh"
#include "cuda/stream.h"

namespace apnt::cuda {

// A match of feature maps of type T. Maps are (N, H, W, C), a pixel aligned to 16 bytes and a multiple of kPixelAlign
// bytes; of float64 (N, C, H, W). Planes have fewer than 2**31 pixels.
constexpr int kPixelAlign = 32;
template <class T>
struct Match {
  const T* source;
  const T* target;
  const int32_t* center;       // (N, 2, H, W), or nullptr: zero everywhere
  const Sum<T>* source_scale;  // (N, H, W): one over the norm of a candidate's patch; nullptr: no division by it
  const Sum<T>* target_norm;   // (N, H, W): the divisor of the best score; nullptr: none
  int64_t n;
  int c, h, w, radius, patch;
  bool tf32;        // whether float32 features may be rounded to tf32
  int32_t* offset;  // (N, 2, H, W)
  Sum<T>* score;    // (N, H, W)

  static constexpr bool kChannelsLast = !std::is_same_v<T, double>;
  __host__ __device__ int64_t plane() const { return int64_t(h) * w; }
  // Elements from a pixel to the next, and from a channel to the next.
  __host__ __device__ int64_t pixel_step() const { return kChannelsLast ? c : 1; }
  __host__ __device__ int64_t channel_step() const { return kChannelsLast ? 1 : plane(); }
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
    const bool better = (other > score) | ((other == score) & (other_key < key));
    score = better ? other : score;
    key = better ? other_key : key;
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

// squares[k] = |map[k]|**2. Maps as in Match.
template <class T>
void pixel_squares(const T* map, bool channels_last, int64_t n, int c, int h, int w, Sum<T>* squares, Stream stream);

// Norms of the patches around every pixel, floored, or one over them, from squares (N, H, W).
template <class A>
void patch_norms(const A* squares, int64_t n, int h, int w, int patch, bool reciprocal, A* norms, Stream stream);

// A map (N, C, H, W), or (N, H, W, C) where `last`, as (N, H, W, padded) with zeros after C.
template <class T>
void pack_channels_last(const T* map, bool last, int64_t n, int c, int h, int w, int padded, T* packed,
                        Stream stream);

// Any type, radius, patch and centres, one warp per pixel. only_pending: pixels that other kernels have left.
template <class T>
void match_direct(const Match<T>& m, bool only_pending, Stream stream);

// Tiles whose pixels have one centre; the pixels of other tiles are marked as pending, and of float32 those of tiles with
// features that are not finite.
template <class T>
void match_shared(const Match<T>& m, Stream stream);
bool can_match_shared(int radius, int patch);

// 2 x 2 pixels at a time on tensor cores, whatever their centres: all pixels, but those of float32 that are near
// to features which are not finite: they are pending.
template <class T>
void match_quads(const Match<T>& m, Stream stream);
template <class T>
bool can_match_quads(const Match<T>& m);  // a small window, and rows of less than 2 GiB

// Shared memory that a block may have on the current device, no more than kSharedLimit. GPUs of sm_86, sm_89
// and sm_120 have 99 KB. APNT_ON_CPU_SHARED sets it where the kernels run on the CPU.
int shared_limit();

}  // namespace apnt::cuda

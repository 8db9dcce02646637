// Norms of patches: the squares of each pixel's features, then the root of their box sum. Sums have the same
// order at every pixel, so that equal patches have equal norms.
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void squares_kernel(const T* map, int64_t pixels, int64_t plane, int c, Sum<T>* squares) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= pixels) return;
  const T* at = map + i / plane * c * plane + i % plane;
  Sum<T> sum = 0;
#pragma unroll 8
  for (int k = 0; k < c; ++k) {
    const Sum<T> x = to_float(at[k * plane]);
    sum += x * x;
  }
  squares[i] = sum;
}

template <class T>
struct alignas(16) Packet {
  T features[16 / sizeof(T)];
};

// Channels-last: kLanes lanes a pixel, 16 bytes each at a time.
template <class T, int kLanes>
__global__ void squares_last_kernel(const T* map, int64_t pixels, int c, Sum<T>* squares) {
  constexpr int kEach = 16 / sizeof(T);
  const int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / kLanes;
  const int part = threadIdx.x % kLanes;
  const T* at = map + min(i, pixels - 1) * c + part * kEach;
  Sum<T> sum = 0;
#pragma unroll 2
  for (int k = part * kEach; k < c; k += kLanes * kEach, at += kLanes * kEach) {
    const Packet<T> packet = *reinterpret_cast<const Packet<T>*>(at);
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const Sum<T> x = to_float(packet.features[e]);
      sum += x * x;
    }
  }
#pragma unroll
  for (int step = 1; step < kLanes; step *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  if (part == 0 && i < pixels) squares[i] = sum;
}

constexpr int kNormCols = 32, kNormRows = 4, kTileRows = kThreads / kNormCols * kNormRows;

template <class A>
__device__ __forceinline__ A finished(A squares, bool reciprocal) {
  return reciprocal ? A(1) / floored_norm(squares) : floored_norm(squares);
}

// A thread has kNormRows pixels below each other.
template <class A>
__global__ void norms_kernel(const A* squares, int h, int w, int half, bool reciprocal, int tiles_y, int tiles_x,
                             A* norms) {
  const unsigned tile = blockIdx.x / tiles_x, image = tile / tiles_y;
  const int x = int(blockIdx.x - tile * tiles_x) * kNormCols + int(threadIdx.x % kNormCols);
  const int y = int(tile - image * tiles_y) * kTileRows + int(threadIdx.x / kNormCols) * kNormRows;
  if (x >= w || y >= h) return;
  const int64_t first = int64_t(image) * h * w + int64_t(y) * w + x;
  const A* const at = squares + first;
  A* const out = norms + first;
  if (half == 1) {
    // Zeros around the image do not change a sum.
    A value[kNormRows + 2][3];
#pragma unroll
    for (int a = 0; a < kNormRows + 2; ++a) {
      const bool in_y = y + a >= 1 && y + a <= h;
      const A* const row = at + int64_t(a - 1) * w;
#pragma unroll
      for (int b = 0; b < 3; ++b) value[a][b] = in_y && (b != 0 || x > 0) && (b != 2 || x + 1 < w) ? row[b - 1] : A(0);
    }
#pragma unroll
    for (int a = 0; a < kNormRows; ++a) {
      A sum = 0;
#pragma unroll
      for (int b = 0; b < 3; ++b) sum += value[a][b] + value[a + 1][b] + value[a + 2][b];
      if (y + a < h) out[int64_t(a) * w] = finished(sum, reciprocal);
    }
    return;
  }
  for (int row = y; row < min(y + kNormRows, h); ++row) {
    A sum = 0;
    for (int b = -half; b <= half; ++b) {
      if (x + b < 0 || x + b >= w) continue;
      A column = 0;
      for (int a = max(-half, -row); a <= min(half, h - 1 - row); ++a) column += at[int64_t(row - y + a) * w + b];
      sum += column;
    }
    out[int64_t(row - y) * w] = finished(sum, reciprocal);
  }
}

}  // namespace

template <class T>
void pixel_squares(const T* map, bool channels_last, int64_t n, int c, int h, int w, Sum<T>* squares, Stream stream) {
  const int64_t plane = int64_t(h) * w, pixels = n * plane;
  if (channels_last && c * sizeof(T) % 64 == 0) {
    APNT_LAUNCH(squares_last_kernel<T, 4>, grid_size(ceil_div(4 * pixels, int64_t(kThreads))), kThreads, 0, stream,
                map, pixels, c, squares);
  } else if (channels_last) {
    APNT_LAUNCH(squares_last_kernel<T, 2>, grid_size(ceil_div(2 * pixels, int64_t(kThreads))), kThreads, 0, stream,
                map, pixels, c, squares);
  } else {
    APNT_LAUNCH(squares_kernel<T>, grid_size(ceil_div(pixels, int64_t(kThreads))), kThreads, 0, stream, map, pixels,
                plane, c, squares);
  }
}

template <class A>
void patch_norms(const A* squares, int64_t n, int h, int w, int patch, bool reciprocal, A* norms, Stream stream) {
  const int tiles_y = ceil_div(h, kTileRows), tiles_x = ceil_div(w, kNormCols);
  APNT_LAUNCH(norms_kernel<A>, grid_size(n * tiles_y * tiles_x), kThreads, 0, stream, squares, h, w, patch / 2,
              reciprocal, tiles_y, tiles_x, norms);
}

#define APNT_INSTANTIATE(T) template void pixel_squares<T>(const T*, bool, int64_t, int, int, int, Sum<T>*, Stream);
APNT_INSTANTIATE(float)
APNT_INSTANTIATE(double)
APNT_INSTANTIATE(__half)
APNT_INSTANTIATE(__nv_bfloat16)
#undef APNT_INSTANTIATE
template void patch_norms<float>(const float*, int64_t, int, int, int, bool, float*, Stream);
template void patch_norms<double>(const double*, int64_t, int, int, int, bool, double*, Stream);

}  // namespace apnt::cuda

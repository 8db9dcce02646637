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

template <class A>
__global__ void norms_kernel(const A* squares, int64_t pixels, int h, int w, int half, A* norms) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= pixels) return;
  const int64_t plane = int64_t(h) * w;
  const int y = int(i % plane / w), x = int(i % plane % w);
  const A* at = squares + i / plane * plane;
  A sum = 0;
  for (int b = -half; b <= half; ++b) {
    A column = 0;
    if (x + b >= 0 && x + b < w) {
      for (int a = max(-half, -y); a <= min(half, h - 1 - y); ++a) column += at[int64_t(y + a) * w + x + b];
    }
    sum += column;
  }
  norms[i] = floored_norm(sum);
}

}  // namespace

template <class T>
void pixel_squares(const T* map, int64_t n, int c, int h, int w, Sum<T>* squares, Stream stream) {
  const int64_t plane = int64_t(h) * w, pixels = n * plane;
  APNT_LAUNCH(squares_kernel<T>, grid_size(ceil_div(pixels, kThreads)), kThreads, 0, stream, map, pixels,
              plane, c, squares);
}

template <class T>
void patch_norms(const T* map, int64_t n, int c, int h, int w, int patch, Sum<T>* squares, Sum<T>* norms,
                 Stream stream) {
  pixel_squares(map, n, c, h, w, squares, stream);
  const int64_t pixels = n * int64_t(h) * w;
  APNT_LAUNCH(norms_kernel<Sum<T>>, grid_size(ceil_div(pixels, kThreads)), kThreads, 0, stream, squares,
              pixels, h, w, patch / 2, norms);
}

#define APNT_INSTANTIATE(T)                                                          \
  template void pixel_squares<T>(const T*, int64_t, int, int, int, Sum<T>*, Stream); \
  template void patch_norms<T>(const T*, int64_t, int, int, int, int, Sum<T>*, Sum<T>*, Stream);
APNT_INSTANTIATE(float)
APNT_INSTANTIATE(double)
APNT_INSTANTIATE(__half)
APNT_INSTANTIATE(__nv_bfloat16)
#undef APNT_INSTANTIATE

}  // namespace apnt::cuda

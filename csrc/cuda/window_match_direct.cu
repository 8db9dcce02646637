// window_match without tiles: a warp per pixel, a lane per candidate, features straight from device memory.
// It takes every type, radius, patch and field of centres, and the pixels for which tiles do not pay.
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kWarps = 4;

// All lanes of a warp; i: the pixel among those of all images.
template <class T>
__device__ __forceinline__ void match_pixel(const Match<T>& m, int64_t i, int lane) {
  using A = Sum<T>;
  const int64_t plane = m.plane(), image = i / plane, at = i % plane;
  const int64_t pixel = m.pixel_step(), channel = m.channel_step();
  int32_t* offset = m.offset + 2 * image * plane + at;
  const int y = int(at / m.w), x = int(at % m.w), half = m.patch / 2;
  const T* source = m.source + image * m.c * plane;
  const T* target = m.target + image * m.c * plane;
  const Step center = clamped_center(m, image, y, x);
  const int64_t window = 2 * int64_t(m.radius) + 1;

  A best = -INFINITY;
  int64_t best_far = 0, best_at = m.radius * window + m.radius;  // of the centre
  // In raster order: among candidates of one lane at the same distance the first is selected.
  for (int64_t k = lane; k < window * window; k += 32) {
    const int64_t dy = k / window - m.radius, dx = k % window - m.radius;
    const int64_t jy = y + center.dy + dy, jx = x + center.dx + dx;
    if (jy < 0 || jy >= m.h || jx < 0 || jx >= m.w) continue;
    // The part of the patch that is inside the image in both maps; the rest is zero.
    const int a0 = int(max(int64_t(-half), -min(int64_t(y), jy)));
    const int a1 = int(min(int64_t(half), m.h - 1 - max(int64_t(y), jy)));
    const int b0 = int(max(int64_t(-half), -min(int64_t(x), jx)));
    const int b1 = int(min(int64_t(half), m.w - 1 - max(int64_t(x), jx)));
    A sum = 0;
    for (int a = a0; a <= a1; ++a) {
      for (int b = b0; b <= b1; ++b) {
        const T* t = target + ((y + a) * int64_t(m.w) + x + b) * pixel;
        const T* s = source + ((jy + a) * m.w + jx + b) * pixel;
        A dot = 0;
#pragma unroll 8
        for (int c = 0; c < m.c; ++c) dot += A(to_float(t[c * channel])) * A(to_float(s[c * channel]));
        sum += dot;
      }
    }
    const A score = m.source_scale ? sum * m.source_scale[image * plane + jy * m.w + jx] : sum;
    const int64_t far = dy * dy + dx * dx;
    if (score > best || (score == best && far < best_far)) {
      best = score;
      best_far = far;
      best_at = k;
    }
  }
  for (int step = 16; step > 0; step /= 2) {
    const A other = __shfl_xor_sync(0xffffffffu, best, step);
    const int64_t other_far = __shfl_xor_sync(0xffffffffu, static_cast<long long>(best_far), step);
    const int64_t other_at = __shfl_xor_sync(0xffffffffu, static_cast<long long>(best_at), step);
    const bool nearer = other_far < best_far || (other_far == best_far && other_at < best_at);
    if (other > best || (other == best && nearer)) {
      best = other;
      best_far = other_far;
      best_at = other_at;
    }
  }
  if (lane == 0) {
    offset[0] = int32_t(center.dy + best_at / window - m.radius);
    offset[plane] = int32_t(center.dx + best_at % window - m.radius);
    m.score[i] = m.target_norm ? best / m.target_norm[i] : best;
  }
}

// A warp has one pixel; with only_pending it has 32, of which it matches those that are left: mostly none.
template <class T>
__global__ void direct_kernel(Match<T> m, int64_t pixels, bool only_pending) {
  const int lane = threadIdx.x % 32;
  int64_t first = int64_t(blockIdx.x) * kWarps + threadIdx.x / 32;
  unsigned left = first < pixels;
  if (only_pending) {
    first *= 32;
    const int64_t i = first + lane, plane = m.plane();
    const bool mine = i < pixels && m.offset[i + i / plane * plane] == kPending;
    left = __reduce_or_sync(0xffffffffu, mine ? 1u << lane : 0u);
    __syncwarp();  // all lanes have read what one of them changes
  }
  for (; left; left &= left - 1) match_pixel(m, first + __popc((left & -left) - 1), lane);
}

}  // namespace

template <class T>
void match_direct(const Match<T>& m, bool only_pending, Stream stream) {
  const int64_t pixels = m.n * m.plane();
  const int64_t warps = only_pending ? ceil_div(pixels, int64_t(32)) : pixels;
  APNT_LAUNCH(direct_kernel<T>, grid_size(ceil_div(warps, kWarps)), kWarps * 32, 0, stream, m, pixels,
              only_pending);
}

template void match_direct<float>(const Match<float>&, bool, Stream);
template void match_direct<double>(const Match<double>&, bool, Stream);
template void match_direct<__half>(const Match<__half>&, bool, Stream);
template void match_direct<__nv_bfloat16>(const Match<__nv_bfloat16>&, bool, Stream);

}  // namespace apnt::cuda

// Neural feature transfer (section III-B.3) as a gather, and its transpose by atomic additions. One thread
// has one pixel: it computes once where the pixel's values come from, and then loops over the channels.
// Neighbours mostly share an offset; then the nine reads of a 3x3 patch are one. Cost on paper: docs/gpu.md.
#include <algorithm>

#include "cuda/patch_swap.h"
#include "cuda/patch_swap_last.cuh"
#include "cuda/patch_swap_transpose.cuh"
#include "cuda/runtime.cuh"

namespace apnt::cuda {
namespace {

// A few channels of one pixel; `from` and `to` begin at the first of them. Full: `channels` is kChannels.
template <bool Full, bool Transposed, class S, int Patch, class T, class Out>
__device__ __forceinline__ void apply_plan(const Plan<S, Patch>& plan, unsigned used,
                                           const T* __restrict__ from, Out* __restrict__ to, int64_t here,
                                           int64_t plane, int channels) {
  S value[kChannels];
#pragma unroll
  for (int i = 0; i < kChannels; ++i) {
    value[i] = Transposed && (Full || i < channels) ? S(to_float(from[i * plane + here])) : S(0);
  }
#pragma unroll
  for (int o = 0; o < Patch * Patch; ++o) {
    if (!(used >> o & 1)) continue;  // the same for the whole warp
    if (plan.at[o] < 0) continue;
    const S weight = plan.weight(o);
#pragma unroll
    for (int i = 0; i < kChannels; ++i) {
      if (!Full && i >= channels) break;
      if constexpr (Transposed) {
        atomicAdd(&to[i * plane + plan.at[o]], weight * value[i]);
      } else {
        value[i] += weight * S(to_float(from[i * plane + plan.at[o]]));
      }
    }
  }
  if constexpr (!Transposed) {
#pragma unroll
    for (int i = 0; i < kChannels; ++i) {
      if (Full || i < channels) store(&to[i * plane + here], value[i]);
    }
  }
}

template <class T, int Patch, bool Transposed>
__global__ void __launch_bounds__(kTileX* kTileY, kBlocks<Sum<T>>)
    swap_planned(const T* __restrict__ in, const int32_t* __restrict__ offset, void* __restrict__ out_,
                 Shape s, int chunk) {
  using S = Sum<T>;
  using Out = std::conditional_t<Transposed, S, T>;
  Out* const out = static_cast<Out*>(out_);
  const int tiles_x = ceil_div(s.w, kTileX);
  const int x = static_cast<int>(blockIdx.x % tiles_x) * kTileX + static_cast<int>(threadIdx.x);
  const int y = static_cast<int>(blockIdx.x / tiles_x) * kTileY + static_cast<int>(threadIdx.y);
  const int64_t plane = int64_t{s.h} * s.w, here = int64_t{y} * s.w + x;

  for (int64_t n = blockIdx.z; n < s.n; n += gridDim.z) {
    Plan<S, Patch> plan;
    plan.make(offset + n * 2 * plane, s, x - static_cast<int>(threadIdx.x),
              y - static_cast<int>(threadIdx.y));
    const unsigned used = plan.used();
    if (x >= s.w || y >= s.h) continue;
    for (int64_t share = int64_t{blockIdx.y} * chunk; share < s.c; share += int64_t{gridDim.y} * chunk) {
      const int64_t last = min(share + int64_t{chunk}, s.c);
      for (int64_t first = share; first < last; first += kChannels) {
        const T* const from = in + (n * s.c + first) * plane;
        Out* const to = out + (n * s.c + first) * plane;
        if (last - first >= kChannels) {
          apply_plan<true, Transposed>(plan, used, from, to, here, plane, kChannels);
        } else {
          apply_plan<false, Transposed>(plan, used, from, to, here, plane, static_cast<int>(last - first));
        }
      }
    }
  }
}

// For any size of patch: the offsets are read again for every few channels, and equal reads are not merged.
template <class T, bool Transposed>
__global__ void __launch_bounds__(256, kBlocks<Sum<T>>)
    swap_any(const T* __restrict__ in, const int32_t* __restrict__ offset, void* __restrict__ out_, Shape s,
             int patch) {
  constexpr int kFew = 4;
  using S = Sum<T>;
  using Out = std::conditional_t<Transposed, S, T>;
  Out* const out = static_cast<Out*>(out_);
  const int64_t plane = int64_t{s.h} * s.w;
  const unsigned here = blockIdx.x * blockDim.x + threadIdx.x;
  if (here >= plane) return;
  const int y = static_cast<int>(here / s.w), x = static_cast<int>(here % s.w);

  for (int64_t n = blockIdx.z; n < s.n; n += gridDim.z) {
    const int32_t* const field = offset + n * 2 * plane;
    int count = 0;
    for_reads(field, s, patch, y, x, [&](int) { ++count; });
    const S weight = count ? S(1) / S(count) : S(0);
    for (int64_t first = int64_t{blockIdx.y} * kFew; first < s.c; first += int64_t{gridDim.y} * kFew) {
      const T* const from = in + (n * s.c + first) * plane;
      Out* const to = out + (n * s.c + first) * plane;
      const int channels = static_cast<int>(min(int64_t{kFew}, s.c - first));
      S value[kFew];
#pragma unroll
      for (int i = 0; i < kFew; ++i) {
        value[i] = Transposed && i < channels ? weight * S(to_float(from[i * plane + here])) : S(0);
      }
      for_reads(field, s, patch, y, x, [&](int at) {
#pragma unroll
        for (int i = 0; i < kFew; ++i) {
          if (i >= channels) break;
          if constexpr (Transposed) {
            atomicAdd(&to[i * plane + at], value[i]);
          } else {
            value[i] += S(to_float(from[i * plane + at]));
          }
        }
      });
      if constexpr (!Transposed) {
        // Divided, not multiplied, so that the mean of nine equal values is exactly that value.
#pragma unroll
        for (int i = 0; i < kFew; ++i) {
          if (i < channels) store(&to[i * plane + here], count ? value[i] / S(count) : S(0));
        }
      }
    }
  }
}

template <class T>
__global__ void __launch_bounds__(256)
    round_to(const float* __restrict__ in, T* __restrict__ out, int64_t count) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    store(&out[i], in[i]);
}

// The number of channels of a block: the largest that leaves enough blocks for every processor.
int channels_of_a_block(int64_t c, int64_t blocks) {
  const int64_t shares = std::max<int64_t>(1, kEnoughBlocks / std::max<int64_t>(1, blocks));
  const int64_t chunk = ceil_div(ceil_div(c, shares), int64_t{kChannels}) * kChannels;
  return static_cast<int>(std::min<int64_t>(std::max<int64_t>(chunk, 2 * kChannels), 1 << 20));
}

template <class T, bool Transposed>
void launch_swap(const SwapArgs& a, void* out, Stream stream) {
  if constexpr (!std::is_same_v<T, double>) {
    if (a.last) return launch_last<T, Transposed>(a, out, stream);
  }
  const Shape s{a.n, a.c, static_cast<int>(a.h), static_cast<int>(a.w)};
  const T* const in = static_cast<const T*>(a.in);
  const bool planned = a.patch == 1 || a.patch == 3;
  const int64_t tiles = planned ? ceil_div(a.h, int64_t{kTileY}) * ceil_div(a.w, int64_t{kTileX})
                                : ceil_div(a.h * a.w, int64_t{256});
  const int chunk = channels_of_a_block(a.c, tiles * a.n);
  const dim3 grid(static_cast<unsigned>(tiles),
                  static_cast<unsigned>(std::min<int64_t>(ceil_div(a.c, int64_t{chunk}), 65535)),
                  static_cast<unsigned>(std::min<int64_t>(a.n, 65535)));
  const dim3 tile(kTileX, kTileY);
  if (a.patch == 1) {
    APNT_LAUNCH(swap_planned<T, 1, Transposed>, grid, tile, 0, stream, in, a.offset, out, s, chunk);
  } else if (a.patch == 3) {
    APNT_LAUNCH(swap_planned<T, 3, Transposed>, grid, tile, 0, stream, in, a.offset, out, s, chunk);
  } else {
    APNT_LAUNCH(swap_any<T, Transposed>, grid, 256, 0, stream, in, a.offset, out, s, a.patch);
  }
}

template <class T>
void scatter(const SwapArgs& a, void* workspace, Stream stream) {
  // Half precision is summed in a float32 buffer.
  constexpr bool rounds = !std::is_same_v<T, Sum<T>>;
  void* const sums = rounds ? workspace : a.out;
  const int64_t count = a.n * a.c * a.h * a.w;
  set_zero(sums, static_cast<size_t>(count) * sizeof(Sum<T>), stream);
  launch_swap<T, true>(a, sums, stream);
  if constexpr (rounds) {
    const unsigned blocks = static_cast<unsigned>(std::min<int64_t>(ceil_div(count, int64_t{256}), 132 * 16));
    APNT_LAUNCH(round_to<T>, blocks, 256, 0, stream, static_cast<const float*>(workspace),
                static_cast<T*>(a.out), count);
  }
}

}  // namespace

void patch_swap(const SwapArgs& a, Stream stream) {
  with_type(a.type, [&](auto t) { launch_swap<decltype(t), false>(a, a.out, stream); });
}

int64_t patch_swap_backward_workspace(const SwapArgs& a, bool deterministic) {
  if (deterministic) {
    Arena arena(nullptr);
    with_type(a.type, [&](auto t) { TransposeWorkspace<Sum<decltype(t)>>(a, field_of(a), arena); });
    return arena.bytes();
  }
  return a.type == Type::f16 || a.type == Type::bf16 ? a.n * a.c * a.h * a.w * int64_t{sizeof(float)} : 0;
}

void patch_swap_backward(const SwapArgs& a, bool deterministic, void* workspace, Stream stream) {
  with_type(a.type, [&](auto t) {
    using T = decltype(t);
    if (deterministic) {
      transpose<T>(a, workspace, stream);
    } else {
      scatter<T>(a, workspace, stream);
    }
  });
}

}  // namespace apnt::cuda

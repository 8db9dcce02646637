// patch_swap of channels-last features (N, H, W, C), as the network has them, without a transposition; and its transpose by
// atomic additions. A block makes the plans of its pixels, a pixel a thread, and leaves them in shared memory; then its
// threads share the features of those pixels: neighbours have neighbouring channels of one pixel.
#pragma once

#include <algorithm>

#include "cuda/patch_swap.h"
#include "cuda/patch_swap_plan.cuh"

namespace apnt::cuda {
namespace {

constexpr int kTilePixels = kTileX * kTileY;

// The reads of a block's pixels, where all of its threads can see them.
template <class S, int Patch>
struct TilePlans {
  int (*at)[kTilePixels];    // read r of each pixel
  S (*weight)[kTilePixels];  // its weight
  int* count;                // reads of each pixel

  // All threads of the block; (x0, y0) is the block's first pixel.
  __device__ __forceinline__ TilePlans(const int32_t* __restrict__ offset, const Shape& s, int x0, int y0) {
    APNT_SHARED(int, ats, [Patch * Patch][kTilePixels]);
    APNT_SHARED(S, weights, [Patch * Patch][kTilePixels]);
    APNT_SHARED(int, counts, [kTilePixels]);
    at = ats, weight = weights, count = counts;
    Plan<S, Patch> plan;
    plan.make(offset, s, x0, y0);
    const int i = threadIdx.y * kTileX + threadIdx.x;
    int reads = 0;
#pragma unroll
    for (int o = 0; o < Patch * Patch; ++o) {
      if (plan.at[o] < 0) continue;
      at[reads][i] = plan.at[o];
      weight[reads][i] = plan.weight(o);
      ++reads;
    }
    count[i] = reads;
    __syncthreads();
  }
};

// A block's image and tile.
struct Tile {
  int64_t image;
  int x0, y0;

  __device__ __forceinline__ Tile(const Shape& s, int tiles) {
    const unsigned tile = blockIdx.x % unsigned(tiles), tiles_x = unsigned(ceil_div(s.w, kTileX));
    image = blockIdx.x / unsigned(tiles);
    x0 = int(tile % tiles_x) * kTileX, y0 = int(tile / tiles_x) * kTileY;
  }
};

template <class T, int Patch>
__global__ void __launch_bounds__(kTilePixels, 4)
    swap_last(const T* __restrict__ in, const int32_t* __restrict__ offset, T* __restrict__ out, Shape s, int tiles,
              int lanes) {
  using S = Sum<T>;
  constexpr int kEach = Packet<T>::kEach;
  const Tile tile(s, tiles);
  const int64_t plane = int64_t{s.h} * s.w;
  const TilePlans<S, Patch> plans(offset + tile.image * 2 * plane, s, tile.x0, tile.y0);
  const int thread = threadIdx.y * kTileX + threadIdx.x, lane = thread & ((1 << lanes) - 1);
  for (int64_t chunk = blockIdx.y; chunk * (kChannels << lanes) < s.c; chunk += gridDim.y) {
    const int64_t first = chunk * (kChannels << lanes) + lane * kEach;
    if (first >= s.c) continue;
    const Channels<const T, true> from(in, tile.image, s.c, plane, first, kEach << lanes);
    const Channels<T, true> to(out, tile.image, s.c, plane, first, kEach << lanes);
    for (int i = thread >> lanes; i < kTilePixels; i += kTilePixels >> lanes) {
      const int y = tile.y0 + i / kTileX, x = tile.x0 + i % kTileX;
      if (y >= s.h || x >= s.w) continue;
      const int reads = plans.count[i];
      S sum[kChannels] = {};
      for (int r = 0; r < reads; ++r) from.add(plans.weight[r][i], plans.at[r][i], sum);
      to.put(y * s.w + x, sum);
    }
  }
}

// A warp adds 64 channels of a pixel to where it read, a lane two of them; the gradient of a few pixels is on its way at once.
constexpr int kWarpChannels = 64;

template <class T, int Patch>
__global__ void __launch_bounds__(kTilePixels, 4)
    scatter_last(const T* __restrict__ in, const int32_t* __restrict__ offset, Sum<T>* __restrict__ out, Shape s,
                 int tiles) {
  using S = Sum<T>;
  constexpr int kTogether = 2;
  const Tile tile(s, tiles);
  const int64_t plane = int64_t{s.h} * s.w;
  const TilePlans<S, Patch> plans(offset + tile.image * 2 * plane, s, tile.x0, tile.y0);
  for (int64_t c = int64_t{blockIdx.y} * kWarpChannels + threadIdx.x; c < s.c; c += int64_t{gridDim.y} * kWarpChannels) {
    const bool second = c + 32 < s.c;
    const T* const from = in + tile.image * plane * s.c + c;
    S* const to = out + tile.image * plane * s.c + c;
    const int y = tile.y0 + threadIdx.y;  // a warp has a row
    if (y >= s.h) break;
    for (int column = 0; column < kTileX && tile.x0 + column < s.w; column += kTogether) {
      S value[kTogether][2];
#pragma unroll
      for (int k = 0; k < kTogether; ++k) {
        const int x = tile.x0 + column + k;
        const T* const at = from + wide_product(y * s.w + x, int(s.c));
        value[k][0] = x < s.w ? S(to_float(at[0])) : S(0);
        value[k][1] = x < s.w && second ? S(to_float(at[32])) : S(0);
      }
#pragma unroll
      for (int k = 0; k < kTogether; ++k) {
        const int i = threadIdx.y * kTileX + column + k, reads = plans.count[i];  // 0 outside of the image
        for (int r = 0; r < reads; ++r) {
          S* const at = to + wide_product(plans.at[r][i], int(s.c));
          const S weight = plans.weight[r][i];
          atomicAdd(at, weight * value[k][0]);
          if (second) atomicAdd(at + 32, weight * value[k][1]);
        }
      }
    }
  }
}

// f(size of the patch, as a constant).
template <class F>
void with_patch(int patch, const F& f) {
  if (patch == 1) {
    f(std::integral_constant<int, 1>());
  } else {
    f(std::integral_constant<int, 3>());
  }
}

template <class T, bool Transposed>
void launch_last(const SwapArgs& a, void* out_, Stream stream) {
  using Out = std::conditional_t<Transposed, Sum<T>, T>;
  const Shape s{a.n, a.c, static_cast<int>(a.h), static_cast<int>(a.w)};
  const T* const in = static_cast<const T*>(a.in);
  Out* const out = static_cast<Out*>(out_);
  const int64_t tiles = ceil_div(a.h, int64_t{kTileY}) * ceil_div(a.w, int64_t{kTileX});
  const int lanes = lanes_of(a.c);
  // Blocks share the channels only where there are few of them: each makes the plans again.
  const int64_t chunks = ceil_div(a.c, int64_t{Transposed ? kWarpChannels : kChannels << lanes});
  const int64_t shares = std::min(chunks, ceil_div(kEnoughBlocks, a.n * tiles));
  const dim3 grid(grid_size(a.n * tiles), static_cast<unsigned>(std::min<int64_t>(shares, 65535)));
  const dim3 tile(kTileX, kTileY);
  with_patch(a.patch, [&](auto patch) {
    constexpr int kPatch = decltype(patch)::value;
    if constexpr (Transposed) {
      APNT_LAUNCH(scatter_last<T, kPatch>, grid, tile, 0, stream, in, a.offset, out, s, static_cast<int>(tiles));
    } else {
      APNT_LAUNCH(swap_last<T, kPatch>, grid, tile, 0, stream, in, a.offset, out, s, static_cast<int>(tiles), lanes);
    }
  });
}

}  // namespace
}  // namespace apnt::cuda

// Channels of a pixel that one thread has, in maps of either layout.
#pragma once

#include "cuda/runtime.cuh"

namespace apnt::cuda {
namespace {

constexpr int kChannels = 8;  // of a thread

template <class T>
struct alignas(16) Packet {
  static constexpr int kEach = 16 / sizeof(T);
  T features[kEach];
};

// Up to kChannels channels of an image's pixels: in a map (N, C, H, W) `first` and those after it. Where kLast, in a map
// (N, H, W, C) whose pixels are aligned to 16 bytes, whole packets of 16 bytes, `between` channels from one to the next:
// neighbouring threads have neighbouring packets.
template <class T, bool kLast>
struct Channels {
  using P = Packet<std::remove_const_t<T>>;
  T* __restrict__ map;  // the first of them, of pixel 0
  int64_t plane;
  int pixel;    // bytes from a pixel to the next, of kLast
  int left;     // channels from the first to the last of the map
  int between;  // of kLast

  __device__ __forceinline__ Channels(T* maps, int64_t image, int64_t c, int64_t plane, int64_t first,
                                      int between = P::kEach)
      : map(maps + image * c * plane + (kLast ? first : first * plane)),
        plane(plane),
        pixel(static_cast<int>(c) * int(sizeof(T))),
        left(static_cast<int>(min(c - first, int64_t{INT32_MAX}))),
        between(between) {}

  // Packet i of pixel `at`. The product is of numbers: of a pointer that assembly has made, the compiler does not know that
  // it is of device memory.
  __device__ __forceinline__ auto packet(int at, int i) const {
    using Byte = std::conditional_t<std::is_const_v<T>, const unsigned char, unsigned char>;
    using To = std::conditional_t<std::is_const_v<T>, const P, P>;
    return reinterpret_cast<To*>(reinterpret_cast<Byte*>(map + i * between) + wide_product(at, pixel));
  }

  // Adds weight * the features of pixel `at`.
  template <class S>
  __device__ __forceinline__ void add(S weight, int at, S (&sum)[kChannels]) const {
    if constexpr (kLast) {
#pragma unroll
      for (int p = 0; p < kChannels / P::kEach; ++p) {
        if (p * between >= left) break;
        const P features = *packet(at, p);
#pragma unroll
        for (int e = 0; e < P::kEach; ++e) sum[p * P::kEach + e] += weight * S(to_float(features.features[e]));
      }
    } else {
#pragma unroll
      for (int i = 0; i < kChannels; ++i) {
        if (i < left) sum[i] += weight * S(to_float(map[i * plane + at]));
      }
    }
  }

  template <class S>
  __device__ __forceinline__ void put(int at, const S (&sum)[kChannels]) const {
    if constexpr (kLast) {
#pragma unroll
      for (int p = 0; p < kChannels / P::kEach; ++p) {
        if (p * between >= left) break;
        P features;
#pragma unroll
        for (int e = 0; e < P::kEach; ++e) store(&features.features[e], sum[p * P::kEach + e]);
        *packet(at, p) = features;
      }
    } else {
#pragma unroll
      for (int i = 0; i < kChannels; ++i) {
        if (i < left) store(&map[i * plane + at], sum[i]);
      }
    }
  }
};

// Neighbouring threads of a pixel of a channels-last map, as a power of two: each then has kChannels channels of
// kChannels << lanes, which divide the map's as far as they can.
inline int lanes_of(int64_t c) {
  const int64_t groups = ceil_div(c, int64_t{kChannels});
  int lanes = 0;
  while (lanes < 3 && groups % (int64_t{2} << lanes) == 0) ++lanes;
  return lanes;
}

}  // namespace
}  // namespace apnt::cuda

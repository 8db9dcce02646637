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

// Up to kChannels channels of an image's pixels, `first` and those after it: of a map (N, C, H, W), or where kLast of a
// map (N, H, W, C) whose pixels are aligned to 16 bytes; then a thread has whole packets of 16 bytes.
template <class T, bool kLast>
struct Channels {
  T* __restrict__ map;  // the first of them, of pixel 0
  int64_t step;         // from a channel to the next, of kLast from a pixel to the next
  int count;

  __device__ __forceinline__ Channels(T* maps, int64_t image, int64_t c, int64_t plane, int64_t first)
      : map(maps + image * c * plane + (kLast ? first : first * plane)),
        step(kLast ? c : plane),
        count(static_cast<int>(min(int64_t{kChannels}, c - first))) {}

  // Adds weight * the features of pixel `at`.
  template <class S>
  __device__ __forceinline__ void add(S weight, int64_t at, S (&sum)[kChannels]) const {
    using P = Packet<std::remove_const_t<T>>;
    if constexpr (kLast) {
#pragma unroll
      for (int p = 0; p < kChannels / P::kEach; ++p) {
        if (p * P::kEach >= count) break;
        const P packet = *reinterpret_cast<const P*>(map + at * step + p * P::kEach);
#pragma unroll
        for (int e = 0; e < P::kEach; ++e) sum[p * P::kEach + e] += weight * S(to_float(packet.features[e]));
      }
    } else {
#pragma unroll
      for (int i = 0; i < kChannels; ++i) {
        if (i < count) sum[i] += weight * S(to_float(map[i * step + at]));
      }
    }
  }

  template <class S>
  __device__ __forceinline__ void put(int64_t at, const S (&sum)[kChannels]) const {
    using P = Packet<T>;
    if constexpr (kLast) {
#pragma unroll
      for (int p = 0; p < kChannels / P::kEach; ++p) {
        if (p * P::kEach >= count) break;
        P packet;
#pragma unroll
        for (int e = 0; e < P::kEach; ++e) store(&packet.features[e], sum[p * P::kEach + e]);
        *reinterpret_cast<P*>(map + at * step + p * P::kEach) = packet;
      }
    } else {
#pragma unroll
      for (int i = 0; i < kChannels; ++i) {
        if (i < count) store(&map[i * step + at], sum[i]);
      }
    }
  }
};

}  // namespace
}  // namespace apnt::cuda

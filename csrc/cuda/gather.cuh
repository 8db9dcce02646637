// Sums of features over the reads of each pixel, in a fixed order and without atomic additions of floats:
//
//   out[p] = own_weight[p] * own[p] + sum over o in the patch, over the centres k that land on p - o, of
//            weight[k] * share[k + o] * in[k + o]
//
// A thread sums the reads of a pixel and some channels; where they are many, a block does, and where they are more still,
// blocks sum pieces of them and another adds these up.
#pragma once

#include "cuda/block_sums.cuh"
#include "cuda/channels.cuh"
#include "cuda/read_lists.cuh"

namespace apnt::cuda {
namespace {

constexpr int kGatherThreads = 256;
// Resident blocks of a multiprocessor: without this the compiler spills for more of them.
template <class S>
constexpr int kGatherBlocks = sizeof(S) == 8 ? 2 : 3;
constexpr int kLongBlocks = 264;  // that share the long pixels of some channels
constexpr int kLongShares = 16;   // that share the channels

// What is summed. Every array but `in` and `out` may be nullptr: weights of 1, nothing of its own.
template <class T, class Out>
struct Sums {
  using S = Sum<T>;
  const T* in;  // (N, C, H, W)
  Out* out;     // (N, C, H, W)
  int64_t c;
  const S* weight;      // (N, H, W), of a centre
  const S* share;       // (N, H, W), of a pixel that reads
  const S* own_weight;  // (N, H, W)
  const T* own;         // (N, C, H, W)
  S* partial;           // (pieces, C): scratch
};

// The pixel at o in the patch of `centre`, -1 if it is outside.
__device__ __forceinline__ int pixel_at(const Field& f, int centre, int oy, int ox) {
  const int y = centre / f.w + oy, x = centre % f.w + ox;
  return y >= 0 && y < f.h && x >= 0 && x < f.w ? y * f.w + x : -1;
}

template <bool kLast, class T, class Out>
__device__ __forceinline__ void finish(const Sums<T, Out>& s, int64_t image, int64_t plane, int p, int64_t first,
                                       int between, Sum<T> (&sum)[kChannels]) {
  if (s.own)
    Channels<const T, kLast>(s.own, image, s.c, plane, first, between).add(s.own_weight[image * plane + p], p, sum);
  Channels<Out, kLast>(s.out, image, s.c, plane, first, between).put(p, sum);
}

// Of the one channel of this thread, if it has one of kChannels from `first` on; the map has `left` more.
template <bool kLast, class T, class Out>
__device__ __forceinline__ void finish_one(const Sums<T, Out>& s, int64_t image, int64_t plane, int64_t p,
                                           int64_t first, int left, Sum<T> sum) {
  const int64_t c = first + threadIdx.x;
  if (threadIdx.x >= unsigned(min(left, kChannels))) return;
  const int64_t i = kLast ? (image * plane + p) * s.c + c : (image * s.c + c) * plane + p;
  store(&s.out[i], s.own ? sum + s.own_weight[image * plane + p] * Sum<T>(to_float(s.own[i])) : sum);
}

// Where kLast, a pixel has 2**lanes neighbouring threads.
template <bool kLast, class T, class Out>
__global__ void __launch_bounds__(kGatherThreads, kGatherBlocks<Sum<T>>)
    gather_lists(Sums<T, Out> s, ReadLists lists, LongReads longs, int blocks, int lanes) {
  using S = Sum<T>;
  const Field& f = lists.f;
  const int64_t plane = f.plane(), image = blockIdx.x / unsigned(blocks);
  const int64_t thread = int64_t{blockIdx.x % unsigned(blocks)} * kGatherThreads + threadIdx.x;
  const int64_t i = kLast ? thread >> lanes : thread;
  if (i >= plane || longs.is_long[image * plane + i]) return;
  const int p = static_cast<int>(i), y = p / f.w, x = p % f.w;
  constexpr int kEach = Packet<T>::kEach;
  const int lane = kLast ? static_cast<int>(thread) & ((1 << lanes) - 1) : 0, between = kEach << lanes;
  const int64_t step = kChannels << lanes;
  for (int64_t first = blockIdx.y * step + lane * kEach; first < s.c; first += gridDim.y * step) {
    const Channels<const T, kLast> in(s.in, image, s.c, plane, first, between);
    S sum[kChannels] = {};
    // If neighbours have one offset, the lists have the same pixel several times.
    int pixel = -1;
    S weight = 0;
    const auto add = [&] {
      if (pixel < 0) return;
      in.add(s.share ? weight * s.share[image * plane + pixel] : weight, pixel, sum);
    };
    for_lists(lists, longs, image, y, x, [&](int oy, int ox, int begin, int end) {
      for (int e = begin; e < end; ++e) {
        const int centre = lists.centres[image * plane + e], at = pixel_at(f, centre, oy, ox);
        if (at < 0) continue;
        if (at != pixel) {
          add();
          pixel = at;
          weight = 0;
        }
        weight += s.weight ? s.weight[image * plane + centre] : S(1);
      }
    });
    add();
    finish<kLast>(s, image, plane, p, first, between, sum);
  }
}

// Number of the huge pixel that has piece `piece`.
__device__ __forceinline__ int64_t owner_of(const LongReads& longs, int64_t huge, int64_t piece) {
  int64_t from = 0, to = huge;  // the last whose base is not after it
  while (to - from > 1) {
    const int64_t middle = (from + to) / 2;
    if (longs.huge[middle].base <= piece) {
      from = middle;
    } else {
      to = middle;
    }
  }
  return from;
}

// Long pixels, and pieces of huge ones: a block each, whose threads take the reads in turn.
template <bool kLast, class T, class Out>
__global__ void __launch_bounds__(kGatherThreads, 2)
    gather_long(Sums<T, Out> s, ReadLists lists, LongReads longs) {
  using S = Sum<T>;
  const Field& f = lists.f;
  const int64_t plane = f.plane(), alone = int64_t(longs.counts[0]);
  const int64_t huge = int64_t(longs.counts[1] >> 32), pieces = int64_t(longs.counts[1] & 0xffffffffu);
  for (int64_t t = blockIdx.x; t < alone + pieces; t += gridDim.x) {
    int64_t pixel, piece = 0;
    if (t < alone) {
      pixel = longs.pixels[t];
    } else {
      const LongReads::Huge owner = longs.huge[owner_of(longs, huge, t - alone)];
      pixel = owner.pixel, piece = t - alone - owner.base;
    }
    const int64_t image = pixel / plane;
    const int p = static_cast<int>(pixel % plane), y = p / f.w, x = p % f.w;
    const int64_t from = piece * longs.piece;  // of all its reads
    for (int64_t first = int64_t{blockIdx.y} * kChannels; first < s.c; first += int64_t{gridDim.y} * kChannels) {
      const Channels<const T, kLast> in(s.in, image, s.c, plane, first);
      S sum[kChannels] = {};
      int64_t before = 0;
      for_lists(lists, longs, image, y, x, [&](int oy, int ox, int begin, int end) {
        const int64_t start = begin + max(int64_t{0}, from - before);
        const int64_t stop = min(int64_t{end}, begin + from + longs.piece - before);
        before += end - begin;
        for (int64_t e = start + threadIdx.x; e < stop; e += kGatherThreads) {
          const int centre = lists.centres[image * plane + e], at = pixel_at(f, centre, oy, ox);
          if (at < 0) continue;
          const S weight = s.weight ? s.weight[image * plane + centre] : S(1);
          in.add(s.share ? weight * s.share[image * plane + at] : weight, at, sum);
        }
      });
      const S total = sum_of_block<kGatherThreads>(sum);
      if (t >= alone && threadIdx.x < unsigned(min(in.left, kChannels))) s.partial[(t - alone) * s.c + first + threadIdx.x] = total;
      if (t < alone) finish_one<kLast>(s, image, plane, p, first, in.left, total);
    }
  }
}

template <bool kLast, class T, class Out>
__global__ void __launch_bounds__(kGatherThreads, 2)
    add_pieces(Sums<T, Out> s, ReadLists lists, LongReads longs) {
  using S = Sum<T>;
  const int64_t plane = lists.f.plane(), huge = int64_t(longs.counts[1] >> 32);
  const int64_t pieces = int64_t(longs.counts[1] & 0xffffffffu);
  for (int64_t t = blockIdx.x; t < huge; t += gridDim.x) {
    const int64_t pixel = longs.huge[t].pixel, begin = longs.huge[t].base;
    const int64_t end = t + 1 < huge ? longs.huge[t + 1].base : pieces;
    for (int64_t first = int64_t{blockIdx.y} * kChannels; first < s.c; first += int64_t{gridDim.y} * kChannels) {
      const int count = static_cast<int>(min(int64_t{kChannels}, s.c - first));
      S sum[kChannels] = {};
      for (int64_t piece = begin + threadIdx.x; piece < end; piece += kGatherThreads) {
#pragma unroll
        for (int i = 0; i < kChannels; ++i) {
          if (i < count) sum[i] += s.partial[piece * s.c + first + i];
        }
      }
      finish_one<kLast>(s, pixel / plane, plane, pixel % plane, first, count, sum_of_block<kGatherThreads>(sum));
    }
  }
}

template <bool kLast, class T, class Out>
void gather(const Sums<T, Out>& s, const ReadLists& lists, const LongReads& longs, Stream stream) {
  const int64_t plane = lists.f.plane(), groups = ceil_div(s.c, int64_t{kChannels});
  const int lanes = kLast ? lanes_of(s.c) : 0;
  const int64_t blocks = ceil_div(plane << lanes, int64_t{kGatherThreads});
  const unsigned shares = static_cast<unsigned>(std::min<int64_t>(groups >> lanes, 65535));
  const dim3 few(kLongBlocks, static_cast<unsigned>(std::min<int64_t>(groups, kLongShares)));
  APNT_LAUNCH(gather_lists<kLast, T, Out>, dim3(grid_size(lists.f.n * blocks), shares), kGatherThreads, 0, stream, s,
              lists, longs, static_cast<int>(blocks), lanes);
  if (longs.most >= plane) return;
  APNT_LAUNCH(gather_long<kLast, T, Out>, few, kGatherThreads, 0, stream, s, lists, longs);
  if (longs.piece >= plane) return;
  APNT_LAUNCH(add_pieces<kLast, T, Out>, few, kGatherThreads, 0, stream, s, lists, longs);
}

}  // namespace
}  // namespace apnt::cuda

// The transpose of patch_swap without atomic additions of floats, so that results are bit-equal every time.
// It is a gather: pixel p of the source was read as p = centre + offset[centre] + o, so the centres are
// sorted by q = centre
// + offset[centre] (a stable radix sort: equal ones stay in raster order), and p sums the lists of all p - o.
#pragma once

#include <algorithm>

#include "cuda/arena.cuh"
#include "cuda/patch_swap.h"
#include "cuda/patch_swap_plan.cuh"
#include "cuda/runtime.cuh"

namespace apnt::cuda {
namespace {

constexpr int kSortThreads = 256, kSortRounds = 8, kSortTile = kSortThreads * kSortRounds;
constexpr int kDigits = 256;  // of a pass of the sort
static_assert(kDigits == kSortThreads, "a thread of the sort has a digit");
constexpr int kScanThreads = 1024;
constexpr int kScanEach = 16;
constexpr int kLongList = 1024;  // a pixel with more reads than this is processed by a whole block
constexpr int kLongBlocks = 264;

// The positions q at which a patch overlaps the image: the image and a border.
struct Field {
  Shape s;
  int half_y, half_x;
  uint32_t width, bins;
};

inline Field field_of(const SwapArgs& a) {
  Field f{};
  f.s = {a.n, a.c, static_cast<int>(a.h), static_cast<int>(a.w)};
  // A patch never extends farther than the image from a centre inside to a pixel inside.
  f.half_y = static_cast<int>(std::min<int64_t>(a.patch / 2, a.h - 1));
  f.half_x = static_cast<int>(std::min<int64_t>(a.patch / 2, a.w - 1));
  const int64_t width = a.w + 2 * f.half_x, bins = (a.h + 2 * f.half_y) * width;
  if (bins >= int64_t{1} << 31) {
    throw std::runtime_error(
        "patch_swap: the image is too large for the deterministic gradient: with its border it "
        "must have fewer than 2**31 pixels");
  }
  f.width = static_cast<uint32_t>(width);
  f.bins = static_cast<uint32_t>(bins);
  return f;
}

// Device memory for one image at a time; S is what its values are summed in.
template <class S>
struct TransposeWorkspace {
  uint32_t* keys[2];
  int32_t* centres[2];
  int32_t* histogram;
  int32_t *first, *last;  // in one piece: they are cleared together
  int32_t* longs;         // longs[0]: how many
  S* reciprocal;

  TransposeWorkspace(const Field& f, Arena& arena) {
    const int64_t pixels = int64_t{f.s.h} * f.s.w;
    for (int i = 0; i < 2; ++i) {
      keys[i] = arena.take<uint32_t>(pixels);
      centres[i] = arena.take<int32_t>(pixels);
    }
    histogram = arena.take<int32_t>(kDigits * ceil_div(pixels, int64_t{kSortTile}));
    first = arena.take<int32_t>(2 * int64_t{f.bins});
    last = first ? first + f.bins : nullptr;
    longs = arena.take<int32_t>(pixels + 1);
    reciprocal = arena.take<S>(pixels);
  }
};

// For every pixel: the key of the patch centred at it, and 1 / number of reads that the result averaged at
// it.
template <class S>
__global__ void __launch_bounds__(256)
    make_keys(const int32_t* __restrict__ offset, Field f, int patch, uint32_t* __restrict__ keys,
              int32_t* __restrict__ centres, S* __restrict__ reciprocal) {
  const int64_t pixels = int64_t{f.s.h} * f.s.w, i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= pixels) return;
  const int y = static_cast<int>(i / f.s.w), x = static_cast<int>(i % f.s.w);
  const int64_t q_y = int64_t{y} + offset[i] + f.half_y, q_x = int64_t{x} + offset[pixels + i] + f.half_x;
  const bool reaches = q_y >= 0 && q_y < f.s.h + 2 * int64_t{f.half_y} && q_x >= 0 && q_x < f.width;
  keys[i] = reaches ? static_cast<uint32_t>(q_y * f.width + q_x) : f.bins;  // sorted last, and not read
  centres[i] = static_cast<int32_t>(i);
  int count = 0;
  for_reads(offset, f.s, patch, y, x, [&](int) { ++count; });
  reciprocal[i] = count ? S(1) / S(count) : S(0);
}

__device__ __forceinline__ int digit_of(uint32_t key, int shift) {
  return static_cast<int>(key >> shift & (kDigits - 1));
}

// histogram[digit][block]
__global__ void __launch_bounds__(kSortThreads) count_digits(const uint32_t* __restrict__ keys, int64_t count,
                                                             int shift, int32_t* __restrict__ histogram) {
  APNT_SHARED(int, bins, [kDigits]);
  bins[threadIdx.x] = 0;
  __syncthreads();
  for (int r = 0; r < kSortRounds; ++r) {
    const int64_t i = int64_t{blockIdx.x} * kSortTile + r * kSortThreads + threadIdx.x;
    if (i < count) atomicAdd(&bins[digit_of(keys[i], shift)], 1);
  }
  __syncthreads();
  histogram[int64_t{threadIdx.x} * gridDim.x + blockIdx.x] = bins[threadIdx.x];
}

// Replaces every number by the sum of those before it; one block. A thread has kScanEach neighbours, so that the 190
// thousand numbers of 1.5 million pixels take twelve rounds.
__global__ void __launch_bounds__(kScanThreads) scan(int32_t* __restrict__ numbers, int64_t count) {
  APNT_SHARED(int, sums, [kScanThreads / 32]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int before = 0;
  for (int64_t start = 0; start < count; start += kScanThreads * kScanEach) {
    const int64_t first = start + threadIdx.x * kScanEach;
    int own[kScanEach], mine = 0;
#pragma unroll
    for (int e = 0; e < kScanEach; ++e) {
      own[e] = first + e < count ? numbers[first + e] : 0;
      mine += own[e];
    }
    int upto = mine;  // of the warp, this lane included
    for (int d = 1; d < 32; d *= 2) {
      const int other = __shfl_up_sync(0xffffffffu, upto, d);
      if (lane >= d) upto += other;
    }
    if (lane == 31) sums[warp] = upto;
    __syncthreads();
    int others = 0, all = 0;
    for (int w = 0; w < kScanThreads / 32; ++w) {
      if (w < warp) others += sums[w];
      all += sums[w];
    }
    int next = before + others + upto - mine;
#pragma unroll
    for (int e = 0; e < kScanEach; ++e) {
      if (first + e < count) numbers[first + e] = next;
      next += own[e];
    }
    before += all;
    __syncthreads();  // the sums have been read
  }
}

// Moves items to the range of their digit; those of one digit keep their order.
__global__ void __launch_bounds__(kSortThreads)
    place_digits(const uint32_t* __restrict__ keys, const int32_t* __restrict__ centres, int64_t count,
                 int shift, const int32_t* __restrict__ starts, uint32_t* __restrict__ to_keys,
                 int32_t* __restrict__ to_centres) {
  constexpr int kWarps = kSortThreads / 32;
  APNT_SHARED(int, next, [kDigits]);  // place of the next item of a digit
  APNT_SHARED(int, of_warp, [kWarps][kDigits]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  next[threadIdx.x] = starts[int64_t{threadIdx.x} * gridDim.x + blockIdx.x];
  for (int r = 0; r < kSortRounds; ++r) {
    for (int w = 0; w < kWarps; ++w) of_warp[w][threadIdx.x] = 0;
    __syncthreads();
    const int64_t i = int64_t{blockIdx.x} * kSortTile + r * kSortThreads + threadIdx.x;
    const bool there = i < count;
    const uint32_t key = there ? keys[i] : 0;
    const int digit = there ? digit_of(key, shift) : kDigits;
    const unsigned same = __match_any_sync(0xffffffffu, digit);
    const int rank = __popc(same & ((1u << lane) - 1));
    if (there && rank == 0) of_warp[warp][digit] = __popc(same);
    __syncthreads();
    int place = next[threadIdx.x];
    for (int w = 0; w < kWarps; ++w) {
      const int items = of_warp[w][threadIdx.x];
      of_warp[w][threadIdx.x] = place;
      place += items;
    }
    next[threadIdx.x] = place;
    __syncthreads();
    if (there) {
      const int to = of_warp[warp][digit] + rank;
      to_keys[to] = key;
      to_centres[to] = centres[i];
    }
    __syncthreads();  // of_warp has been read
  }
}

// Finds the begin and the end of the list of each q; both arrays are 0 before.
__global__ void __launch_bounds__(256)
    find_lists(const uint32_t* __restrict__ keys, int64_t count, uint32_t bins, int32_t* __restrict__ first,
               int32_t* __restrict__ last) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count || keys[i] >= bins) return;
  const uint32_t key = keys[i];
  if (i == 0 || keys[i - 1] != key) first[key] = static_cast<int32_t>(i);
  if (i == count - 1 || keys[i + 1] != key) last[key] = static_cast<int32_t>(i + 1);
}

// Calls f(x, y of o, x of o, first, last) for the lists that reach pixel (y, x), in raster order of o.
template <class F>
__device__ __forceinline__ void for_lists(const Field& f, const int32_t* __restrict__ first,
                                          const int32_t* __restrict__ last, int y, int x, const F& each) {
  for (int oy = -f.half_y; oy <= f.half_y; ++oy) {
    for (int ox = -f.half_x; ox <= f.half_x; ++ox) {
      const uint32_t q =
          static_cast<uint32_t>(y - oy + f.half_y) * f.width + static_cast<uint32_t>(x - ox + f.half_x);
      if (last[q] > first[q]) each(oy, ox, first[q], last[q]);
    }
  }
}

// Pixel of the result that is at o in the patch of `centre`; -1 if outside.
__device__ __forceinline__ int pixel_at(const Shape& s, int centre, int oy, int ox) {
  const int y = centre / s.w + oy, x = centre % s.w + ox;
  return y >= 0 && y < s.h && x >= 0 && x < s.w ? y * s.w + x : -1;
}

template <class T>
__global__ void __launch_bounds__(256)
    gather_lists(const T* __restrict__ in, Field f, const int32_t* __restrict__ centres,
                 const int32_t* __restrict__ first, const int32_t* __restrict__ last,
                 const Sum<T>* __restrict__ reciprocal, T* __restrict__ out, int32_t* __restrict__ longs) {
  using S = Sum<T>;
  const int64_t plane = int64_t{f.s.h} * f.s.w, p = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (p >= plane) return;
  const int y = static_cast<int>(p / f.s.w), x = static_cast<int>(p % f.s.w);
  int64_t length = 0;
  for_lists(f, first, last, y, x, [&](int, int, int begin, int end) { length += end - begin; });
  if (length > kLongList) {
    if (blockIdx.y == 0) longs[1 + atomicAdd(&longs[0], 1)] = static_cast<int32_t>(p);
    return;
  }
  for (int64_t start = int64_t{blockIdx.y} * kChannels; start < f.s.c;
       start += int64_t{gridDim.y} * kChannels) {
    const T* const from = in + start * plane;
    const int channels = static_cast<int>(min(int64_t{kChannels}, f.s.c - start));
    S sum[kChannels] = {};
    int pixel = -1, times = 0;
    // If neighbours have one offset, the lists contain the same pixel several times.
    const auto add = [&] {
      if (!times) return;
      const S weight = S(times) * reciprocal[pixel];
#pragma unroll
      for (int i = 0; i < kChannels; ++i) {
        if (i < channels) sum[i] += weight * S(to_float(from[i * plane + pixel]));
      }
    };
    for_lists(f, first, last, y, x, [&](int oy, int ox, int begin, int end) {
      for (int e = begin; e < end; ++e) {
        const int at = pixel_at(f.s, centres[e], oy, ox);
        if (at < 0) continue;
        if (at != pixel) {
          add();
          pixel = at;
          times = 0;
        }
        ++times;
      }
    });
    add();
#pragma unroll
    for (int i = 0; i < kChannels; ++i) {
      if (i < channels) store(&out[(start + i) * plane + p], sum[i]);
    }
  }
}

// The pixels of `longs`, one block for each: the threads split the lists and add their sums pairwise.
template <class T>
__global__ void __launch_bounds__(256)
    gather_long(const T* __restrict__ in, Field f, const int32_t* __restrict__ centres,
                const int32_t* __restrict__ first, const int32_t* __restrict__ last,
                const Sum<T>* __restrict__ reciprocal, T* __restrict__ out,
                const int32_t* __restrict__ longs) {
  using S = Sum<T>;
  APNT_SHARED(S, sums, [256]);
  const int64_t plane = int64_t{f.s.h} * f.s.w;
  for (int l = blockIdx.x; l < longs[0]; l += gridDim.x) {
    const int p = longs[1 + l], y = p / f.s.w, x = p % f.s.w;
    for (int64_t c = blockIdx.y; c < f.s.c; c += gridDim.y) {
      const T* const from = in + c * plane;
      S sum = 0;
      for_lists(f, first, last, y, x, [&](int oy, int ox, int begin, int end) {
        for (int64_t e = int64_t{begin} + threadIdx.x; e < end; e += blockDim.x) {
          const int at = pixel_at(f.s, centres[e], oy, ox);
          if (at >= 0) sum += reciprocal[at] * S(to_float(from[at]));
        }
      });
      sums[threadIdx.x] = sum;
      __syncthreads();
      for (unsigned half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
      }
      if (threadIdx.x == 0) store(&out[c * plane + p], sums[0]);
      __syncthreads();  // sums[0] has been read
    }
  }
}

template <class T>
void transpose(const SwapArgs& a, void* memory, Stream stream) {
  using S = Sum<T>;
  const Field f = field_of(a);
  Arena arena(memory);
  const TransposeWorkspace<S> work(f, arena);
  const int64_t pixels = a.h * a.w;
  const unsigned blocks = static_cast<unsigned>(ceil_div(pixels, int64_t{256}));
  const unsigned sorts = static_cast<unsigned>(ceil_div(pixels, int64_t{kSortTile}));
  const unsigned shares = static_cast<unsigned>(std::min<int64_t>(ceil_div(a.c, int64_t{kChannels}), 65535));

  for (int64_t n = 0; n < a.n; ++n) {
    const T* const in = static_cast<const T*>(a.in) + n * a.c * pixels;
    T* const out = static_cast<T*>(a.out) + n * a.c * pixels;
    APNT_LAUNCH(make_keys<S>, blocks, 256, 0, stream, a.offset + n * 2 * pixels, f, a.patch, work.keys[0],
                work.centres[0], work.reciprocal);
    int from = 0;
    for (int shift = 0; shift < 32 && f.bins >> shift; shift += 8, from ^= 1) {
      APNT_LAUNCH(count_digits, sorts, kSortThreads, 0, stream, work.keys[from], pixels, shift,
                  work.histogram);
      APNT_LAUNCH(scan, 1, kScanThreads, 0, stream, work.histogram, int64_t{kDigits} * sorts);
      APNT_LAUNCH(place_digits, sorts, kSortThreads, 0, stream, work.keys[from], work.centres[from], pixels,
                  shift, work.histogram, work.keys[from ^ 1], work.centres[from ^ 1]);
    }
    set_zero(work.first, 2 * size_t{f.bins} * sizeof(int32_t), stream);
    set_zero(work.longs, sizeof(int32_t), stream);
    APNT_LAUNCH(find_lists, blocks, 256, 0, stream, work.keys[from], pixels, f.bins, work.first, work.last);
    APNT_LAUNCH(gather_lists<T>, dim3(blocks, shares), 256, 0, stream, in, f, work.centres[from], work.first,
                work.last, work.reciprocal, out, work.longs);
    APNT_LAUNCH(gather_long<T>, dim3(kLongBlocks, static_cast<unsigned>(std::min<int64_t>(a.c, 16))), 256, 0,
                stream, in, f, work.centres[from], work.first, work.last, work.reciprocal, out, work.longs);
  }
}

}  // namespace
}  // namespace apnt::cuda

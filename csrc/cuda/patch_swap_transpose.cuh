// The transpose of patch_swap without atomic additions of floats, so that results are bit-equal every time: a gather.
// Pixel p of the source was read by the centres that land on p - o, o in the patch (read_lists.cuh).
#pragma once

#include <algorithm>

#include "cuda/gather.cuh"
#include "cuda/patch_swap.h"
#include "cuda/patch_swap_plan.cuh"

namespace apnt::cuda {
namespace {

inline Field field_of(const SwapArgs& a) {
  // A patch never extends farther than the image from a centre inside to a pixel inside.
  const Field f{a.n, static_cast<int>(a.h), static_cast<int>(a.w),
                static_cast<int>(std::min<int64_t>(a.patch / 2, a.h - 1)),
                static_cast<int>(std::min<int64_t>(a.patch / 2, a.w - 1))};
  if ((a.h + 2 * f.border_y) * (a.w + 2 * f.border_x) >= int64_t{1} << 31) {
    throw std::runtime_error(
        "patch_swap: the image is too large for the deterministic gradient: with its border it "
        "must have fewer than 2**31 pixels");
  }
  return f;
}

template <class S>
struct TransposeWorkspace {
  ReadLists lists;
  LongReads longs;
  S* reciprocal;  // (N, H, W): one over the number of reads that the result averaged
  S* partial;

  TransposeWorkspace(const SwapArgs& a, const Field& f, Arena& arena)
      : lists(f, arena), longs(f, f.border_y, f.border_x, arena) {
    reciprocal = arena.take<S>(a.n * f.plane());
    partial = arena.take<S>(longs.pieces * a.c);
  }
};

template <class S>
__global__ void __launch_bounds__(256)
    count_reads(const int32_t* __restrict__ offset, Shape s, int patch, int blocks, S* __restrict__ reciprocal) {
  const int64_t plane = int64_t{s.h} * s.w, image = blockIdx.x / unsigned(blocks);
  const int64_t i = int64_t{blockIdx.x % unsigned(blocks)} * 256 + threadIdx.x;
  if (i >= plane) return;
  int count = 0;
  for_reads(offset + 2 * image * plane, s, patch, static_cast<int>(i) / s.w, static_cast<int>(i) % s.w,
            [&](int) { ++count; });
  reciprocal[image * plane + i] = count ? S(1) / S(count) : S(0);
}

template <class T>
void transpose(const SwapArgs& a, void* memory, Stream stream) {
  using S = Sum<T>;
  const Field f = field_of(a);
  Arena arena(memory);
  TransposeWorkspace<S> work(a, f, arena);
  const int64_t blocks = ceil_div(f.plane(), int64_t{256});
  list_reads(a.offset, work.lists, stream);
  find_long_reads(work.lists, work.longs, stream);
  APNT_LAUNCH(count_reads<S>, grid_size(a.n * blocks), 256, 0, stream, a.offset, Shape{a.n, a.c, f.h, f.w}, a.patch,
              static_cast<int>(blocks), work.reciprocal);
  Sums<T, T> sums{};
  sums.in = static_cast<const T*>(a.in);
  sums.out = static_cast<T*>(a.out);
  sums.c = a.c;
  sums.share = work.reciprocal;
  sums.partial = work.partial;
  if constexpr (!std::is_same_v<T, double>) {
    if (a.last) return gather<true>(sums, work.lists, work.longs, stream);
  }
  gather<false>(sums, work.lists, work.longs, stream);
}

}  // namespace
}  // namespace apnt::cuda

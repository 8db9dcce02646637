// Sums over the threads of a block, in an order that depends on nothing but their numbers.
#pragma once

#include "cuda/runtime.cuh"

namespace apnt::cuda {
namespace {

// The sum of `mine` over the threads before this one; `all`: over all of the kThreads of the block, which must call it.
template <int kThreads>
__device__ __forceinline__ int sum_before(int mine, int& all) {
  constexpr int kWarps = kThreads / 32;
  APNT_SHARED(int, sums, [kWarps]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int upto = mine;  // of the warp, this lane included
#pragma unroll
  for (int d = 1; d < 32; d *= 2) {
    const int other = __shfl_up_sync(0xffffffffu, upto, d);
    if (lane >= d) upto += other;
  }
  if (lane == 31) sums[warp] = upto;
  __syncthreads();
  int others = 0;
  all = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) others += sums[w];
    all += sums[w];
  }
  __syncthreads();  // the sums have been read
  return others + upto - mine;
}

// In the first kCount threads, the sum of number i over the block; all of its kThreads threads must call it.
template <int kThreads, int kCount, class S>
__device__ __forceinline__ S sum_of_block(const S (&numbers)[kCount]) {
  constexpr int kWarps = kThreads / 32;
  APNT_SHARED(S, sums, [kWarps][kCount]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    S sum = numbers[i];
#pragma unroll
    for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
    if (lane == 0) sums[warp][i] = sum;
  }
  __syncthreads();
  S sum = 0;
  if (threadIdx.x < kCount) {
#pragma unroll
    for (int w = 0; w < kWarps; ++w) sum += sums[w][threadIdx.x];
  }
  __syncthreads();  // the sums have been read
  return sum;
}

}  // namespace
}  // namespace apnt::cuda

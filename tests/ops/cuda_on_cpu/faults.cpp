// Kernels with one mistake each, which the stand-in or the sanitizers must report. Run by
// test_cuda_on_cpu.py.
//
//   faults NAME SCHEDULE     prints the result, or what stopped the launch (exit code 3)
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/mma.cuh"
#include "cuda/runtime.cuh"
#include "on_cpu.h"

namespace apnt::cuda {
namespace {

constexpr int kThreads = 64;

// The row in reverse, times two; Barrier false leaves out the barrier that this takes.
template <bool Barrier>
__global__ void reversed(const float* in, float* out) {
  APNT_SHARED(float, tile, [kThreads]);
  tile[threadIdx.x] = 2 * in[threadIdx.x];
  if constexpr (Barrier) __syncthreads();
  out[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}

// A running sum of the row's shifted copies; Barrier false lets a fast thread overwrite what a slow one still
// reads.
template <bool Barrier>
__global__ void rounds(const float* in, float* out) {
  APNT_SHARED(float, tile, [kThreads]);
  float sum = 0;
  for (int r = 0; r < 4; ++r) {
    tile[threadIdx.x] = in[threadIdx.x] + r;
    __syncthreads();
    sum += tile[(threadIdx.x + 33) % kThreads];
    if constexpr (Barrier) __syncthreads();
  }
  out[threadIdx.x] = sum;
}

__global__ void shared_overflow(const float* in, float* out, int shift) {
  APNT_SHARED(float, tile, [kThreads]);
  tile[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = (&tile[0])[threadIdx.x + shift];
}

__global__ void dynamic_shared_overflow(const float* in, float* out, int shift) {
  APNT_DYNAMIC_SHARED(float, tile);
  tile[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x + shift];
}

__global__ void global_overflow(const float* in, float* out, int shift) {
  out[threadIdx.x] = in[threadIdx.x + shift];
}

__global__ void misaligned(const float* in, float* out, int shift) {
  const float2 pair = *reinterpret_cast<const float2*>(in + shift);
  out[threadIdx.x] = pair.x + pair.y;
}

__global__ void unwritten_shared(const float* in, float* out) {
  APNT_DYNAMIC_SHARED(float, tile);
  if (threadIdx.x != 7) tile[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}

__global__ void copy_not_awaited(const float* in, float* out) {
  APNT_DYNAMIC_SHARED(float, tile);
  if (threadIdx.x % 4 == 0) cp_async_16(&tile[threadIdx.x], &in[threadIdx.x], true);
  cp_async_commit();
  cp_async_wait<1>();
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}

__global__ void divergent_barrier(const float* in, float* out) {
  APNT_SHARED(float, tile, [kThreads]);
  tile[threadIdx.x] = in[threadIdx.x];
  if (threadIdx.x < 32) {
    __syncthreads();
    out[threadIdx.x] = __shfl_up_sync(0xffffffffu, tile[threadIdx.x], 1);
  } else {
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, tile[threadIdx.x], threadIdx.x == 40 ? 1 : 2);
    if (threadIdx.x == 40) __syncwarp();
    __syncthreads();
  }
}

__global__ void different_functions(const float* in, float* out) {
  const int x = int(in[threadIdx.x]);
  out[threadIdx.x] =
      float(threadIdx.x % 2 ? __shfl_up_sync(0xffffffffu, x, 1) : int(__match_any_sync(0xffffffffu, x)));
}

void run_named(const std::string& name, const float* in, float* out) {
  const size_t shared = kThreads * sizeof(float);
  if (name == "right") return APNT_LAUNCH(reversed<true>, 1, kThreads, 0, nullptr, in, out);
  if (name == "missing_barrier") return APNT_LAUNCH(reversed<false>, 1, kThreads, 0, nullptr, in, out);
  if (name == "right_rounds") return APNT_LAUNCH(rounds<true>, 1, kThreads, 0, nullptr, in, out);
  if (name == "missing_second_barrier") return APNT_LAUNCH(rounds<false>, 1, kThreads, 0, nullptr, in, out);
  if (name == "shared_overflow") return APNT_LAUNCH(shared_overflow, 1, kThreads, 0, nullptr, in, out, 1);
  if (name == "dynamic_shared_overflow") {
    return APNT_LAUNCH(dynamic_shared_overflow, 1, kThreads, shared, nullptr, in, out, 1);
  }
  if (name == "global_overflow") return APNT_LAUNCH(global_overflow, 1, kThreads, 0, nullptr, in, out, 1);
  if (name == "misaligned") return APNT_LAUNCH(misaligned, 1, kThreads, 0, nullptr, in, out, 1);
  if (name == "unwritten_shared") return APNT_LAUNCH(unwritten_shared, 1, kThreads, shared, nullptr, in, out);
  if (name == "copy_not_awaited") return APNT_LAUNCH(copy_not_awaited, 1, kThreads, shared, nullptr, in, out);
  if (name == "divergent_barrier") return APNT_LAUNCH(divergent_barrier, 1, kThreads, 0, nullptr, in, out);
  if (name == "different_functions")
    return APNT_LAUNCH(different_functions, 1, kThreads, 0, nullptr, in, out);
  if (name == "too_much_shared") {
    return APNT_LAUNCH(dynamic_shared_overflow, 1, kThreads, kSharedLimit + 1, nullptr, in, out, 0);
  }
  if (name == "too_many_threads") return APNT_LAUNCH(global_overflow, 1, 1025, 0, nullptr, in, out, 0);
  throw std::invalid_argument("no kernel is called " + name);
}

}  // namespace
}  // namespace apnt::cuda

int main(int count, char** arguments) {
  if (count != 3) return 2;
  // Separate arrays of exactly this size, so that AddressSanitizer guards the ends.
  std::vector<float> in(apnt::cuda::kThreads), out(apnt::cuda::kThreads);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
  try {
    apnt::on_cpu::set_schedule(std::strtoull(arguments[2], nullptr, 10));
    apnt::cuda::run_named(arguments[1], in.data(), out.data());
  } catch (const std::runtime_error& error) {
    std::printf("%s\n", error.what());
    return 3;
  }
  for (const float x : out) std::printf("%g ", x);
  std::printf("\n");
}

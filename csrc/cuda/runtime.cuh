// Included by every kernel: the CUDA runtime, or its stand-in if the kernels are compiled as plain C++ to be
// tested without a GPU (APNT_CUDA_ON_CPU). Macros for the few expressions that differ between the two:
//
//   APNT_LAUNCH(kernel<T, 4>, grid, block, shared_bytes, stream, arguments...);   // instead of <<<...>>>
//   APNT_SHARED(float, tile, [8][33]);       // instead of  __shared__ float tile[8][33];
//   APNT_DYNAMIC_SHARED(float, tile);        // float* tile: the block's shared_bytes, aligned to 128
//
// Shared memory holds NaN when a block of the stand-in starts. Everything else is spelled as in CUDA.
// Barriers and warp functions work only if all threads that they name reach the same call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#ifdef APNT_CUDA_ON_CPU
#include "on_cpu.h"  // of the tests, whose build has its folder on the include path
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#endif

#include "common/args.h"
#include "cuda/stream.h"

namespace apnt::cuda {

// Dynamic shared memory that a block may have on sm_80; sm_90 has 227 KB.
constexpr int kSharedLimit = 163 * 1024;

#ifndef APNT_CUDA_ON_CPU

#define APNT_SHARED(type, name, ...) __shared__ type name __VA_ARGS__
#define APNT_DYNAMIC_SHARED(type, name)                                 \
  extern __shared__ __align__(128) unsigned char apnt_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(apnt_dynamic_shared)

inline void check(cudaError_t status, const char* where) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // or it would be reported again at the next launch
  throw std::runtime_error(std::string(where) + ": CUDA: " + cudaGetErrorString(status));
}

// Lets launches of a kernel on the current device have as much dynamic shared memory as the device gives a block;
// more than 48 KB must be requested. Once for each kernel and device: the request belongs to the kernel, so that
// of a smaller launch in another thread could come between a larger one and its launch.
inline void request_shared(const void* kernel, const char* where) {
  static std::mutex mutex;
  static std::set<std::pair<const void*, int>> done;
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), where);
  const std::lock_guard<std::mutex> lock(mutex);
  if (done.count({kernel, device})) return;
  cudaFuncAttributes found{};
  check(cudaFuncGetAttributes(&found, kernel), where);
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), where);
  bytes -= static_cast<int>(found.sharedSizeBytes);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), where);
  done.insert({kernel, device});
}

template <class... Params, class... Args>
void launch(const char* where, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared, Stream stream,
            Args&&... args) {
  if (shared > 48 * 1024) request_shared(reinterpret_cast<const void*>(kernel), where);
  const cudaStream_t on = static_cast<cudaStream_t>(stream);
  // clang-format off
  kernel<<<grid, block, shared, on>>>(static_cast<Params>(args)...);
  // clang-format on
  check(cudaGetLastError(), where);
}

// Fills device memory with zero bytes, in the stream's order.
inline void set_zero(void* to, size_t bytes, Stream stream) {
  check(cudaMemsetAsync(to, 0, bytes, static_cast<cudaStream_t>(stream)), "set_zero");
}

#endif

#define APNT_TEXT_(x) #x
#define APNT_TEXT(x) APNT_TEXT_(x)
#define APNT_LAUNCH(...) ::apnt::cuda::launch(__FILE__ ":" APNT_TEXT(__LINE__), __VA_ARGS__)

// a * b, one instruction.
__device__ __forceinline__ int64_t wide_product(int a, int b) {
#ifdef __CUDA_ARCH__
  int64_t out;
  asm("mul.wide.s32 %0, %1, %2;" : "=l"(out) : "r"(a), "r"(b));
  return out;
#else
  return int64_t(a) * b;
#endif
}

// at + a * b bytes, one instruction.
__device__ __forceinline__ const unsigned char* wide_sum(const unsigned char* at, int a, int b) {
#ifdef __CUDA_ARCH__
  const unsigned char* out;
  asm("mad.wide.s32 %0, %1, %2, %3;" : "=l"(out) : "r"(a), "r"(b), "l"(at));
  return out;
#else
  return at + int64_t(a) * b;
#endif
}

// Half precision in memory is float in sums; float64 stays float64.
__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ double to_float(double x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

__device__ __forceinline__ void store(float* at, float x) { *at = x; }
__device__ __forceinline__ void store(double* at, double x) { *at = x; }
__device__ __forceinline__ void store(__half* at, float x) { *at = __float2half_rn(x); }
__device__ __forceinline__ void store(__nv_bfloat16* at, float x) { *at = __float2bfloat16_rn(x); }

// The type in which values of type T are summed.
template <class T>
struct SumOf {
  using type = float;
};
template <>
struct SumOf<double> {
  using type = double;
};
template <class T>
using Sum = typename SumOf<T>::type;

// f(T()), with T for the type.
template <class F>
auto with_type(Type type, const F& f) {
  switch (type) {
    case Type::f64:
      return f(double());
    case Type::f16:
      return f(__half());
    case Type::bf16:
      return f(__nv_bfloat16());
    default:
      return f(float());
  }
}

// Blocks of a grid that has one dimension, or an error.
inline unsigned grid_size(int64_t blocks) {
  if (blocks > INT32_MAX) throw std::runtime_error("too many pixels for one launch");
  return static_cast<unsigned>(blocks);
}

template <class A, class B>
__host__ __device__ constexpr auto ceil_div(A a, B b) {
  return (a + b - 1) / b;
}

}  // namespace apnt::cuda

// A stand-in for the CUDA runtime: the kernels compile as plain C++ and run on the CPU, for tests without a
// GPU. It holds what the kernels use, and no more.
//
// Blocks run one after the other, in any order. The threads of a block are fibres on one processor: each runs
// until it has to wait for others, at a barrier or in a warp function. Which goes first is chosen by the
// schedule (set_schedule), so that a missing barrier has an effect: 0 is in order, 1 in reverse order, others
// are random. A warp runs as far as it can before the next one does. Shared memory is full of NaN when a
// block starts; copies of cp_async happen only when they are waited for. The launch throws an exception if a
// warp or block can never continue, if threads of a warp call different warp functions, or if no GPU of sm_80
// accepts it.
//
// It does not find errors that need real parallel threads, such as two threads that write one address without
// an atomic where every order of the fibres gives a right result, and it measures no speed.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "common/half.h"
#include "cuda/stream.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
// Shared arrays go through APNT_SHARED, so that they are poisoned; a plain __shared__ does not compile here.

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

// As in CUDA, the position of the running thread.
inline dim3 gridDim, blockDim;
inline uint3 blockIdx, threadIdx;

namespace apnt::on_cpu {

// ---- controls of the tests

// 0: threads and blocks in order, 1: in reverse, others: a random order that the number chooses.
void set_schedule(uint64_t seed);

struct Counters {
  int64_t launches, blocks, barriers, collectives;
  int64_t largest_shared;  // dynamic, bytes
};
Counters counters();  // since the last call

// ---- running

using Entry = void (*)(void* context);
void run(const char* where, dim3 grid, dim3 block, size_t shared, Entry entry, void* context);

template <class... Params>
void launch(const char* where, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared,
            std::common_type_t<Params>... args) {
  struct Call {
    void (*kernel)(Params...);
    std::tuple<Params...> args;
  } call{kernel, {args...}};
  run(
      where, grid, block, shared,
      [](void* context) {
        const Call& call = *static_cast<const Call*>(context);
        std::apply(call.kernel, call.args);
      },
      &call);
}

void* dynamic_shared();

// A number that no two blocks share.
uint64_t block_number();

// The first thread of a block that calls it fills the array with NaN.
inline void poison_once(void* array, size_t bytes, uint64_t& of_block) {
  if (of_block == block_number()) return;
  of_block = block_number();
  std::memset(array, 0xff, bytes);
}

// Called once, by the last thread to arrive, with the operands of all; operands[lane] is null for a lane that
// does not take part.
using Collective = void (*)(void* const* operands);

// Waits for all threads of the warp that `mask` names and that have not left the kernel, which must pass the
// same function.
void warp_collective(unsigned mask, void* operands, Collective collective);

// Waits for all threads of the block that have not left the kernel; the number of those whose `value` is
// true.
int block_barrier(bool value);

[[noreturn]] void fail(const char* message);

// Copies of cp_async_16.
void copy_later(void* to, const void* from, int bytes, bool valid);
void commit_copies();
void wait_copies(int groups_left);

inline unsigned lane() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32; }

template <class T>
struct Exchange {
  T value;
  int from;
  T result;
};

// `value` of lane `from`; of the own lane where `from` is not inside the warp.
template <class T>
T shuffle(unsigned mask, T value, int from) {
  Exchange<T> mine{value, from, value};
  warp_collective(mask, &mine, [](void* const* operands) {
    for (int i = 0; i < 32; ++i) {
      if (!operands[i]) continue;
      Exchange<T>& to = *static_cast<Exchange<T>*>(operands[i]);
      if (to.from < 0 || to.from >= 32) continue;
      if (!operands[to.from]) fail("a shuffle reads from a lane that does not take part in it");
      to.result = static_cast<const Exchange<T>*>(operands[to.from])->value;
    }
  });
  return mine.result;
}

}  // namespace apnt::on_cpu

// ---- barriers and warp functions

inline void __syncthreads() { apnt::on_cpu::block_barrier(false); }
inline int __syncthreads_or(int value) { return apnt::on_cpu::block_barrier(value != 0) != 0; }
inline int __syncthreads_and(int value) { return apnt::on_cpu::block_barrier(value == 0) == 0; }

inline void __syncwarp(unsigned mask = 0xffffffffu) {
  apnt::on_cpu::warp_collective(mask, &mask, [](void* const*) {});
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta) {
  return apnt::on_cpu::shuffle(mask, value, static_cast<int>(apnt::on_cpu::lane()) - static_cast<int>(delta));
}
template <class T>
T __shfl_sync(unsigned mask, T value, int from) {
  return apnt::on_cpu::shuffle(mask, value, from);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with) {
  return apnt::on_cpu::shuffle(mask, value, static_cast<int>(apnt::on_cpu::lane()) ^ with);
}

inline unsigned __match_any_sync(unsigned mask, int value) {
  struct Vote {
    int value;
    unsigned result;
  } mine{value, 0};
  apnt::on_cpu::warp_collective(mask, &mine, [](void* const* operands) {
    for (int i = 0; i < 32; ++i) {
      if (!operands[i]) continue;
      Vote& to = *static_cast<Vote*>(operands[i]);
      for (int j = 0; j < 32; ++j) {
        if (operands[j] && static_cast<Vote*>(operands[j])->value == to.value) to.result |= 1u << j;
      }
    }
  });
  return mine.result;
}

inline unsigned __reduce_or_sync(unsigned mask, unsigned value) {
  apnt::on_cpu::warp_collective(mask, &value, [](void* const* operands) {
    unsigned all = 0;
    for (int i = 0; i < 32; ++i) all |= operands[i] ? *static_cast<unsigned*>(operands[i]) : 0;
    for (int i = 0; i < 32; ++i) {
      if (operands[i]) *static_cast<unsigned*>(operands[i]) = all;
    }
  });
  return value;
}

inline unsigned __reduce_max_sync(unsigned mask, unsigned value) {
  apnt::on_cpu::warp_collective(mask, &value, [](void* const* operands) {
    unsigned most = 0;
    for (int i = 0; i < 32; ++i)
      if (operands[i]) most = std::max(most, *static_cast<unsigned*>(operands[i]));
    for (int i = 0; i < 32; ++i) {
      if (operands[i]) *static_cast<unsigned*>(operands[i]) = most;
    }
  });
  return value;
}

inline unsigned __ballot_sync(unsigned mask, int value) {
  return __reduce_or_sync(mask, value ? 1u << apnt::on_cpu::lane() : 0);
}

// ---- memory

template <class T>
T __ldg(const T* at) {
  return *at;
}

template <class T>
T atomicAdd(T* at, T value) {
  const T old = *at;
  *at = old + value;
  return old;
}
template <class T>
T atomicMax(T* at, T value) {
  const T old = *at;
  if (value > old) *at = value;
  return old;
}
template <class T>
T atomicMin(T* at, T value) {
  const T old = *at;
  if (value < old) *at = value;
  return old;
}

// ---- numbers

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(unsigned x) { return __builtin_ffs(static_cast<int>(x)); }
inline unsigned __float_as_uint(float x) {
  unsigned out;
  std::memcpy(&out, &x, sizeof out);
  return out;
}
inline float __uint_as_float(unsigned x) {
  float out;
  std::memcpy(&out, &x, sizeof out);
  return out;
}

// CUDA's min and max of two whole numbers.
template <class A, class B>
std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  static_assert(std::is_integral_v<T>, "NaN would need more");
  return T(a) < T(b) ? a : b;
}
template <class A, class B>
std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  static_assert(std::is_integral_v<T>, "NaN would need more");
  return T(a) < T(b) ? b : a;
}

// ---- half precision

struct __half {
  uint16_t bits;
};
struct __nv_bfloat16 {
  uint16_t bits;
};

inline float __half2float(__half x) { return apnt::to_float(apnt::half_t{x.bits}); }
inline float __bfloat162float(__nv_bfloat16 x) { return apnt::to_float(apnt::bfloat_t{x.bits}); }
inline __half __float2half_rn(float x) {
  apnt::half_t out;
  apnt::store(&out, x);
  return {out.bits};
}
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
  apnt::bfloat_t out;
  apnt::store(&out, x);
  return {out.bits};
}

// ---- the macros and functions that csrc/cuda/runtime.cuh defines for nvcc

#define APNT_SHARED(type, name, ...) \
  static type name __VA_ARGS__;      \
  static uint64_t name##_of_block;   \
  ::apnt::on_cpu::poison_once(&name, sizeof name, name##_of_block)
#define APNT_DYNAMIC_SHARED(type, name) \
  type* const name = reinterpret_cast<type*>(::apnt::on_cpu::dynamic_shared())

namespace apnt::cuda {

template <class... Params, class... Args>
void launch(const char* where, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared,
            Stream /*stream*/, Args&&... args) {
  on_cpu::launch(where, kernel, grid, block, shared, static_cast<Params>(args)...);
}

// Fills device memory with zero bytes, in the stream's order.
inline void set_zero(void* to, size_t bytes, Stream /*stream*/) { std::memset(to, 0, bytes); }

}  // namespace apnt::cuda

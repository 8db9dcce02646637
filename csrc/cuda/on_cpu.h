// A stand-in for the CUDA runtime: the kernels compile as plain C++ and run on the CPU, for tests without a
// GPU.
//
// Blocks run one after the other, in any order. The threads of a block are fibres on one processor: each runs
// until it has to wait for others, at a barrier or in a warp function. Which goes first is chosen by the
// schedule (set_schedule), so that a missing barrier shows: 0 is in order, 1 in reverse order, others are
// random. A warp runs as far as it can before the next one does. Shared memory is full of NaN when a block
// starts; copies of cp_async happen only when they are waited for. A warp or block that can never go on,
// threads of a warp that meet in different functions, or a launch that no GPU of sm_80 takes: an exception
// from the launch.
//
// Not checked: what needs real parallel threads, such as two threads that write one address without an atomic
// in a way that no order of the fibres shows, and anything about speed.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "common/half.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static
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

#define APNT_VECTOR(name, type, n, align) \
  struct alignas(align) name##n {         \
    APNT_FIELDS_##n(type)                 \
  };                                      \
  inline name##n make_##name##n(APNT_PARAMS_##n(type)) { return {APNT_NAMES_##n}; }
#define APNT_FIELDS_2(type) type x, y;
#define APNT_FIELDS_4(type) type x, y, z, w;
#define APNT_PARAMS_2(type) type x, type y
#define APNT_PARAMS_4(type) type x, type y, type z, type w
#define APNT_NAMES_2 x, y
#define APNT_NAMES_4 x, y, z, w
APNT_VECTOR(float, float, 2, 8)
APNT_VECTOR(float, float, 4, 16)
APNT_VECTOR(double, double, 2, 16)
APNT_VECTOR(int, int, 2, 8)
APNT_VECTOR(int, int, 4, 16)
APNT_VECTOR(uint, unsigned, 2, 8)
APNT_VECTOR(uint, unsigned, 4, 16)
APNT_VECTOR(short, short, 2, 4)
APNT_VECTOR(short, short, 4, 8)
APNT_VECTOR(ushort, unsigned short, 2, 4)
APNT_VECTOR(ushort, unsigned short, 4, 8)
#undef APNT_VECTOR
#undef APNT_FIELDS_2
#undef APNT_FIELDS_4
#undef APNT_PARAMS_2
#undef APNT_PARAMS_4
#undef APNT_NAMES_2
#undef APNT_NAMES_4

// As in CUDA, the place of the thread that runs.
inline dim3 gridDim, blockDim;
inline uint3 blockIdx, threadIdx;
constexpr int warpSize = 32;

namespace apnt::on_cpu {

// ---- what tests set and read

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

// The first thread of a block that comes by fills the array with NaN.
inline void poison_once(void* array, size_t bytes, uint64_t& of_block) {
  if (of_block == block_number()) return;
  of_block = block_number();
  std::memset(array, 0xff, bytes);
}

// Called once, by the last thread to arrive, with what each of them brought; brought[lane] is null for a lane
// that does not take part.
using Meeting = void (*)(void* const* brought);

// All threads of the warp that `mask` names and that have not left the kernel meet. It must be one function.
void meet_warp(unsigned mask, void* brought, Meeting meeting);

// All threads of the block that have not left the kernel meet; the number of those for whom `value` holds.
int meet_block(bool value);

[[noreturn]] void fail(const char* message);

// Copies of cp_async.
void copy_later(void* to, const void* from, int bytes, bool valid);
void commit_copies();
void wait_copies(int groups_left);

inline unsigned lane() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32; }

template <class T>
struct Lent {
  T value;
  int from;
  T result;
};

// `value` of lane `from`; of the own lane where `from` is not inside the warp.
template <class T>
T shuffle(unsigned mask, T value, int from) {
  Lent<T> mine{value, from, value};
  meet_warp(mask, &mine, [](void* const* brought) {
    for (int i = 0; i < 32; ++i) {
      if (!brought[i]) continue;
      Lent<T>& to = *static_cast<Lent<T>*>(brought[i]);
      if (to.from < 0 || to.from >= 32) continue;
      if (!brought[to.from]) fail("a shuffle reads from a lane that does not take part in it");
      to.result = static_cast<const Lent<T>*>(brought[to.from])->value;
    }
  });
  return mine.result;
}

}  // namespace apnt::on_cpu

// ---- barriers and warp functions

inline void __syncthreads() { apnt::on_cpu::meet_block(false); }
inline int __syncthreads_count(int value) { return apnt::on_cpu::meet_block(value != 0); }
inline int __syncthreads_or(int value) { return apnt::on_cpu::meet_block(value != 0) != 0; }
inline int __syncthreads_and(int value) { return apnt::on_cpu::meet_block(value == 0) == 0; }

inline void __syncwarp(unsigned mask = 0xffffffffu) {
  apnt::on_cpu::meet_warp(mask, &mask, [](void* const*) {});
}

inline unsigned __ballot_sync(unsigned mask, int value) {
  struct Vote {
    bool value;
    unsigned result;
  } mine{value != 0, 0};
  apnt::on_cpu::meet_warp(mask, &mine, [](void* const* brought) {
    unsigned votes = 0;
    for (int i = 0; i < 32; ++i) {
      if (brought[i] && static_cast<Vote*>(brought[i])->value) votes |= 1u << i;
    }
    for (int i = 0; i < 32; ++i) {
      if (brought[i]) static_cast<Vote*>(brought[i])->result = votes;
    }
  });
  return mine.result;
}
inline int __any_sync(unsigned mask, int value) { return __ballot_sync(mask, value) != 0; }
inline int __all_sync(unsigned mask, int value) { return __ballot_sync(mask, value == 0) == 0; }

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  const int lane = apnt::on_cpu::lane(), base = lane & ~(width - 1);
  return apnt::on_cpu::shuffle(mask, value, base + (from & (width - 1)));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = apnt::on_cpu::lane(), base = lane & ~(width - 1), from = lane - static_cast<int>(delta);
  return apnt::on_cpu::shuffle(mask, value, from < base ? lane : from);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = apnt::on_cpu::lane(), last = lane | (width - 1), from = lane + static_cast<int>(delta);
  return apnt::on_cpu::shuffle(mask, value, from > last ? lane : from);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32) {
  const int lane = apnt::on_cpu::lane(), from = lane ^ with;
  return apnt::on_cpu::shuffle(mask, value, from > (lane | (width - 1)) ? lane : from);
}

template <class T>
unsigned __match_any_sync(unsigned mask, T value) {
  struct Vote {
    T value;
    unsigned result;
  } mine{value, 0};
  apnt::on_cpu::meet_warp(mask, &mine, [](void* const* brought) {
    for (int i = 0; i < 32; ++i) {
      if (!brought[i]) continue;
      Vote& to = *static_cast<Vote*>(brought[i]);
      for (int j = 0; j < 32; ++j) {
        if (brought[j] && std::memcmp(&static_cast<Vote*>(brought[j])->value, &to.value, sizeof(T)) == 0) {
          to.result |= 1u << j;
        }
      }
    }
  });
  return mine.result;
}

#define APNT_REDUCE(name, T, expression)                            \
  inline T name(unsigned mask, T value) {                           \
    struct Term {                                                   \
      T value, result;                                              \
    } mine{value, value};                                           \
    apnt::on_cpu::meet_warp(mask, &mine, [](void* const* brought) { \
      bool first = true;                                            \
      T a = 0;                                                      \
      for (int i = 0; i < 32; ++i) {                                \
        if (!brought[i]) continue;                                  \
        const T b = static_cast<Term*>(brought[i])->value;          \
        a = first ? b : static_cast<T>(expression);                 \
        first = false;                                              \
      }                                                             \
      for (int i = 0; i < 32; ++i) {                                \
        if (brought[i]) static_cast<Term*>(brought[i])->result = a; \
      }                                                             \
    });                                                             \
    return mine.result;                                             \
  }
APNT_REDUCE(__reduce_add_sync, int, a + b)
APNT_REDUCE(__reduce_add_sync, unsigned, a + b)
APNT_REDUCE(__reduce_max_sync, int, a > b ? a : b)
APNT_REDUCE(__reduce_max_sync, unsigned, a > b ? a : b)
APNT_REDUCE(__reduce_min_sync, int, a < b ? a : b)
APNT_REDUCE(__reduce_min_sync, unsigned, a < b ? a : b)
APNT_REDUCE(__reduce_or_sync, unsigned, a | b)
APNT_REDUCE(__reduce_and_sync, unsigned, a& b)
#undef APNT_REDUCE

inline void __threadfence() {}
inline void __threadfence_block() {}

// ---- memory

template <class T>
T __ldg(const T* at) {
  return *at;
}
template <class T>
T __ldcs(const T* at) {
  return *at;
}
template <class T>
void __stcs(T* at, T value) {
  *at = value;
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
template <class T>
T atomicOr(T* at, T value) {
  const T old = *at;
  *at = old | value;
  return old;
}
template <class T>
T atomicExch(T* at, T value) {
  const T old = *at;
  *at = value;
  return old;
}
template <class T>
T atomicCAS(T* at, T expected, T value) {
  const T old = *at;
  if (old == expected) *at = value;
  return old;
}

// ---- numbers

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) {
  unsigned out = 0;
  for (int i = 0; i < 32; ++i) out |= ((x >> i) & 1u) << (31 - i);
  return out;
}

template <class To, class From>
To apnt_bits(From x) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To out;
  std::memcpy(&out, &x, sizeof out);
  return out;
}
inline int __float_as_int(float x) { return apnt_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return apnt_bits<unsigned>(x); }
inline float __int_as_float(int x) { return apnt_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return apnt_bits<float>(x); }
inline long long __double_as_longlong(double x) { return apnt_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return apnt_bits<double>(x); }

inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1 / a; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline float rsqrtf(float a) { return 1 / std::sqrt(a); }
inline double rsqrt(double a) { return 1 / std::sqrt(a); }

// CUDA's min and max of two numbers; what is no number loses.
template <class A, class B>
std::common_type_t<A, B> min(A a, B b) {
  if constexpr (std::is_floating_point_v<std::common_type_t<A, B>>) {
    return std::fmin(a, b);
  } else {
    return static_cast<std::common_type_t<A, B>>(a) < static_cast<std::common_type_t<A, B>>(b) ? a : b;
  }
}
template <class A, class B>
std::common_type_t<A, B> max(A a, B b) {
  if constexpr (std::is_floating_point_v<std::common_type_t<A, B>>) {
    return std::fmax(a, b);
  } else {
    return static_cast<std::common_type_t<A, B>>(a) < static_cast<std::common_type_t<A, B>>(b) ? b : a;
  }
}

// ---- half precision

struct __half {
  uint16_t bits;
};
struct __nv_bfloat16 {
  uint16_t bits;
};
struct alignas(4) __half2 {
  __half x, y;
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
using half = __half;
using half2 = __half2;

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
inline __half __float2half(float x) { return __float2half_rn(x); }
inline __nv_bfloat16 __float2bfloat16(float x) { return __float2bfloat16_rn(x); }
inline float2 __half22float2(__half2 x) { return {__half2float(x.x), __half2float(x.y)}; }
inline float2 __bfloat1622float2(__nv_bfloat162 x) { return {__bfloat162float(x.x), __bfloat162float(x.y)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half_rn(x), __float2half_rn(y)}; }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
inline __half __ushort_as_half(unsigned short x) { return {x}; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short x) { return {x}; }

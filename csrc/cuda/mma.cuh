// Tensor cores and asynchronous copies of sm_80, one thin wrapper for each instruction. In the tests' build
// the wrappers have plain bodies for the CPU. Layouts: PTX ISA, "Matrix fragments for mma.m16n8k8" and
// ".m16n8k16". All 32 lanes of a warp take part in each of mma and ldmatrix.
//
// With g = lane / 4 and t = lane % 4:
//   A (16 x K), row major, 4 registers;  B (K x 8), column major, 2 registers;
//   C, D (16 x 8) float, 4 registers:
//     C[0] = (g, 2t), C[1] = (g, 2t + 1), C[2] = (g + 8, 2t), C[3] = (g + 8, 2t + 1)
//   K = 16, two 16-bit elements (k, k + 1) a register, the lower k in the lower half:
//     A[0] = (g, 2t), A[1] = (g + 8, 2t), A[2] = (g, 2t + 8), A[3] = (g + 8, 2t + 8)
//     B[0] = (2t, g), B[1] = (2t + 8, g)                                            (k, column)
//   K = 8, one tf32 element a register:
//     A[0] = (g, t), A[1] = (g + 8, t), A[2] = (g, t + 4), A[3] = (g + 8, t + 4)
//     B[0] = (t, g), B[1] = (t + 4, g)
#pragma once

#include "cuda/runtime.cuh"

namespace apnt::cuda {

// D = A B + C, written over C; the last argument says what A and B hold: K is 16 for half precision, and 8
// for float, which is tf32. Products are exact; the order of the float additions is up to the hardware. It
// ignores the lowest 13 bits of tf32: without rounding by to_tf32 the error is up to one step of 2**-10.
__device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __half);
__device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                                    __nv_bfloat16);
__device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], float);

// The nearest number with 10 bits of mantissa, ties away from zero, as a float's bits.
__device__ __forceinline__ uint32_t to_tf32(float x);

// Four matrices of 8 x 8 16-bit elements from shared memory. Lane 8 * i + r gives the address of row r of
// matrix i, 16 bytes, aligned to 16. Register i of lane 4 * g + t: elements 2t and 2t + 1 of row g, or, of rows of
// 4 floats, element t.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row);

// Copies 16 bytes from device to shared memory, past the L1 cache, in the background; zeros where not `valid`, and then
// `from` is not read. Both aligned to 16. This thread may read the copy after cp_async_wait, other threads after
// a barrier that follows it.
__device__ __forceinline__ void cp_async_16(void* to, const void* from, bool valid);
// Ends a group of copies of this thread.
__device__ __forceinline__ void cp_async_commit();
// Waits until at most the last `Left` groups of this thread are unfinished.
template <int Left>
__device__ __forceinline__ void cp_async_wait();

#ifndef APNT_CUDA_ON_CPU

__device__ __forceinline__ unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

#define APNT_MMA(T, shape)                                                                                \
  __device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], T) { \
    asm volatile("mma.sync.aligned." shape " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"     \
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                         \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                     \
  }
APNT_MMA(__half, "m16n8k16.row.col.f32.f16.f16.f32")
APNT_MMA(__nv_bfloat16, "m16n8k16.row.col.f32.bf16.bf16.f32")
APNT_MMA(float, "m16n8k8.row.col.f32.tf32.tf32.f32")
#undef APNT_MMA

__device__ __forceinline__ uint32_t to_tf32(float x) {
  uint32_t out;
  asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(out) : "f"(x));
  return out;
}

__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

__device__ __forceinline__ void cp_async_16(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
}

__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }

template <int Left>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(Left) : "memory");
}

#endif

}  // namespace apnt::cuda

#ifdef APNT_CUDA_ON_CPU
#include "mma_on_cpu.h"
#endif

namespace apnt::cuda {

// What registers of a fragment of T give to a product. Half precision: themselves. float32: the nearest tf32, `head`,
// and where kSplit what remains of them, `rest`, which is exact. Of (head + rest)(head' + rest') three terms are
// summed; without rest * rest', and with the bits of `rest` that the hardware ignores, that is off by
// up to (1 + 2 + 2) * 2**-22 of the product, in the order of float32's own sums. Only finite numbers can be split.
template <class T, bool kSplit, int kRegisters>
struct Factors {
  uint32_t head[kRegisters], rest[kSplit ? kRegisters : 1];

  __device__ __forceinline__ void set(const uint32_t (&words)[kRegisters]) {
#pragma unroll
    for (int i = 0; i < kRegisters; ++i) {
      head[i] = words[i];
      if constexpr (std::is_same_v<T, float>) head[i] = to_tf32(__uint_as_float(words[i]));
      if constexpr (kSplit) rest[i] = __float_as_uint(__uint_as_float(words[i]) - __uint_as_float(head[i]));
    }
  }
};

// Adds one of the terms of a product, which are to be added in this order: the small ones first.
template <bool kSplit>
constexpr int kTerms = kSplit ? 3 : 1;

template <class T, bool kSplit>
__device__ __forceinline__ void add_product(float (&c)[4], const Factors<T, kSplit, 4>& a,
                                            const Factors<T, kSplit, 2>& b, int term) {
  if constexpr (kSplit) {
    if (term == 0) return mma(c, a.rest, b.head, T());
    if (term == 1) return mma(c, a.head, b.rest, T());
  }
  mma(c, a.head, b.head, T());
}

}  // namespace apnt::cuda

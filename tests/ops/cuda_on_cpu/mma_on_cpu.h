// Plain bodies of the wrappers in csrc/cuda/mma.cuh: the instructions' fragments, lane by lane.
#pragma once

#include "on_cpu.h"

namespace apnt::cuda {

namespace on_cpu_mma {

struct Operands {
  float* c;
  const uint32_t *a, *b;
};

inline float half_of(uint32_t bits, int i) { return __half2float({static_cast<uint16_t>(bits >> (16 * i))}); }
inline float bfloat_of(uint32_t bits, int i) {
  return __bfloat162float({static_cast<uint16_t>(bits >> (16 * i))});
}
inline float tf32_of(uint32_t bits, int /*i*/) { return __uint_as_float(bits & ~0x1fffu); }

// value(register, i): element i of a register's 32 bits; Each elements a register.
template <int K, int Each, float (*value)(uint32_t, int)>
void multiply(void* const* operands) {
  float a[16][K], b[K][8];
  for (int lane = 0; lane < 32; ++lane) {
    if (!operands[lane]) on_cpu::fail("all 32 lanes of a warp must take part in mma");
    const Operands& x = *static_cast<const Operands*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < Each; ++i) {
      const int k = t * Each + i;
      a[g][k] = value(x.a[0], i);
      a[g + 8][k] = value(x.a[1], i);
      a[g][k + K / 2] = value(x.a[2], i);
      a[g + 8][k + K / 2] = value(x.a[3], i);
      b[k][g] = value(x.b[0], i);
      b[k + K / 2][g] = value(x.b[1], i);
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const Operands& x = *static_cast<const Operands*>(operands[lane]);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      float sum = x.c[i];
      for (int k = 0; k < K; ++k) sum += a[row][k] * b[k][column];
      x.c[i] = sum;
    }
  }
}

struct Rows {
  const void* row;
  uint32_t* r;
};

inline void load(void* const* operands) {
  for (int lane = 0; lane < 32; ++lane) {
    if (!operands[lane]) on_cpu::fail("all 32 lanes of a warp must take part in ldmatrix");
  }
  for (int i = 0; i < 4; ++i) {
    uint16_t matrix[8][8];
    for (int r = 0; r < 8; ++r) {
      const void* row = static_cast<const Rows*>(operands[8 * i + r])->row;
      if (reinterpret_cast<uintptr_t>(row) % 16) on_cpu::fail("a row of ldmatrix is not aligned to 16 bytes");
      std::memcpy(matrix[r], row, 16);
    }
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4;
      const uint32_t low = matrix[g][2 * t];
      const uint32_t high = matrix[g][2 * t + 1];
      static_cast<const Rows*>(operands[lane])->r[i] = low | high << 16;
    }
  }
}

}  // namespace on_cpu_mma

#define APNT_MMA(T, k, each, value)                                                                \
  inline void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], T) {              \
    on_cpu_mma::Operands mine{c, a, b};                                                            \
    on_cpu::warp_collective(0xffffffffu, &mine, on_cpu_mma::multiply<k, each, on_cpu_mma::value>); \
  }
APNT_MMA(__half, 16, 2, half_of)
APNT_MMA(__nv_bfloat16, 16, 2, bfloat_of)
APNT_MMA(float, 8, 1, tf32_of)
#undef APNT_MMA

inline uint32_t to_tf32(float x) {
  const uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits;  // infinity and NaN stay
  return (bits + 0x1000u) & ~0x1fffu;
}

inline void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  on_cpu_mma::Rows mine{row, r};
  on_cpu::warp_collective(0xffffffffu, &mine, on_cpu_mma::load);
}
inline void cp_async_16(void* to, const void* from, bool valid) { on_cpu::copy_later(to, from, 16, valid); }
inline void cp_async_commit() { on_cpu::commit_copies(); }
template <int Left>
inline void cp_async_wait() {
  on_cpu::wait_copies(Left);
}

}  // namespace apnt::cuda

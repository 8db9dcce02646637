#include "cpu/isa.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace apnt::cpu {
namespace {

constexpr int kBf16 = int(Isa::avx512_bf16), kAmx = kBf16 + 1, kEmulated = kAmx + 1;
const char* const kNames[] = {"portable", "avx2", "avx512", "avx512_bf16", "amx_bf16", "amx_bf16_emulated"};

// Whether the processor multiplies bfloat16 matrices and the system lets this process do it.
bool has_amx() {
#if defined(__x86_64__) && defined(__linux__)
  unsigned a, b, c, d = 0;
  const unsigned needed = 1u << 22 | 1u << 24;  // AMX-BF16, AMX-TILE
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & needed) != needed) return false;
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

int widest() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx512 && __builtin_cpu_supports("avx512bf16")) return has_amx() ? kAmx : kBf16;
  if (avx512) return int(Isa::avx512);
  if (avx2) return int(Isa::avx2);
#endif
  return int(Isa::portable);
}

// An index into kNames.
int chosen() {
  static const int best = widest();
  const char* wanted = std::getenv("APNT_CPU_ISA");
  if (!wanted || !*wanted) return best;
  for (int i = 0; i <= kEmulated; ++i)
    if (std::string(wanted) == kNames[i]) {
      if ((i == kEmulated ? kBf16 : i) <= best) return i;
      throw std::runtime_error("APNT_CPU_ISA is " + std::string(wanted) + ", but this processor has " +
                               kNames[best] + " at most");
    }
  throw std::runtime_error("APNT_CPU_ISA must be portable, avx2, avx512, avx512_bf16 or amx_bf16, got " +
                           std::string(wanted));
}

}  // namespace

Isa isa() {
  const int i = chosen();
  return Isa(i < kBf16 ? i : kBf16);
}

MatrixUnit matrix_unit() {
  const int i = chosen();
  return i == kAmx ? MatrixUnit::amx : i == kEmulated ? MatrixUnit::emulated : MatrixUnit::none;
}

const char* instruction_set() { return kNames[chosen()]; }

}  // namespace apnt::cpu

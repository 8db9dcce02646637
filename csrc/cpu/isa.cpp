// Flags beside -O3: none.
#include "cpu/isa.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace apnt::cpu {
namespace {

const char* const kNames[] = {"portable", "avx2", "avx512", "avx512_bf16"};

Isa widest() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx512 && __builtin_cpu_supports("avx512bf16")) return Isa::avx512_bf16;
  if (avx512) return Isa::avx512;
  if (avx2) return Isa::avx2;
#endif
  return Isa::portable;
}

}  // namespace

Isa isa() {
  static const Isa best = widest();
  const char* wanted = std::getenv("APNT_CPU_ISA");
  if (!wanted || !*wanted) return best;
  for (int i = 0; i < 4; ++i)
    if (std::string(wanted) == kNames[i]) {
      if (i <= int(best)) return Isa(i);
      throw std::runtime_error("APNT_CPU_ISA is " + std::string(wanted) + ", but this processor has " +
                               kNames[int(best)] + " at most");
    }
  throw std::runtime_error("APNT_CPU_ISA must be portable, avx2, avx512 or avx512_bf16, got " +
                           std::string(wanted));
}

const char* instruction_set() { return kNames[int(isa())]; }

}  // namespace apnt::cpu

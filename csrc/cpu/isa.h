// Which body of the CPU kernels runs on this machine.
#pragma once

namespace apnt::cpu {

enum class Isa : int { portable = 0, avx2 = 1, avx512 = 2, avx512_bf16 = 3 };

// The widest set that the processor has, or the one that the environment variable APNT_CPU_ISA names. Read at
// every call. Throws std::runtime_error where the variable names a set that does not exist or that the
// processor lacks.
Isa isa();

// Its name: "portable", "avx2", "avx512" or "avx512_bf16". The last differs from "avx512" for bfloat16
// features alone.
const char* instruction_set();

}  // namespace apnt::cpu

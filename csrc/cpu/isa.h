// The instruction set whose kernels run on this machine.
#pragma once

namespace apnt::cpu {

enum class Isa : int { portable = 0, avx2 = 1, avx512 = 2, avx512_bf16 = 3 };

// The widest set that the processor has, or the one that the environment variable APNT_CPU_ISA names. Read at
// every call. Throws std::runtime_error where the variable names a set that does not exist or that the
// processor lacks.
Isa isa();

enum class MatrixUnit { none, amx, emulated };

// The matrix unit that is used with Isa::avx512_bf16. The emulation is for tests and used only if
// APNT_CPU_ISA is amx_bf16_emulated.
MatrixUnit matrix_unit();

// The name of both: "portable", "avx2", "avx512", "avx512_bf16", "amx_bf16" or "amx_bf16_emulated". The last
// three differ from "avx512" for bfloat16 features alone.
const char* instruction_set();

}  // namespace apnt::cpu

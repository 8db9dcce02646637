#include "cpu/convolve.h"

#include <stdexcept>
#include <string>

#include "cpu/isa.h"

namespace apnt::cpu {

void convolve_portable(const ConvolveArgs&);
void convolve_avx2(const ConvolveArgs&);
void convolve_avx512(const ConvolveArgs&);
void convolve_avx512_bf16(const ConvolveArgs&);
void convolve_amx_bf16(const ConvolveArgs&);
void convolve_amx_bf16_emulated(const ConvolveArgs&);

void convolve(const ConvolveArgs& a) {
  if (a.bf16) {
#ifdef __x86_64__
    if (isa() == Isa::avx512_bf16) switch (matrix_unit()) {
        case MatrixUnit::none:
          return convolve_avx512_bf16(a);
        case MatrixUnit::amx:
          return convolve_amx_bf16(a);
        case MatrixUnit::emulated:
          return convolve_amx_bf16_emulated(a);
      }
#endif
    throw std::runtime_error(std::string("convolutions of bfloat16 need avx512_bf16, got ") +
                             instruction_set());
  }
  switch (isa()) {
#ifdef __x86_64__
    case Isa::avx512_bf16:
    case Isa::avx512:
      return convolve_avx512(a);
    case Isa::avx2:
      return convolve_avx2(a);
#endif
    default:
      return convolve_portable(a);
  }
}

}  // namespace apnt::cpu

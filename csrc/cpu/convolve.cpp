#include "cpu/convolve.h"

#include "cpu/isa.h"

namespace apnt::cpu {

void convolve_portable(const ConvolveArgs&);
void convolve_avx2(const ConvolveArgs&);
void convolve_avx512(const ConvolveArgs&);

void convolve(const ConvolveArgs& a) {
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

#include "cpu/upsample.h"

#include "cpu/isa.h"

namespace apnt::cpu {

void upsample_portable(const UpsampleArgs&);
void upsample_avx2(const UpsampleArgs&);
void upsample_avx512(const UpsampleArgs&);

void upsample(const UpsampleArgs& a) {
  switch (isa()) {
#ifdef __x86_64__
    case Isa::avx512_bf16:
    case Isa::avx512:
      return upsample_avx512(a);
    case Isa::avx2:
      return upsample_avx2(a);
#endif
    default:
      return upsample_portable(a);
  }
}

}  // namespace apnt::cpu

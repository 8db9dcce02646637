#include "cpu/patch_swap.h"

#include "cpu/isa.h"

namespace apnt::cpu {

void patch_swap_portable(const SwapArgs&, bool transposed);
void patch_swap_avx2(const SwapArgs&, bool transposed);
void patch_swap_avx512(const SwapArgs&, bool transposed);

namespace {

void dispatch(const SwapArgs& a, bool transposed) {
  switch (isa()) {
#ifdef __x86_64__
    case Isa::avx512_bf16:
    case Isa::avx512:
      return patch_swap_avx512(a, transposed);
    case Isa::avx2:
      return patch_swap_avx2(a, transposed);
#endif
    default:
      return patch_swap_portable(a, transposed);
  }
}

}  // namespace

void patch_swap(const SwapArgs& a) { dispatch(a, false); }

void patch_swap_backward(const SwapArgs& a) { dispatch(a, true); }

}  // namespace apnt::cpu

// Neural feature transfer (section III-B.3) on the CPU.
#pragma once

#include "common/args.h"

namespace apnt::cpu {

// out[x] = mean over o in the patch of in[x + offset[x - o]], over those o whose pixels x - o and
// x + offset[x - o] are inside the image; 0 if there are none.
void patch_swap(const SwapArgs&);

// The transpose of patch_swap: `in` is the gradient of its result, `out` that of its source. Always
// deterministic: additions have one order, however many threads there are.
void patch_swap_backward(const SwapArgs&);

}  // namespace apnt::cpu

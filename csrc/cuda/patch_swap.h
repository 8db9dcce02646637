// Neural feature transfer (section III-B.3) on a GPU: plain pointers into device memory, no tensors.
#pragma once

#include "common/args.h"
#include "cuda/stream.h"

namespace apnt::cuda {

// out[x] = mean over o in the patch of in[x + offset[x - o]], over the o that count; 0 where none does.
void patch_swap(const SwapArgs&, Stream);

// The transpose of patch_swap: `in` is the gradient of its result, `out` that of its source. `workspace`: as
// many bytes of device memory as the function beside it says; contents do not matter.
int64_t patch_swap_backward_workspace(const SwapArgs&, bool deterministic);
void patch_swap_backward(const SwapArgs&, bool deterministic, void* workspace, Stream);

}  // namespace apnt::cuda

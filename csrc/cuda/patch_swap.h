// Neural feature transfer (section III-B.3) on a GPU: plain pointers into device memory, no tensors.
#pragma once

#include "common/args.h"
#include "cuda/stream.h"

namespace apnt::cuda {

// out[x] = mean over o in the patch of in[x + offset[x - o]], over those o whose pixels x - o and
// x + offset[x - o] are inside the image; 0 if there are none.
void patch_swap(const SwapArgs&, Stream);

// The transpose of patch_swap: `in` is the gradient of its result, `out` that of its source. `workspace`
// is device memory of patch_swap_backward_workspace() bytes with any contents.
int64_t patch_swap_backward_workspace(const SwapArgs&, bool deterministic);
void patch_swap_backward(const SwapArgs&, bool deterministic, void* workspace, Stream);

}  // namespace apnt::cuda

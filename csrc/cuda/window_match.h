// Op 1, window_match, on a GPU: plain pointers into device memory, no tensors.
#pragma once

#include "common/args.h"
#include "cuda/stream.h"

namespace apnt::cuda {

// Whether the kernels of this match read features (N, H, W, C) as they lie: all but float64's.
bool takes_channels_last(const MatchArgs&);

// Size in bytes of the launch's workspace: device memory, aligned to 256 bytes, with any contents.
int64_t window_match_workspace(const MatchArgs&);
void window_match(const MatchArgs&, void* workspace, Stream);

int64_t window_match_backward_workspace(const MatchBackwardArgs&);
void window_match_backward(const MatchBackwardArgs&, void* workspace, Stream);

}  // namespace apnt::cuda

// Op 1, window_match, on the CPU. The meaning is that of apnt/reference/window_match.py.
#pragma once

#include "common/args.h"

namespace apnt::cpu {

void window_match(const MatchArgs&);

// args.center with scores `found`, (N, H, W), or the centres of the four neighbours at a distance where these
// score more: `propagated` of apnt/nn/matching.py, one distance of it. Channels-last features; args.radius is
// not read.
void propagate(const MatchArgs& args, const void* found, int64_t distance);

// Deterministic: additions have one order, however many threads there are.
void window_match_backward(const MatchBackwardArgs&);

}  // namespace apnt::cpu

// Op 1, window_match, on the CPU. The meaning is that of apnt/reference/window_match.py.
#pragma once

#include "common/args.h"

namespace apnt::cpu {

void window_match(const MatchArgs&);

// Deterministic: additions have one order, however many threads there are.
void window_match_backward(const MatchBackwardArgs&);

}  // namespace apnt::cpu

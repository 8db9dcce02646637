// The arguments of window_match for one instruction set, and its functions.
#pragma once

#include "cpu/window_match.h"

namespace apnt::cpu {

struct Step {
  int dy, dx;
};

struct MatchPlan : MatchArgs {
  const Step* order;  // (2 * radius + 1)**2 displacements, nearest to the centre first, then in raster order
};

struct PropagatePlan : MatchArgs {
  const void* found;  // scores of the centres
  int64_t distance;
};

// Each function takes all types; those named after bfloat16 take bfloat16 alone, and those with matrix units
// only windows that are centred on their pixels.
void window_match_portable(const MatchPlan&);
void window_match_avx2(const MatchPlan&);
void window_match_avx512(const MatchPlan&);
void window_match_avx512_bf16(const MatchPlan&);
void window_match_amx_bf16(const MatchPlan&);
void window_match_amx_bf16_emulated(const MatchPlan&);

void propagate_portable(const PropagatePlan&);
void propagate_avx2(const PropagatePlan&);
void propagate_avx512(const PropagatePlan&);
void propagate_avx512_bf16(const PropagatePlan&);

void window_match_backward_portable(const MatchBackwardArgs&);
void window_match_backward_avx2(const MatchBackwardArgs&);
void window_match_backward_avx512(const MatchBackwardArgs&);

}  // namespace apnt::cpu

// window_match for one instruction set. Flags beside -O3: -mavx512f -mavx512bw -mavx512vl -mavx512dq
// -mavx512bf16 -mfma -mf16c. Only for x86-64.
#include "cpu/vector_avx512.h"
#include "cpu/window_match_centered.h"
#include "cpu/window_match_shared.h"

namespace apnt::cpu {
namespace {

template <class I, class T>
void match(const MatchPlan& plan) {
  if (plan.center) {
    match_centered<I, T>(plan);
  } else {
    match_shared<I, T>(plan);
  }
}

}  // namespace

void window_match_avx512_bf16(const MatchPlan& plan) { match<Avx512Bf16, BF16Pair>(plan); }

}  // namespace apnt::cpu

// window_match for one instruction set. Flags beside -O3: -mavx512f -mavx512bw -mavx512vl -mavx512dq
// -mavx512bf16 -mfma -mf16c. Only for x86-64.
#include "cpu/tiles.h"
#include "cpu/vector_avx512.h"
#include "cpu/window_match_body.h"

namespace apnt::cpu {

void window_match_avx512_bf16(const MatchPlan& plan) { match<Avx512Bf16, BF16Pair>(plan); }

void window_match_amx_bf16_emulated(const MatchPlan& plan) {
  match_shared<Avx512Bf16, BF16Pair, EmulatedTiles>(plan);
}

}  // namespace apnt::cpu

// window_match for bfloat16 with AMX's matrix units. Only for x86-64.
#if !defined(__AVX512BF16__) || !defined(__AMX_TILE__) || !defined(__AMX_BF16__)
#error "needs -mavx512bf16 -mamx-tile -mamx-bf16: without them it would compile to other instructions"
#endif

#include "cpu/tiles.h"
#include "cpu/vector_avx512.h"
#include "cpu/window_match_shared.h"

namespace apnt::cpu {

void window_match_amx_bf16(const MatchPlan& plan) { match_shared<Avx512Bf16, BF16Pair, AmxTiles>(plan); }

}  // namespace apnt::cpu

// window_match for bfloat16 with AMX's matrix units. Only for x86-64.
#include "cpu/tiles.h"
#include "cpu/vector_avx512.h"
#include "cpu/window_match_shared.h"

namespace apnt::cpu {

void window_match_amx_bf16(const MatchPlan& plan) { match_shared<Avx512Bf16, BF16Pair, AmxTiles>(plan); }

}  // namespace apnt::cpu

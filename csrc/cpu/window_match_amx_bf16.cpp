// window_match for one instruction set. Flags beside -O3: those of window_match_avx512_bf16.cpp, -mamx-tile
// -mamx-bf16. Only for x86-64.
#include "cpu/tiles.h"
#include "cpu/vector_avx512.h"
#include "cpu/window_match_shared.h"

namespace apnt::cpu {

void window_match_amx_bf16(const MatchPlan& plan) { match_shared<Avx512Bf16, BF16Pair, AmxTiles>(plan); }

}  // namespace apnt::cpu

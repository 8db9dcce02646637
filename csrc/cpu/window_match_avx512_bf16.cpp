// window_match for bfloat16 with AVX-512's products of pairs, and with emulated matrix units. Only for
// x86-64.
#ifndef __AVX512BF16__
#error "needs -mavx512bf16: without them it would compile to other instructions"
#endif

#include "cpu/tiles.h"
#include "cpu/vector_avx512.h"
#include "cpu/window_match_body.h"

namespace apnt::cpu {

void window_match_avx512_bf16(const MatchPlan& plan) { match<Avx512Bf16, BF16Pair>(plan); }

void propagate_avx512_bf16(const PropagatePlan& plan) { propagate<Avx512Bf16, BF16Pair>(plan); }

void window_match_amx_bf16_emulated(const MatchPlan& plan) {
  match_shared<Avx512Bf16, BF16Pair, EmulatedTiles>(plan);
}

}  // namespace apnt::cpu

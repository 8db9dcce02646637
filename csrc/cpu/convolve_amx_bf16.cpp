// Convolutions of bfloat16 features with AMX's matrix units. Only for x86-64.
#if !defined(__AVX512BF16__) || !defined(__AMX_TILE__) || !defined(__AMX_BF16__)
#error "needs -mavx512bf16 -mamx-tile -mamx-bf16: without them it would compile to other instructions"
#endif

#include "cpu/convolve_tiles.h"
#include "cpu/tiles.h"

namespace apnt::cpu {

void convolve_amx_bf16(const ConvolveArgs& args) { TiledConvolution<AmxTiles>(args).run(); }

}  // namespace apnt::cpu

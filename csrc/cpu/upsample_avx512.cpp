// upsample for AVX-512. Only for x86-64.
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__)
#error "needs -mavx512f -mavx512bw -mavx512dq -mavx512vl: without them it would compile to other instructions"
#endif

#define APNT_BODY upsample_avx512
#include "cpu/upsample_body.h"

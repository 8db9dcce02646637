// upsample for AVX2. Only for x86-64.
#if !defined(__AVX2__) || !defined(__FMA__)
#error "needs -mavx2 -mfma: without them it would compile to other instructions"
#endif

#define APNT_BODY upsample_avx2
#include "cpu/upsample_body.h"

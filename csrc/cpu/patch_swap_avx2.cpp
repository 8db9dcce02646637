// patch_swap for AVX2, FMA and F16C. Only for x86-64.
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "needs -mavx2 -mfma -mf16c: without them it would compile to other instructions"
#endif

#define APNT_BODY patch_swap_avx2
#include "cpu/patch_swap_body.h"

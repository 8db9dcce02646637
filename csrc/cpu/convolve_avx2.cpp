// convolve for AVX2. Only for x86-64.
#if !defined(__AVX2__) || !defined(__FMA__)
#error "needs -mavx2 -mfma: without them it would compile to other instructions"
#endif
#include "cpu/vector_avx2.h"

#define APNT_VECTOR Avx2
#define APNT_BODY convolve_avx2
#include "cpu/convolve_body.h"

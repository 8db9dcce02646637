#define APNT_BODY patch_swap_avx512
#include "cpu/patch_swap_body.h"

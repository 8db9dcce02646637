#define APNT_BODY patch_swap_avx2
#include "cpu/patch_swap_body.h"

// patch_swap for every machine.
#define APNT_BODY patch_swap_portable
#include "cpu/patch_swap_body.h"

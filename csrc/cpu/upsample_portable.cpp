// upsample for every machine.
#define APNT_BODY upsample_portable
#include "cpu/upsample_body.h"

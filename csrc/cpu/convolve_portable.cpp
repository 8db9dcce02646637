// convolve in plain C++.
#include "cpu/vector_portable.h"

#define APNT_VECTOR Portable<float>
#define APNT_BODY convolve_portable
#include "cpu/convolve_body.h"

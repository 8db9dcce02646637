// A cudaStream_t, for files that are compiled without CUDA's headers.
#pragma once

namespace apnt::cuda {

using Stream = void*;

}  // namespace apnt::cuda

// Whether the kernels can run on a GPU at all.
#pragma once

#include <string>

namespace apnt::cuda {

// Why the kernels of this library cannot run on that GPU (its code is for others, or the driver is older than the
// toolkit that built it); empty if they can. Loads one small kernel; leaves the current device as it was.
std::string refusal(int device);

}  // namespace apnt::cuda

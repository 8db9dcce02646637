// How far windows and patches need to reach.
#pragma once

#include <algorithm>
#include <cstdint>

namespace apnt {

// How far a window or a patch reaches to each side, in an image of h x w pixels: all of it is in reach of any
// pixel from its size on, and more changes nothing.
inline int reach(int64_t asked, int64_t h, int64_t w) {
  return static_cast<int>(std::min(asked, std::max(h, w) - 1));
}

// patch_size, as large as makes a difference.
inline int effective_patch(int64_t patch_size, int64_t h, int64_t w) {
  return 2 * reach(patch_size / 2, h, w) + 1;
}

}  // namespace apnt

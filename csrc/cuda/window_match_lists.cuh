// Sorted lists of the target pixels that chose each source pixel: sums over them have one order, independent
// of that of the threads.
#pragma once

#include "cuda/arena.cuh"

namespace apnt::cuda {

// All in the plane of an image: the list of pixel j is list[end[j] - count[j]] ... list[end[j] - 1].
struct ChoiceLists {
  int32_t* count;  // (N, H, W)
  int32_t* end;    // (N, H, W)
  int32_t* list;   // (N, H * W)
  int32_t* total;  // (N)

  static ChoiceLists in(Arena& arena, int64_t n, int64_t plane) {
    const int64_t pixels = n * plane;
    return {arena.take<int32_t>(pixels), arena.take<int32_t>(pixels), arena.take<int32_t>(pixels),
            arena.take<int32_t>(n)};
  }
};

// offset: (N, 2, H, W).
void list_choices(const int32_t* offset, int64_t n, int h, int w, const ChoiceLists& lists, Stream stream);

}  // namespace apnt::cuda

#include "cuda/window_match_lists.cuh"
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kThreads = 256;

// The source pixel that pixel k of the plane chose, -1 if it is outside.
__device__ __forceinline__ int32_t chosen(const int32_t* offset, int k, int h, int w) {
  const int64_t y = k / w + int64_t(offset[k]), x = k % w + int64_t(offset[int64_t(h) * w + k]);
  return y >= 0 && y < h && x >= 0 && x < w ? int32_t(y * w + x) : -1;
}

__global__ void count_kernel(const int32_t* offset, int64_t pixels, int h, int w, ChoiceLists lists) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x, plane = int64_t(h) * w, image = i / plane;
  if (i >= pixels) return;
  const int32_t j = chosen(offset + 2 * image * plane, int(i % plane), h, w);
  if (j >= 0) atomicAdd(lists.count + image * plane + j, 1);
}

// The position of a list depends on the order of the threads; its contents do not.
__global__ void place_kernel(int64_t pixels, int64_t plane, ChoiceLists lists) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= pixels) return;
  lists.end[i] = lists.count[i] > 0 ? atomicAdd(lists.total + i / plane, lists.count[i]) : 0;
}

__global__ void fill_kernel(const int32_t* offset, int64_t pixels, int h, int w, ChoiceLists lists) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x, plane = int64_t(h) * w, image = i / plane;
  if (i >= pixels) return;
  const int32_t j = chosen(offset + 2 * image * plane, int(i % plane), h, w);
  if (j >= 0) lists.list[image * plane + atomicAdd(lists.end + image * plane + j, 1)] = int32_t(i % plane);
}

// Shellsort: most lists have one or two pixels, few have many.
__global__ void sort_kernel(int64_t pixels, int64_t plane, ChoiceLists lists) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= pixels) return;
  const int count = lists.count[i];
  int32_t* list = lists.list + i / plane * plane + lists.end[i] - count;
  int gap = 1;
  while (gap < count / 3) gap = 3 * gap + 1;
  for (; gap > 0; gap /= 3) {
    for (int a = gap; a < count; ++a) {
      const int32_t value = list[a];
      int b = a;
      for (; b >= gap && list[b - gap] > value; b -= gap) list[b] = list[b - gap];
      list[b] = value;
    }
  }
}

}  // namespace

void list_choices(const int32_t* offset, int64_t n, int h, int w, const ChoiceLists& lists, Stream stream) {
  const int64_t plane = int64_t(h) * w, pixels = n * plane;
  const unsigned blocks = grid_size(ceil_div(pixels, kThreads));
  set_zero(lists.count, pixels * sizeof(int32_t), stream);
  set_zero(lists.total, n * sizeof(int32_t), stream);
  APNT_LAUNCH(count_kernel, blocks, kThreads, 0, stream, offset, pixels, h, w, lists);
  APNT_LAUNCH(place_kernel, blocks, kThreads, 0, stream, pixels, plane, lists);
  APNT_LAUNCH(fill_kernel, blocks, kThreads, 0, stream, offset, pixels, h, w, lists);
  APNT_LAUNCH(sort_kernel, blocks, kThreads, 0, stream, pixels, plane, lists);
}

}  // namespace apnt::cuda

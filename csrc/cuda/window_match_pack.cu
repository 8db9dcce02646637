// Features as the tensor-core kernels read them, (N, H, W, C) with whole multiples of kPixelAlign bytes a pixel:
// made once of maps that lie otherwise.
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kSide = 32, kRows = 8;  // a block has 32 pixels and 32 channels

template <class T>
struct alignas(4) Slot {  // a word for each, so that neighbours do not share one
  T feature;
};

template <class T>
__global__ void pack_kernel(const T* map, bool last, int64_t plane, int c, int padded, int64_t tiles, T* packed) {
  APNT_SHARED(Slot<T>, tile, [kSide][kSide + 1]);  // [pixel][channel]
  const int64_t image = blockIdx.x / tiles, first = (blockIdx.x - image * tiles) * kSide;
  const T* const from = map + image * c * plane;
  const int lane = threadIdx.x % kSide, row = threadIdx.x / kSide;
  for (int c0 = 0; c0 < padded; c0 += kSide) {
    __syncthreads();
#pragma unroll
    for (int i = row; i < kSide; i += kRows) {
      const int64_t pixel = first + (last ? i : lane);
      const int k = c0 + (last ? lane : i);
      const bool inside = pixel < plane && k < c;
      const T value = inside ? from[last ? pixel * c + k : k * plane + pixel] : T();
      tile[last ? i : lane][last ? lane : i].feature = value;
    }
    __syncthreads();
#pragma unroll
    for (int i = row; i < kSide; i += kRows)
      if (first + i < plane && c0 + lane < padded)
        packed[(image * plane + first + i) * padded + c0 + lane] = tile[i][lane].feature;
  }
}

}  // namespace

template <class T>
void pack_channels_last(const T* map, bool last, int64_t n, int c, int h, int w, int padded, T* packed,
                        Stream stream) {
  const int64_t plane = int64_t(h) * w, tiles = ceil_div(plane, int64_t(kSide));
  APNT_LAUNCH(pack_kernel<T>, grid_size(n * tiles), kSide * kRows, 0, stream, map, last, plane, c, padded, tiles,
              packed);
}

template void pack_channels_last<float>(const float*, bool, int64_t, int, int, int, int, float*, Stream);
template void pack_channels_last<__half>(const __half*, bool, int64_t, int, int, int, int, __half*, Stream);
template void pack_channels_last<__nv_bfloat16>(const __nv_bfloat16*, bool, int64_t, int, int, int, int,
                                                __nv_bfloat16*, Stream);

}  // namespace apnt::cuda

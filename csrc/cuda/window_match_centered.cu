// window_match with a window centre per block of 2 x 2 pixels, as in the finer levels of progressive
// matching, for windows of at most 5 x 5 and patches of at most 3 x 3.
//
// A block's patches are 4 x 4 target pixels, and its candidates' patches 8 x 8 source pixels around its
// centre: a product of 16 x C by C x 64, of which 16 x 25 are used. A thread block has a tile of 8 x 4
// blocks, or 8 x 2. Their windows are around the centres, mostly close together. In a round the
// tile's threads
//   1. choose a region of the source that holds the windows of all blocks, or of as many as fit;
//   2. copy the region and the target's pixels to shared memory, a chunk of channels at a time, the
//      channels of a pixel next to each other, and multiply;
//   3. sum boxes of the products of each block, divide, and select the best candidate.
// Further rounds follow for blocks that did not fit and for pixels with another centre than their block's
// first pixel. Pixels that are left after kRounds stay pending, for the direct kernel.
#include "cuda/window_match_blocks.cuh"
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kRounds = 4;
constexpr int kMargin = 1;  // of a region that does not hold all windows: the largest difference of centres

// Chooses the region of a round, the same for all threads of a block; false if no pixel is pending.
template <class Blocks, class T>
__device__ bool choose_region(Round<T>& r, int* places) {
  Tile& tile = r.tile;
  const int blocks = r.rows * kTileCols / 4;
  if (threadIdx.x == 0) {
    tile.top = tile.left = tile.first = INT32_MAX;
    tile.bottom = tile.right = INT32_MIN;
  }
  __syncthreads();
  // Corner of a block's window; clamped centres and the tile are near the image, so that nothing overflows.
  const auto corner = [&](int b) -> Step {
    const Step center = tile.center[tile.lead[b]];
    return {r.y0 + block_row(b) + center.dy - kBorder - kReach,
            r.x0 + block_col(b) + center.dx - kBorder - kReach};
  };
  for (int b = threadIdx.x; b < blocks; b += blockDim.x) {
    int lead = -1;
    for (int p = 4 * b + 3; p >= 4 * b; --p)
      if (tile.pending[p]) lead = p;
    tile.lead[b] = lead;
    if (lead < 0) continue;
    const Step at = corner(b);
    atomicMin(&tile.top, at.dy);
    atomicMax(&tile.bottom, at.dy);
    atomicMin(&tile.left, at.dx);
    atomicMax(&tile.right, at.dx);
    atomicMin(&tile.first, b);
  }
  __syncthreads();
  if (tile.first == INT32_MAX) return false;

  int top = tile.top, left = tile.left;
  int64_t rows = int64_t(tile.bottom) - top + kSourceSide, cols = int64_t(tile.right) - left + kSourceSide;
  if (rows > r.capacity || cols > r.capacity || rows * Blocks::pitch(int(cols)) > r.capacity) {
    // The region for centres that differ from that of the first block by at most the margin.
    const int b = tile.first;
    top = corner(b).dy - block_row(b) - kMargin;
    left = corner(b).dx - block_col(b) - kMargin;
    rows = r.rows - 2 + kSourceSide + 2 * kMargin;
    cols = kTileCols - 2 + kSourceSide + 2 * kMargin;
    constexpr int kPitch = Blocks::pitch(kTileCols - 2 + kSourceSide + 2 * kMargin),
                  kMore = kSourceSide - 2 + 2 * kMargin;
    static_assert((4 + kMore) * kPitch <= Blocks::capacity(4) && (8 + kMore) * kPitch <= Blocks::capacity(8),
                  "the region has to fit");
  }
  r.pitch = Blocks::pitch(int(cols));
  r.region = int(rows) * r.pitch;
  for (int b = threadIdx.x; b < blocks; b += blockDim.x) {
    tile.window[b] = -1;
    if (tile.lead[b] < 0) continue;
    const Step at = corner(b);
    const int y = at.dy - top, x = at.dx - left;
    if (y >= 0 && y + kSourceSide <= rows && x >= 0 && x + kSourceSide <= cols)
      tile.window[b] = y * r.pitch + x;
  }
  const int target_pixels = (r.rows + 2 * kBorder) * Blocks::kTargetPitch;
  for (int i = threadIdx.x; i < r.region + target_pixels; i += blockDim.x) {
    const bool source = i < r.region;
    const int pitch = source ? r.pitch : Blocks::kTargetPitch, at = source ? i : i - r.region;
    const int y = (source ? top : r.y0 - kBorder) + at / pitch,
              x = (source ? left : r.x0 - kBorder) + at % pitch;
    places[i] = y >= 0 && y < r.m.h && x >= 0 && x < r.m.w ? y * r.m.w + x : -1;
  }
  __syncthreads();
  return true;
}

template <class Blocks>
__global__ void __launch_bounds__(Blocks::kThreads, Blocks::kResident)
    centered_kernel(Match<float> m, int rows, int tiles_y, int tiles_x) {
  APNT_DYNAMIC_SHARED(unsigned char, memory);
  APNT_SHARED(Tile, tile, );
  APNT_SHARED(int, places, [Blocks::kSlots]);
  APNT_SHARED(float, squares, [Blocks::kRegion]);
  APNT_SHARED(float, scales, [Blocks::kRegion]);

  const int64_t image = blockIdx.x / (int64_t(tiles_y) * tiles_x);
  const int y0 = int(blockIdx.x / tiles_x % tiles_y) * rows, x0 = int(blockIdx.x % tiles_x) * kTileCols;
  const auto offset_of = [&](int p) -> int32_t* {
    const int y = y0 + block_row(p / 4) + p % 4 / 2, x = x0 + block_col(p / 4) + p % 2;
    return y < m.h && x < m.w ? m.offset + 2 * image * m.plane() + int64_t(y) * m.w + x : nullptr;
  };
  bool any = false;
  for (int p = threadIdx.x; p < rows * kTileCols; p += blockDim.x) {
    const int32_t* at = offset_of(p);
    const bool pending = at && *at == kPending;
    tile.pending[p] = pending;
    if (pending)
      tile.center[p] =
          clamped_center(m, image, y0 + block_row(p / 4) + p % 4 / 2, x0 + block_col(p / 4) + p % 2);
    any = any || pending;
  }
  if (!__syncthreads_or(any)) return;

  Round<float> r{m, tile, places, squares, scales, image, y0, x0, rows, Blocks::capacity(rows), 0, 0};
  for (int round = 0; round < kRounds; ++round) {
    if (!choose_region<Blocks>(r, places)) return;
    Blocks::run(r, r.region + (rows + 2 * kBorder) * Blocks::kTargetPitch, memory);
  }
  __syncthreads();
  for (int p = threadIdx.x; p < rows * kTileCols; p += blockDim.x)
    if (tile.pending[p]) *offset_of(p) = kPending;
}

}  // namespace

bool can_match_centered(int radius, int patch) { return radius <= kReach && patch <= 2 * kBorder + 1; }

void match_centered(const Match<float>& m, Stream stream) {
  using Blocks = FmaBlocks;
  const int rows = Blocks::tile_rows(m.c), tiles_y = ceil_div(m.h, rows), tiles_x = ceil_div(m.w, kTileCols);
  APNT_LAUNCH(centered_kernel<Blocks>, grid_size(m.n * tiles_y * tiles_x), Blocks::kThreads, Blocks::bytes(rows),
              stream, m, rows, tiles_y, tiles_x);
}

}  // namespace apnt::cuda

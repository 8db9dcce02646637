// window_match of tiles whose pixels all have one window centre: level 2, and flat parts of the finer levels.
//
// A block has a tile of 12 x 16 target pixels, with the border that the patches of its outputs need. Slice by slice (6
// rows of displacements, 17 columns) it
//   1. multiplies: the products of each target pixel with its source pixel at every displacement of the
//      slice, in registers; chunks of channels come to shared memory while the chunk before is multiplied;
//   2. stores the products in shared memory, one plane of the tile's size per displacement;
//   3. sums boxes: a lane has two columns of the outputs, half as long as they are, and the warp every so many planes;
//      it sums along rows, then along columns, scales by the norms, and selects the best candidates.
#include "cuda/window_match_correlation.cuh"
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kScaleRow = kSourceCols + 1;
constexpr int kMostPatch = 5;

// Displacements of a slice.
__host__ __device__ constexpr int columns_of(int radius) { return 2 * radius + 1 < kDxs ? 2 * radius + 1 : kDxs; }
__host__ __device__ constexpr int rows_of(int radius, int slice) {
  return 2 * radius + 1 < slice ? 2 * radius + 1 : slice;
}

// The parts of the block's shared memory. `warps` of it select candidates, each for all outputs.
struct Layout {
  int places, scales, bests, bytes;  // each after the stages, which the products take later

  __host__ __device__ Layout(int stage, int dys, int dxs, int patch, int warps) {
    const int stages = 2 * stage, products = int(sizeof(float)) * dys * dxs * kProductPlane;
    places = stages > products ? stages : products;
    scales = places + int(sizeof(int)) * lines_of(dys) * kLine;
    bests = scales + ceil_div(int(sizeof(float)) * (kRows + dys - 1) * kScaleRow, 16) * 16;
    bytes = bests + int(sizeof(Best)) * warps * (kRows - patch + 1) * (kCols - patch + 1);
  }
};

// One over the norms of the candidates of a slice, the first one at (y0, x0); NaN outside the image.
template <class T>
__device__ __forceinline__ void put_scales(const Match<T>& m, int64_t image, int y0, int x0, int rows, int cols,
                                           float* scales) {
  const int col = threadIdx.x % 32, x = x0 + col;
  for (int row = threadIdx.x / 32; row < rows && col < cols; row += blockDim.x / 32) {
    const int y = y0 + row;
    float scale = 1;
    if (y < 0 || y >= m.h || x < 0 || x >= m.w) {
      scale = NAN;
    } else if (m.source_scale) {
      scale = m.source_scale[image * m.plane() + int64_t(y) * m.w + x];
    }
    scales[row * kScaleRow + col] = scale;
  }
}

// The displacements of a slice, of which a lane has every `step`-th.
struct Planes {
  int first, step, dys, dxs;  // dxs: the number of columns inside the window
  int pitch;                  // planes of a row of displacements
  int dy0, dx0;               // displacement of plane 0
};

// Sums of kPatch neighbours of a row or column, at each of kN places; two places share what they have in common.
template <int kPatch, int kN>
__device__ __forceinline__ void sum_neighbours(const float (&x)[kN + kPatch - 1], float (&sums)[kN]) {
#pragma unroll
  for (int i = 0; i < kN; i += 2) {
    if (kPatch == 1) {
      sums[i] = x[i];
      if (i + 1 < kN) sums[i + 1] = x[i + 1];
      continue;
    }
    float shared = x[i + 1];
#pragma unroll
    for (int k = 2; k < kPatch; ++k) shared += x[i + k];
    sums[i] = x[i] + shared;
    if (i + 1 < kN) sums[i + 1] = shared + x[i + kPatch];
  }
}

// The best candidates of a lane's outputs: kLong rows of two. `products`: of plane 0, the first row and column of their
// patches, aligned to 8 bytes; `scales`: of the first output at plane 0.
template <int kPatch, int kLong>
__device__ __forceinline__ void score_planes(const Planes& planes, const float* products, const float* scales,
                                             Best (&best)[kLong][2]) {
  const unsigned inverse = (1u << 16) / unsigned(planes.dxs) + 1;  // exact for the few planes of a slice
  const int count = planes.dys * planes.dxs;
#pragma unroll 1
  for (int plane = planes.first; plane < count; plane += planes.step) {
    const int dy = int(unsigned(plane) * inverse >> 16), dx = plane - dy * planes.dxs;
    const float* const at = products + (dy * planes.pitch + dx) * kProductPlane;
    const float* const scale = scales + dy * kScaleRow + dx;
    const uint32_t key = candidate_key(planes.dy0 + dy, planes.dx0 + dx);
    float across[2][kLong + kPatch - 1];
#pragma unroll
    for (int r = 0; r < kLong + kPatch - 1; ++r) {
      float row[kPatch + 1], two[2];
#pragma unroll
      for (int j = 0; j < kPatch + 1; j += 2) {
        const float2 both = *reinterpret_cast<const float2*>(at + r * kProductRow + j);
        row[j] = both.x, row[j + 1] = both.y;
      }
      sum_neighbours<kPatch, 2>(row, two);
      across[0][r] = two[0], across[1][r] = two[1];
    }
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      float sums[kLong];
      sum_neighbours<kPatch, kLong>(across[j], sums);
#pragma unroll
      for (int r = 0; r < kLong; ++r) best[r][j].take(sums[r] * scale[r * kScaleRow + j], key);
    }
  }
}

// Selects among the candidates of a slice, and of those before: bests (warps, outputs). Lane 16 * g + 8 * s + j has
// the g-th half of columns 2 * j and 2 * j + 1. Lanes with another s have other planes, which lie such that
// sixteen lanes read from different banks where all twelve warps do this.
template <int kPatch>
__device__ __forceinline__ void select(Planes planes, const float* products, const float* scales, Best* bests) {
  constexpr int kOutRows = kRows - kPatch + 1, kOutCols = kCols - kPatch + 1, kLong = kOutRows / 2;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const int half = lane / 16, set = lane / 8 % 2, row = half * kLong, col = lane % 8 * 2;
  planes.first = warp + set * warps, planes.step = 2 * warps;
  Best* const own = bests + (warp * kOutRows + row) * kOutCols + col;
  const bool busy = col < kOutCols;
  Best best[kLong][2];
#pragma unroll
  for (int r = 0; r < kLong; ++r)
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      best[r][j].clear();
      if (busy && set == 0) best[r][j] = own[r * kOutCols + j];
    }
  if (busy)
    score_planes<kPatch, kLong>(planes, products + row * kProductRow + col, scales + row * kScaleRow + col, best);
  __syncwarp();
#pragma unroll
  for (int r = 0; r < kLong; ++r)
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const float score = __shfl_xor_sync(0xffffffffu, best[r][j].score, 8);
      const uint32_t key = __shfl_xor_sync(0xffffffffu, best[r][j].key, 8);
      best[r][j].take(score, key);
      if (busy && set == 0) own[r * kOutCols + j] = best[r][j];
    }
}

template <class T, bool kSplit>
__global__ void __launch_bounds__(Correlation<T, kSplit>::kMostThreads)
    shared_kernel(Match<T> m, int slice, int tiles_y, int tiles_x) {
  using Products = Correlation<T, kSplit>;
  APNT_DYNAMIC_SHARED(unsigned char, staged);
  const int dxs = columns_of(m.radius), stage = Products::stage_bytes(rows_of(m.radius, slice));
  const int warps = blockDim.x / 32;
  const Layout layout(stage, rows_of(m.radius, slice), dxs, m.patch, warps);
  float* const products = reinterpret_cast<float*>(staged);
  int* const places = reinterpret_cast<int*>(staged + layout.places);
  float* const scales = reinterpret_cast<float*>(staged + layout.scales);
  Best* const bests = reinterpret_cast<Best*>(staged + layout.bests);

  const int half = m.patch / 2, rows = kRows - 2 * half, cols = kCols - 2 * half;  // of the outputs
  const unsigned tile_number = blockIdx.x / tiles_x;
  const int64_t image = tile_number / tiles_y;
  const int tile_y = int(tile_number % tiles_y), tile_x = int(blockIdx.x - tile_number * tiles_x);
  const int y0 = tile_y * rows, x0 = tile_x * cols;
  const auto leave_all = [&] {
    for (int i = threadIdx.x; i < rows * cols; i += blockDim.x) {
      const int y = y0 + i / cols, x = x0 + i % cols;
      if (y < m.h && x < m.w) m.offset[2 * image * m.plane() + int64_t(y) * m.w + x] = kPending;
    }
  };

  Step center{0, 0};
  if (m.center) {
    center = clamped_center(m, image, y0, x0);
    bool same = true;
    for (int i = threadIdx.x; i < rows * cols; i += blockDim.x) {
      const int y = y0 + i / cols, x = x0 + i % cols;
      if (y >= m.h || x >= m.w) continue;
      const Step own = clamped_center(m, image, y, x);
      same = same && own.dy == center.dy && own.dx == center.dx;
    }
    if (!__syncthreads_and(same)) return leave_all();
  }

  Tile tile;
  tile.image = image * m.c * m.plane();
  tile.target_y = y0 - half, tile.target_x = x0 - half;
  for (int i = threadIdx.x; i < warps * rows * cols; i += blockDim.x) bests[i].clear();

  for (int dx0 = -m.radius; dx0 <= m.radius; dx0 += kDxs) {
    const int jx = x0 + center.dx + dx0;  // first candidates
    if (jx >= m.w || jx + cols + dxs - 1 <= 0) continue;
    for (int dy0 = -m.radius; dy0 <= m.radius; dy0 += slice) {
      const int dys = min(slice, m.radius - dy0 + 1), jy = y0 + center.dy + dy0;
      if (jy >= m.h || jy + rows + dys - 1 <= 0) continue;
      tile.source_y = jy - half, tile.source_x = jx - half;
      tile.lines = lines_of(dys);
      put_places(m, tile, places);
      put_scales(m, image, jy, jx, rows + dys - 1, cols + dxs - 1, scales);
      __syncthreads();

      Products correlation;
      correlation.start(dys);
      const int chunks = ceil_div(m.c, Products::kChunk);
#pragma unroll
      for (int k = 0; k < Products::kStages - 1; ++k) {
        if (k < chunks) Products::stage(m, tile, places, k * Products::kChunk, staged + k * stage);
        cp_async_commit();
      }
      for (int k = 0; k < chunks; ++k) {
        cp_async_wait<Products::kStages - 2>();
        __syncthreads();
        const int next = k + Products::kStages - 1;
        if (next < chunks)
          Products::stage(m, tile, places, next * Products::kChunk, staged + next % Products::kStages * stage);
        cp_async_commit();
        correlation.multiply(staged + k % Products::kStages * stage);
      }
      cp_async_wait<0>();
      if (kSplit) {  // what is not finite cannot be split
        if (!__syncthreads_and(correlation.finite())) return leave_all();
      } else {
        __syncthreads();
      }
      correlation.put(products, dxs, dys);
      __syncthreads();
      const Planes planes{0, 0, dys, min(dxs, m.radius - dx0 + 1), dxs, dy0, dx0};
      if (m.patch == 3) {
        select<3>(planes, products, scales, bests);
      } else if (m.patch == 1) {
        select<1>(planes, products, scales, bests);
      } else {
        select<5>(planes, products, scales, bests);
      }
      __syncthreads();
    }
  }

  __syncthreads();  // if there was no slice
  for (int i = threadIdx.x; i < rows * cols; i += blockDim.x) {
    const int y = y0 + i / cols, x = x0 + i % cols;
    if (y >= m.h || x >= m.w) continue;
    Best all = bests[i];
    for (int k = 1; k < warps; ++k) all.take(bests[k * rows * cols + i].score, bests[k * rows * cols + i].key);
    write_match(m, image, y, x, center, all);
  }
}

template <class T, bool kSplit>
void launch_shared(const Match<T>& m, Stream stream) {
  using Products = Correlation<T, kSplit>;
  const int tiles_y = ceil_div(m.h, kRows - m.patch + 1), tiles_x = ceil_div(m.w, kCols - m.patch + 1);
  // Half a slice for split factors, and if the shared memory is small, whatever the radius: see
  // Correlation::kMostThreads.
  const int slice = shared_limit() == kSharedLimit && !kSplit ? kDys : kDys / 2, dys = rows_of(m.radius, slice);
  const int warps = Products::warps(dys);
  const Layout layout(Products::stage_bytes(dys), dys, columns_of(m.radius), m.patch, warps);
  APNT_LAUNCH(shared_kernel<T, kSplit>, grid_size(m.n * tiles_y * tiles_x), 32 * warps, layout.bytes, stream, m, slice,
              tiles_y, tiles_x);
}

}  // namespace

bool can_match_shared(int radius, int patch) { return radius <= kLargestKeyed && patch <= kMostPatch; }

template <class T>
void match_shared(const Match<T>& m, Stream stream) {
  if (std::is_same_v<T, float> && !m.tf32) return launch_shared<T, std::is_same_v<T, float>>(m, stream);
  launch_shared<T, false>(m, stream);
}

template void match_shared<float>(const Match<float>&, Stream);
template void match_shared<__half>(const Match<__half>&, Stream);
template void match_shared<__nv_bfloat16>(const Match<__nv_bfloat16>&, Stream);

}  // namespace apnt::cuda

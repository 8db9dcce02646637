// window_match of tiles whose pixels all have one window centre: level 2, and flat parts of the finer levels.
//
// A block has a tile of 16 x 16 target pixels (12 x 16 on the tensor cores), with the border that the patches
// of its outputs need. Slice by slice (6 rows of displacements, 17 columns) it
//   1. multiplies: the products of each target pixel with its source pixel at every displacement of the
//      slice, in registers; chunks of channels come to shared memory while the chunk before is multiplied;
//   2. stores the products in shared memory, one plane of the tile's size per displacement;
//   3. sums boxes: a thread takes two outputs and some of the planes, divides by the norms, and keeps the
//      best candidates.
#include "cuda/window_match_grams.cuh"
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kDxStep = 16;  // columns from slice to slice; even: see Tile
constexpr int kNormRow = kSourceCols + 1;
constexpr int kMostPatch = 5;
constexpr int kRun = 2;  // outputs that a thread scores together

template <class Gram>
constexpr int kNormFloats = ceil_div(Gram::kSourceRows * kNormRow, 4) * 4;

// Displacements of a slice in x: from the radius, made even, to the left.
__host__ __device__ constexpr int left_of(int radius) { return radius + radius % 2; }
__host__ __device__ constexpr int columns_of(int radius) {
  return left_of(radius) + radius + 1 < kDxs ? left_of(radius) + radius + 1 : kDxs;
}
__host__ __device__ constexpr int rows_of(int radius, int slice) {
  return 2 * radius + 1 < slice ? 2 * radius + 1 : slice;
}

// No fewer threads than runs of outputs.
template <class Gram>
int threads_of(int radius, int slice) {
  const int gram = 32 * Gram::warps(rows_of(radius, slice), columns_of(radius)),
            runs = Gram::kRows * kCols / kRun;
  return gram > runs ? gram : runs;
}

template <class Gram>
size_t shared_bytes(int radius, int slice) {
  const size_t stages = sizeof(typename Gram::Element) * Gram::kStage * Gram::kStages;
  const size_t products = sizeof(float) * rows_of(radius, slice) * columns_of(radius) * kProductPlane<Gram>;
  return sizeof(Best) * kRun * threads_of<Gram>(radius, slice) + 2 * sizeof(float) * kNormFloats<Gram> +
         (stages > products ? stages : products);
}

// Adds a chunk of channels to the squares of the source's pixels, always in the order of the channels.
template <class Gram>
__device__ __forceinline__ void add_squares(const Tile& t, const typename Gram::Element* staged, bool first,
                                            float* squares) {
  for (int i = threadIdx.x; i < t.source_rows * t.source_cols; i += blockDim.x) {
    const int row = i / t.source_cols, col = i % t.source_cols;
    const auto* at = staged + Gram::kChunk * Gram::kTargetChannel + row * Gram::kSourceRow + col;
    float sum = first ? 0 : squares[row * kNormRow + col];
#pragma unroll 4
    for (int k = 0; k < Gram::kChunk; ++k) {
      const float x = to_float(at[k * Gram::kSourceChannel]);
      sum += x * x;
    }
    squares[row * kNormRow + col] = sum;
  }
}

// What the candidates of a slice, the first one at (y0, x0), are divided by: NaN where there is none.
template <class T>
__device__ __forceinline__ void put_norms(const Match<T>& m, int64_t image, int y0, int x0, int rows,
                                          int cols, const float* squares, float* norms) {
  for (int i = threadIdx.x; i < rows * cols; i += blockDim.x) {
    const int row = i / cols, col = i % cols, y = y0 + row, x = x0 + col;
    float norm = 1;
    if (y < 0 || y >= m.h || x < 0 || x >= m.w) {
      norm = NAN;
    } else if (m.source_norm) {
      norm = m.source_norm[image * m.plane() + int64_t(y) * m.w + x];
    } else if (m.by_source) {
      float sum = 0;
      for (int b = 0; b < m.patch; ++b) {
        float column = 0;
        for (int a = 0; a < m.patch; ++a) column += squares[(row + a) * kNormRow + col + b];
        sum += column;
      }
      norm = floored_norm(sum);
    }
    norms[row * kNormRow + col] = norm;
  }
}

// Scores of one displacement at kRun outputs of a row: `products` are the first row and column of their
// patches.
__device__ __forceinline__ void score_run(const float* products, const float* norms, int patch, uint32_t key,
                                          Best* best) {
  float column[kRun + kMostPatch - 1];
#pragma unroll
  for (int j = 0; j < kRun + kMostPatch - 1; ++j) {
    column[j] = 0;
    if (j >= kRun + patch - 1) continue;
    column[j] = products[j];
    for (int a = 1; a < patch; ++a) column[j] += products[a * kProductRow + j];
  }
#pragma unroll
  for (int j = 0; j < kRun; ++j) {
    float sum = column[j];
#pragma unroll
    for (int b = 1; b < kMostPatch; ++b)
      if (b < patch) sum += column[j + b];
    best[j].take(sum / norms[j], key);
  }
}

template <class T, class Gram>
__global__ void __launch_bounds__(Gram::kMostThreads)
    shared_kernel(Match<T> m, int slice, int tiles_y, int tiles_x) {
  APNT_DYNAMIC_SHARED(Best, bests);  // (parts, outputs)
  float* const norms = reinterpret_cast<float*>(bests + kRun * blockDim.x);
  float* const squares = norms + kNormFloats<Gram>;
  float* const products = squares + kNormFloats<Gram>;
  T* const staged = reinterpret_cast<T*>(products);

  const int half = m.patch / 2, rows = Gram::kRows - 2 * half, cols = kCols - 2 * half;  // of the outputs
  const int64_t image = blockIdx.x / (int64_t(tiles_y) * tiles_x);
  const int tile_y = int(blockIdx.x / tiles_x % tiles_y), tile_x = int(blockIdx.x % tiles_x);
  const int y0 = tile_y * rows, x0 = tile_x * cols - half % 2;

  Step center{0, 0};
  if (m.center) {
    center = clamped_center(m, image, y0, max(x0, 0));
    bool same = true;
    for (int i = threadIdx.x; i < rows * cols; i += blockDim.x) {
      const int y = y0 + i / cols, x = x0 + i % cols;
      if (y >= m.h || x < 0 || x >= m.w) continue;
      const Step own = clamped_center(m, image, y, x);
      same = same && own.dy == center.dy && own.dx == center.dx;
    }
    if (!__syncthreads_and(same)) {
      for (int i = threadIdx.x; i < rows * cols; i += blockDim.x) {
        const int y = y0 + i / cols, x = x0 + i % cols;
        if (y < m.h && x >= 0 && x < m.w) m.offset[2 * image * m.plane() + int64_t(y) * m.w + x] = kPending;
      }
      return;
    }
  }

  Tile tile;
  tile.image = image * m.c * m.plane();
  tile.target_y = y0 - half, tile.target_x = x0 - half;

  // In the third step a thread has kRun outputs and its part of the planes.
  const int runs = rows * cols / kRun, parts = blockDim.x / runs;
  for (int i = threadIdx.x; i < parts * runs * kRun; i += blockDim.x) bests[i].clear();

  const int dxs = columns_of(m.radius), left = -left_of(m.radius);
  for (int dx0 = left; dx0 == left || dx0 < m.radius; dx0 += kDxStep) {
    const int jx = x0 + center.dx + dx0;  // first candidates
    if (jx >= m.w || jx + cols + dxs - 1 <= 0) continue;
    for (int dy0 = -m.radius; dy0 <= m.radius; dy0 += slice) {
      const int dys = min(slice, m.radius - dy0 + 1), jy = y0 + center.dy + dy0;
      if (jy >= m.h || jy + rows + dys - 1 <= 0) continue;
      tile.source_y = jy - half, tile.source_x = jx - half;
      tile.source_rows = Gram::kRows + dys - 1, tile.source_cols = kCols + dxs - 1;

      Gram gram;
      gram.start(dys, dxs);
      const int chunks = ceil_div(m.c, Gram::kChunk);
#pragma unroll
      for (int k = 0; k < Gram::kStages - 1; ++k) {
        if (k < chunks) Gram::stage(m, tile, k * Gram::kChunk, staged + k * Gram::kStage);
        cp_async_commit();
      }
      for (int k = 0; k < chunks; ++k) {
        cp_async_wait<Gram::kStages - 2>();
        __syncthreads();
        const int next = k + Gram::kStages - 1;
        if (next < chunks)
          Gram::stage(m, tile, next * Gram::kChunk, staged + next % Gram::kStages * Gram::kStage);
        cp_async_commit();
        const T* const chunk = staged + k % Gram::kStages * Gram::kStage;
        gram.multiply(chunk);
        if (m.by_source && !m.source_norm) add_squares<Gram>(tile, chunk, k == 0, squares);
      }
      cp_async_wait<0>();
      __syncthreads();
      gram.put(products, dxs, dys);
      put_norms(m, image, jy, jx, rows + dys - 1, cols + dxs - 1, squares, norms);
      __syncthreads();
      const int part = threadIdx.x / runs, out = threadIdx.x % runs * kRun;
      if (part < parts) {
        const int row = out / cols, col = out % cols;
        Best best[kRun];
#pragma unroll
        for (int j = 0; j < kRun; ++j) best[j] = bests[part * rows * cols + out + j];
        for (int i = part; i < dys * dxs; i += parts) {
          const int dy = i / dxs, dx = i % dxs;
          if (abs(dx0 + dx) > m.radius) continue;
          score_run(products + i * kProductPlane<Gram> + row * kProductRow + col,
                    norms + (row + dy) * kNormRow + col + dx, m.patch, candidate_key(dy0 + dy, dx0 + dx),
                    best);
        }
#pragma unroll
        for (int j = 0; j < kRun; ++j) bests[part * rows * cols + out + j] = best[j];
      }
      __syncthreads();
    }
  }

  __syncthreads();  // where there is no slice at all
  for (int i = threadIdx.x; i < rows * cols; i += blockDim.x) {
    const int y = y0 + i / cols, x = x0 + i % cols;
    if (y >= m.h || x < 0 || x >= m.w) continue;
    Best all = bests[i];
    for (int k = 1; k < parts; ++k)
      all.take(bests[k * rows * cols + i].score, bests[k * rows * cols + i].key);
    write_answer(m, image, y, x, center, all);
  }
}

template <class T, class Gram>
void launch_shared(const Match<T>& m, Stream stream) {
  const int half = m.patch / 2, rows = Gram::kRows - 2 * half, cols = kCols - 2 * half;
  const int tiles_y = ceil_div(m.h, rows), tiles_x = ceil_div(m.w + half % 2, cols);
  // Half a slice where the shared memory is small.
  const int slice = shared_bytes<Gram>(m.radius, kDys) <= size_t(shared_limit()) ? kDys : kDys / 2;
  APNT_LAUNCH(shared_kernel<T, Gram>, grid_size(m.n * tiles_y * tiles_x), threads_of<Gram>(m.radius, slice),
              shared_bytes<Gram>(m.radius, slice), stream, m, slice, tiles_y, tiles_x);
}

}  // namespace

bool can_match_shared(int radius, int patch) { return radius <= kLargestKeyed && patch <= kMostPatch; }

template <class T>
void match_shared(const Match<T>& m, Stream stream) {
  launch_shared<T, MmaGram<T>>(m, stream);
}

template <>
void match_shared(const Match<float>& m, Stream stream) {
  if (m.tf32) return launch_shared<float, Tf32Gram>(m, stream);
  if (m.radius <= 2) return launch_shared<float, FmaGram<5>>(m, stream);
  launch_shared<float, FmaGram<9>>(m, stream);
}

template void match_shared<__half>(const Match<__half>&, Stream);
template void match_shared<__nv_bfloat16>(const Match<__nv_bfloat16>&, Stream);

}  // namespace apnt::cuda

// window_match of tiles whose pixels all have one window centre: level 2, and flat parts of the finer levels.
//
// A block has a tile of 16 x 16 target pixels (12 x 16 on the tensor cores), with the border that the patches
// of its outputs need. Slice by slice (6 rows of displacements, 17 columns) it
//   1. multiplies: the products of each target pixel with its source pixel at every displacement of the
//      slice, in registers; chunks of channels come to shared memory while the chunk before is multiplied;
//   2. stores the products in shared memory, one plane of the tile's size per displacement;
//   3. sums boxes: a thread takes two outputs and some of the planes, divides by the norms, and selects the
//      best candidates.
#include "cuda/window_match_correlation.cuh"
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kDxStep = 16;  // columns from slice to slice; even: see Tile
constexpr int kNormRow = kSourceCols + 1;
constexpr int kMostPatch = 5;
constexpr int kRun = 2;  // outputs of a thread that are scored together

template <class Correlation>
constexpr int kNormFloats = ceil_div(Correlation::kSourceRows * kNormRow, 4) * 4;

// Displacements of a slice in x: from the radius, made even, to the left.
__host__ __device__ constexpr int left_of(int radius) { return radius + radius % 2; }
__host__ __device__ constexpr int columns_of(int radius) {
  return left_of(radius) + radius + 1 < kDxs ? left_of(radius) + radius + 1 : kDxs;
}
__host__ __device__ constexpr int rows_of(int radius, int slice) {
  return 2 * radius + 1 < slice ? 2 * radius + 1 : slice;
}

// At least one thread for each run of outputs.
template <class Correlation>
int threads_of(int radius, int slice) {
  const int correlation = 32 * Correlation::warps(rows_of(radius, slice), columns_of(radius)),
            runs = Correlation::kRows * kCols / kRun;
  return correlation > runs ? correlation : runs;
}

template <class Correlation>
size_t shared_bytes(int radius, int slice) {
  const size_t stages = sizeof(typename Correlation::Element) * Correlation::kStage * Correlation::kStages;
  const size_t products =
      sizeof(float) * rows_of(radius, slice) * columns_of(radius) * kProductPlane<Correlation>;
  return sizeof(Best) * kRun * threads_of<Correlation>(radius, slice) +
         2 * sizeof(float) * kNormFloats<Correlation> + (stages > products ? stages : products);
}

// Adds a chunk of channels to the squares of the source's pixels, always in the order of the channels.
template <class Correlation>
__device__ __forceinline__ void add_squares(const Tile& t, const typename Correlation::Element* staged,
                                            bool first, float* squares) {
  for (int i = threadIdx.x; i < t.source_rows * t.source_cols; i += blockDim.x) {
    const int row = i / t.source_cols, col = i % t.source_cols;
    const auto* at =
        staged + Correlation::kChunk * Correlation::kTargetChannel + row * Correlation::kSourceRow + col;
    float sum = first ? 0 : squares[row * kNormRow + col];
#pragma unroll 4
    for (int k = 0; k < Correlation::kChunk; ++k) {
      const float x = to_float(at[k * Correlation::kSourceChannel]);
      sum += x * x;
    }
    squares[row * kNormRow + col] = sum;
  }
}

// The divisors of the candidates of a slice, the first one at (y0, x0); NaN outside the image.
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

template <class T, class Correlation>
__global__ void __launch_bounds__(Correlation::kMostThreads)
    shared_kernel(Match<T> m, int slice, int tiles_y, int tiles_x) {
  APNT_DYNAMIC_SHARED(Best, bests);  // (parts, outputs)
  float* const norms = reinterpret_cast<float*>(bests + kRun * blockDim.x);
  float* const squares = norms + kNormFloats<Correlation>;
  float* const products = squares + kNormFloats<Correlation>;
  T* const staged = reinterpret_cast<T*>(products);

  const int half = m.patch / 2, rows = Correlation::kRows - 2 * half,
            cols = kCols - 2 * half;  // of the outputs
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
      tile.source_rows = Correlation::kRows + dys - 1, tile.source_cols = kCols + dxs - 1;

      Correlation correlation;
      correlation.start(dys, dxs);
      const int chunks = ceil_div(m.c, Correlation::kChunk);
#pragma unroll
      for (int k = 0; k < Correlation::kStages - 1; ++k) {
        if (k < chunks)
          Correlation::stage(m, tile, k * Correlation::kChunk, staged + k * Correlation::kStage);
        cp_async_commit();
      }
      for (int k = 0; k < chunks; ++k) {
        cp_async_wait<Correlation::kStages - 2>();
        __syncthreads();
        const int next = k + Correlation::kStages - 1;
        if (next < chunks)
          Correlation::stage(m, tile, next * Correlation::kChunk,
                             staged + next % Correlation::kStages * Correlation::kStage);
        cp_async_commit();
        const T* const chunk = staged + k % Correlation::kStages * Correlation::kStage;
        correlation.multiply(chunk);
        if (m.by_source && !m.source_norm) add_squares<Correlation>(tile, chunk, k == 0, squares);
      }
      cp_async_wait<0>();
      __syncthreads();
      correlation.put(products, dxs, dys);
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
          score_run(products + i * kProductPlane<Correlation> + row * kProductRow + col,
                    norms + (row + dy) * kNormRow + col + dx, m.patch, candidate_key(dy0 + dy, dx0 + dx),
                    best);
        }
#pragma unroll
        for (int j = 0; j < kRun; ++j) bests[part * rows * cols + out + j] = best[j];
      }
      __syncthreads();
    }
  }

  __syncthreads();  // if there was no slice
  for (int i = threadIdx.x; i < rows * cols; i += blockDim.x) {
    const int y = y0 + i / cols, x = x0 + i % cols;
    if (y >= m.h || x < 0 || x >= m.w) continue;
    Best all = bests[i];
    for (int k = 1; k < parts; ++k)
      all.take(bests[k * rows * cols + i].score, bests[k * rows * cols + i].key);
    write_match(m, image, y, x, center, all);
  }
}

template <class T, class Correlation>
void launch_shared(const Match<T>& m, Stream stream) {
  const int half = m.patch / 2, rows = Correlation::kRows - 2 * half, cols = kCols - 2 * half;
  const int tiles_y = ceil_div(m.h, rows), tiles_x = ceil_div(m.w + half % 2, cols);
  // Half a slice if the shared memory is small, whatever the radius: see MmaBand.
  const int slice = shared_limit() == kSharedLimit ? kDys : kDys / 2;
  APNT_LAUNCH(shared_kernel<T, Correlation>, grid_size(m.n * tiles_y * tiles_x),
              threads_of<Correlation>(m.radius, slice), shared_bytes<Correlation>(m.radius, slice), stream, m,
              slice, tiles_y, tiles_x);
}

}  // namespace

bool can_match_shared(int radius, int patch) { return radius <= kLargestKeyed && patch <= kMostPatch; }

template <class T>
void match_shared(const Match<T>& m, Stream stream) {
  launch_shared<T, MmaCorrelation<T>>(m, stream);
}

template <>
void match_shared(const Match<float>& m, Stream stream) {
  if (m.tf32) return launch_shared<float, Tf32Correlation>(m, stream);
  if (m.radius <= 2) return launch_shared<float, FmaCorrelation<5>>(m, stream);
  launch_shared<float, FmaCorrelation<9>>(m, stream);
}

template void match_shared<__half>(const Match<__half>&, Stream);
template void match_shared<__nv_bfloat16>(const Match<__nv_bfloat16>&, Stream);

}  // namespace apnt::cuda

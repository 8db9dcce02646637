// window_match on tensor cores for windows of at most 5 x 5 and patches of at most 3 x 3, whatever the centres: the
// finer levels of progressive matching, whose centres are equal in blocks of 2 x 2 pixels, "quads".
//
// The patches of a quad are 4 x 4 target pixels, and its candidates' patches 8 x 8 source pixels around its centre:
// a product of 16 x C by C x 64, of which 16 x 25 are used. A warp has 8 quads in a row, one after the other. For a
// quad it
//   1. multiplies: fragments of channels-last features go from device memory, by the L1 cache, straight to registers.
//      A product does not depend on the order of the channels, so that a lane reads 16 bytes of a pixel at once and
//      takes them for the channels that are its own in two instructions;
//   2. stores the products in shared memory and sums boxes, a lane a candidate, all four pixels at once;
//   3. finds the best candidate of each pixel by a maximum over the warp. Lanes are candidates in the order of the
//      tie rule, so that the first of equal ones is the right one.
// Pixels with another centre than their quad's first take another turn of the same.
#include "cuda/mma.cuh"
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kReach = 2, kBorder = 1;  // largest radius and half patch
constexpr int kSpan = 2 * kReach + 1, kCandidates = kSpan * kSpan;
constexpr int kTargetSide = 2 + 2 * kBorder;           // target pixels of a quad, in each direction
constexpr int kSourceSide = kTargetSide + 2 * kReach;  // source pixels
constexpr int kQuads = 8, kWarps = 4;                  // of a warp, of a block
constexpr int kTileCols = 2 * kQuads, kTileRows = 2 * kWarps;
constexpr unsigned kAll = 0xffffffffu;

// Floats from a row of a target pixel's products to the next, and from three target pixels to the next three, which
// lie side by side: stores of pairs and loads of candidates are without bank conflicts.
constexpr int kRowPitch = 26, kThreePitch = kSourceSide * kRowPitch + 8;
constexpr int kProductFloats = (kTargetSide * kTargetSide + 2) / 3 * kThreePitch;
__host__ __device__ constexpr int product_of(int pixel) {
  return pixel % 3 * kSourceSide + pixel / 3 * kThreePitch;
}

// Number of the candidate, row by row, that is `rank`-th by the tie rule: nearest first, then in raster order.
__device__ __forceinline__ int candidate_at(int rank) {
  constexpr uint64_t kOrder[3] = {
      12ull | 7ull << 5 | 11ull << 10 | 13ull << 15 | 17ull << 20 | 6ull << 25 | 8ull << 30 | 16ull << 35 | 18ull << 40,
      2ull | 10ull << 5 | 14ull << 10 | 22ull << 15 | 1ull << 20 | 3ull << 25 | 5ull << 30 | 9ull << 35 | 15ull << 40,
      19ull | 21ull << 5 | 23ull << 10 | 0ull << 15 | 4ull << 20 | 20ull << 25 | 24ull << 30};
  const uint64_t word = rank < 9 ? kOrder[0] : rank < 18 ? kOrder[1] : kOrder[2];
  return int(word >> rank % 9 * 5) & 31;
}

// A number of the same order as a float, which is not NaN; no float gives 0 or kNotFinite.
constexpr uint32_t kNotFinite = 0xffffffffu;
__device__ __forceinline__ uint32_t ordered(float x) {
  const uint32_t bits = __float_as_uint(x);
  return bits ^ (uint32_t(int32_t(bits) >> 31) | 0x80000000u);
}
__device__ __forceinline__ float from_ordered(uint32_t x) {
  return __uint_as_float(x >> 31 ? x ^ 0x80000000u : ~x);
}

// Hides a number from the compiler, which would split a constant off it and add that at every use.
__device__ __forceinline__ int opaque(int x) {
  asm("" : "+r"(x));
  return x;
}

template <int kWords>
struct Words {
  uint32_t word[kWords];
};

// The first row and column of a quad's target pixels and of its window, possibly outside.
struct Place {
  int target_y, target_x, window_y, window_x;
};

__device__ __forceinline__ Place place_of(int y, int x, Step center) {
  return {y - kBorder, x - kBorder, y + center.dy - kBorder - kReach, x + center.dx - kBorder - kReach};
}

template <class T>
__device__ __forceinline__ bool is_inside(const Match<T>& m, const Place& p) {
  const int top = min(p.target_y, p.window_y), left = min(p.target_x, p.window_x);
  const int below = m.h - max(p.target_y + kTargetSide, p.window_y + kSourceSide);
  const int right = m.w - max(p.target_x + kTargetSide, p.window_x + kSourceSide);
  return (top | left | below | right) >= 0;
}

// What belongs to a lane in all turns: its place in the pixels of the strip's first quad, if that had the centre 0.
struct Lane {
  const unsigned char *source, *target;  // its bytes of the first pixel of its fragments
  const unsigned char* scale;            // of its candidate, or nullptr: no division
  float *upper, *lower;                  // where its products go: of target pixel g; of g + 8, two rows on
  const float* box;                      // product of its candidate at target pixel 0
  int dy, dx;                            // its candidate
  float bias;                            // 0, or -inf if its candidate is not in the window
};

template <int kWords>
__device__ __forceinline__ Words<kWords> load_words(const unsigned char* at, bool inside) {
  if (!inside) return {};
  if constexpr (kWords == 4) {
    const uint4 words = __ldg(reinterpret_cast<const uint4*>(at));
    return {words.x, words.y, words.z, words.w};
  } else {
    const uint2 words = __ldg(reinterpret_cast<const uint2*>(at));
    return {words.x, words.y};
  }
}

// How a kernel multiplies: features of type T, of which kSplit means all of float32 (mma.cuh); a lane reads kWords words
// of kSteps places of each pixel at a time.
template <class T, bool kSplit, int kWords, int kSteps>
struct Products {
  using Element = T;
  static constexpr bool split = kSplit;
  static constexpr int words = kWords, steps = kSteps;
};

// acc[n]: products of the 16 target pixels with row n of the window. kInside: all pixels are inside.
template <class P, bool kInside, class T = typename P::Element>
__device__ __forceinline__ void multiply(const Match<T>& m, const unsigned char* source, const unsigned char* target,
                                         const Place& p, float (&acc)[kSourceSide][4]) {
  constexpr int kWords = P::words, kSteps = P::steps;
  const int lane = threadIdx.x % 32, g = lane / 4;
  const int pixel = m.c * int(sizeof(T)), row = m.w * pixel;
  const int y = p.target_y + g / kTargetSide, x = p.target_x + g % kTargetSide, column = p.window_x + g;
  const bool in_x = kInside || (x >= 0 && x < m.w), in_column = kInside || (column >= 0 && column < m.w);
  const bool upper = kInside || (in_x && y >= 0 && y < m.h), lower = kInside || (in_x && y + 2 >= 0 && y + 2 < m.h);
#pragma unroll
  for (int n = 0; n < kSourceSide; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) acc[n][e] = 0;

#pragma unroll 1
  for (int k = 0; k < pixel; k += kSteps * 16 * kWords, source += kSteps * 16 * kWords, target += kSteps * 16 * kWords) {
    const unsigned char* const under = wide_sum(target, 2, row);
    Factors<T, P::split, 4> a[kSteps][kWords / 2];
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      const auto above = load_words<kWords>(target + s * 16 * kWords, upper);
      const auto below = load_words<kWords>(under + s * 16 * kWords, lower);
#pragma unroll
      for (int i = 0; i < kWords; i += 2)
        a[s][i / 2].set({above.word[i], below.word[i], above.word[i + 1], below.word[i + 1]});
    }
#pragma unroll
    for (int n = 0; n < kSourceSide; ++n) {
      const unsigned char* const at = n ? wide_sum(source, n, row) : source;
      const bool inside = kInside || (in_column && p.window_y + n >= 0 && p.window_y + n < m.h);
      Words<kWords> words[kSteps];
#pragma unroll
      for (int s = 0; s < kSteps; ++s) words[s] = load_words<kWords>(at + s * 16 * kWords, inside);
#pragma unroll
      for (int s = 0; s < kSteps; ++s)
#pragma unroll
        for (int i = 0; i < kWords; i += 2) {
          Factors<T, P::split, 2> b;
          b.set({words[s].word[i], words[s].word[i + 1]});
#pragma unroll
          for (int term = 0; term < kTerms<P::split>; ++term) add_product(acc[n], a[s][i / 2], b, term);
        }
    }
  }
}

// The rows of the window that hold candidates of the fragment's target pixels.
__device__ __forceinline__ void put(const float (&acc)[kSourceSide][4], float* upper, float* lower) {
#pragma unroll
  for (int n = 0; n < kSourceSide; ++n) {
    if (n < kSpan + 1) *reinterpret_cast<float2*>(upper + n * kRowPitch) = make_float2(acc[n][0], acc[n][1]);
    if (n >= 2) *reinterpret_cast<float2*>(lower + (n - 2) * kRowPitch) = make_float2(acc[n][2], acc[n][3]);
  }
}

// Scores of a candidate at the four pixels, not yet divided: `products` are those of the candidate at target pixel 0.
__device__ __forceinline__ void sum_boxes(const float* products, int patch, float (&sums)[4]) {
  const auto product = [&](int y, int x) { return products[product_of(y * kTargetSide + x) + y * kRowPitch + x]; };
  if (patch == 1) {
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[i] = product(i / 2 + 1, i % 2 + 1);
    return;
  }
  float column[2][kTargetSide];  // of the upper and the lower pixels, which share the two middle rows
#pragma unroll
  for (int x = 0; x < kTargetSide; ++x) {
    const float middle = product(1, x) + product(2, x);
    column[0][x] = product(0, x) + middle, column[1][x] = middle + product(3, x);
  }
#pragma unroll
  for (int y = 0; y < 2; ++y) {
    const float middle = column[y][1] + column[y][2];
    sums[2 * y] = column[y][0] + middle, sums[2 * y + 1] = middle + column[y][3];
  }
}

// The best scores at a quad's pixels, as `ordered`, and the lanes that have them. quad, moved: pixels from the first
// quad to this one, and from the first quad's window at the centre 0 to this one's.
template <class P, bool kInside, class T = typename P::Element>
__device__ __forceinline__ void match_quad(const Match<T>& m, const Lane& own, int quad, int moved, const Place& p,
                                           uint32_t (&most)[4], unsigned (&equal)[4]) {
  const int pixel = m.c * int(sizeof(T));
  float acc[kSourceSide][4], sums[4];
  multiply<P, kInside>(m, wide_sum(own.source, moved, pixel), wide_sum(own.target, quad, pixel), p, acc);
  put(acc, own.upper, own.lower);
  __syncwarp();
  sum_boxes(own.box, m.patch, sums);
  __syncwarp();  // the products have been read
  const int y = p.window_y + kBorder + kReach + own.dy, x = p.window_x + kBorder + kReach + own.dx;
  float scales[4] = {1, 1, 1, 1};
  bool there[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    there[i] = kInside || (y + i / 2 >= 0 && y + i / 2 < m.h && x + i % 2 >= 0 && x + i % 2 < m.w);
  }
  if (own.scale) {
    const unsigned char* const above = wide_sum(own.scale, moved, 4);
    const unsigned char* const below = wide_sum(above, m.w, 4);
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (there[i]) scales[i] = __ldg(reinterpret_cast<const float*>(i / 2 ? below : above) + i % 2);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    // -0 becomes 0, which it is equal to.
    const float sum = there[i] ? fmaf(sums[i], scales[i], own.bias) : -INFINITY;
    uint32_t score;
    if constexpr (P::split) {
      score = sum == sum ? ordered(sum) : kNotFinite;
    } else {
      score = ordered(fmaxf(sum, -INFINITY));  // NaN becomes -inf, which is never better than the centre, lane 0
    }
    most[i] = __reduce_max_sync(kAll, score);
    equal[i] = __ballot_sync(kAll, score == most[i]);
  }
}

// Of four values that of the lane's pixel.
__device__ __forceinline__ uint32_t of_pixel(const uint32_t (&values)[4]) {
  const uint32_t upper = threadIdx.x % 2 ? values[1] : values[0], lower = threadIdx.x % 2 ? values[3] : values[2];
  return threadIdx.x / 2 % 2 ? lower : upper;
}

// Resident blocks of a multiprocessor: as many as the registers allow without spills.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
constexpr int kResident = 2;
#else
constexpr int kResident = 3;
#endif

template <class P, class T = typename P::Element>
__global__ void __launch_bounds__(32 * kWarps, kResident) quads_kernel(Match<T> m, int tiles_y, int tiles_x) {
  APNT_SHARED(float, buffers, [kWarps][kProductFloats]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  float* const products = buffers[warp];
  const unsigned tile = blockIdx.x / tiles_x, image = tile / tiles_y;
  const int64_t plane = m.plane();
  const int y0 = int(tile - image * tiles_y) * kTileRows + 2 * warp;
  const int x0 = int(blockIdx.x - tile * tiles_x) * kTileCols;
  // Lane 4 * q + p has pixel p of quad q, and candidate number `lane` by the tie rule.
  const int y = y0 + lane % 4 / 2, x = x0 + lane / 4 * 2 + lane % 2;
  const bool mine = y < m.h && x < m.w;
  const Step center = mine ? clamped_center(m, image, y, x) : Step{INT32_MIN, 0};
  const unsigned pixels = __ballot_sync(kAll, mine);
  const unsigned inside = __ballot_sync(kAll, mine && is_inside(m, place_of(y0, x0 + lane / 4 * 2, center)));

  Lane own;
  const int number = candidate_at(lane < kCandidates ? lane : 0), g = lane / 4;
  own.dy = number / kSpan - kReach, own.dx = number % kSpan - kReach;
  own.bias = lane < kCandidates && abs(own.dy) <= m.radius && abs(own.dx) <= m.radius ? 0.0f : -INFINITY;
  const int64_t pixel = m.c * int64_t(sizeof(T)), own_bytes = lane % 4 * (4 * P::words), first = image * plane;
  const Place p = place_of(y0, x0, Step{0, 0});
  own.source = reinterpret_cast<const unsigned char*>(m.source) + own_bytes +
               (first + int64_t(p.window_y) * m.w + p.window_x + g) * pixel;
  own.target = reinterpret_cast<const unsigned char*>(m.target) + own_bytes +
               (first + int64_t(p.target_y + g / kTargetSide) * m.w + p.target_x + g % kTargetSide) * pixel;
  const float* const scale = m.source_scale;
  own.scale = scale ? reinterpret_cast<const unsigned char*>(scale + first + int64_t(y0 + own.dy) * m.w + x0 + own.dx)
                    : nullptr;
  own.upper = products + product_of(g) + lane % 4 * 2;
  own.lower = products + opaque(product_of(g + 8) + lane % 4 * 2 + 2 * kRowPitch);
  own.box = products + opaque(number / kSpan * kRowPitch + number % kSpan);

  uint32_t best = 0;
  unsigned winners = 1;
  for (unsigned pending = pixels; pending;) {
    const unsigned lead = __ffs(pending) - 1, quad = lead / 4;
    const Step at{__shfl_sync(kAll, center.dy, int(lead)), __shfl_sync(kAll, center.dx, int(lead))};
    const bool served = unsigned(lane / 4) == quad && center.dy == at.dy && center.dx == at.dx;
    pending ^= __ballot_sync(kAll, served);

    const int moved = at.dy * m.w + at.dx + 2 * int(quad);
    uint32_t most[4];
    unsigned equal[4];
    if (inside >> lead & 1) {
      match_quad<P, true>(m, own, 2 * int(quad), moved, p, most, equal);
    } else {
      match_quad<P, false>(m, own, 2 * int(quad), moved, place_of(y0, x0 + 2 * int(quad), at), most, equal);
    }
    best = served ? of_pixel(most) : best;
    winners = served ? of_pixel(equal) : winners;
  }
  const int rank = __ffs(winners) - 1;
  const Step step{__shfl_sync(kAll, own.dy, rank), __shfl_sync(kAll, own.dx, rank)};
  if (!mine) return;
  if (P::split && best == kNotFinite) {
    m.offset[2 * image * plane + int64_t(y) * m.w + x] = kPending;
    return;
  }
  write_match(m, image, y, x, center, Best{from_ordered(best), candidate_key(step.dy, step.dx)});
}

template <class P, class T>
void launch_quads(const Match<T>& m, Stream stream) {
  const int tiles_y = ceil_div(m.h, kTileRows), tiles_x = ceil_div(m.w, kTileCols);
  APNT_LAUNCH(quads_kernel<P>, grid_size(m.n * tiles_y * tiles_x), 32 * kWarps, 0, stream, m, tiles_y, tiles_x);
}

template <class T, bool kSplit>
void launch_quads(const Match<T>& m, Stream stream) {
  const int64_t pixel = m.c * int64_t(sizeof(T));
  if constexpr (!kSplit)  // it would spill
    if (pixel % 128 == 0) return launch_quads<Products<T, kSplit, 4, 2>>(m, stream);
  if (pixel % 64 == 0) return launch_quads<Products<T, kSplit, 4, 1>>(m, stream);
  launch_quads<Products<T, kSplit, 2, 1>>(m, stream);
}

}  // namespace

template <class T>
bool can_match_quads(const Match<T>& m) {
  const int64_t row = int64_t(m.w) * m.c * int64_t(sizeof(T));
  return m.radius <= kReach && m.patch <= 2 * kBorder + 1 && row <= INT32_MAX;
}

template bool can_match_quads<float>(const Match<float>&);
template bool can_match_quads<__half>(const Match<__half>&);
template bool can_match_quads<__nv_bfloat16>(const Match<__nv_bfloat16>&);

template <class T>
void match_quads(const Match<T>& m, Stream stream) {
  if (std::is_same_v<T, float> && !m.tf32) return launch_quads<T, std::is_same_v<T, float>>(m, stream);
  launch_quads<T, false>(m, stream);
}

template void match_quads<float>(const Match<float>&, Stream);
template void match_quads<__half>(const Match<__half>&, Stream);
template void match_quads<__nv_bfloat16>(const Match<__nv_bfloat16>&, Stream);

}  // namespace apnt::cuda

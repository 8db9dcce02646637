// The sort: 8 bits a pass, the lowest first. A pass counts the digits of each tile, sums the counts of the tiles before,
// and moves every item to the place after those of its digit that come before it, so that equal ones keep their order.
#include "cuda/read_lists.cuh"

#include "cuda/block_sums.cuh"

namespace apnt::cuda {
namespace {

constexpr int kThreads = 256, kRounds = 8, kTile = kThreads * kRounds;
constexpr int kDigits = 256;
static_assert(kDigits == kThreads, "a thread of the sort has a digit");

constexpr int kMostReads = 128;   // of a thread, for patches up to 5 x 5; for larger ones those of 4 patches
constexpr int kTimesAThread = 16;  // a block sums so many times the reads of a thread

// A block's image and its number among the image's blocks.
struct Block {
  int64_t image;
  int64_t number;

  __device__ __forceinline__ explicit Block(int of_image)
      : image(blockIdx.x / unsigned(of_image)), number(blockIdx.x % unsigned(of_image)) {}
};

__device__ __forceinline__ int digit_of(uint32_t key, int shift) { return int(key >> shift & (kDigits - 1)); }

// The place on which each centre lands; those that land on none are sorted last.
__global__ void __launch_bounds__(kThreads)
    make_keys(const int32_t* __restrict__ offset, Field f, int blocks, uint32_t* __restrict__ keys) {
  const Block block(blocks);
  const int64_t k = block.number * kThreads + threadIdx.x, plane = f.plane();
  if (k >= plane) return;
  offset += 2 * block.image * plane;
  const int y = int(k) / f.w, x = int(k) % f.w;
  // In 64 bits: an offset may be any int32.
  const int64_t row = int64_t{y} + offset[k] + f.border_y, column = int64_t{x} + offset[plane + k] + f.border_x;
  const bool lands = row >= 0 && row < f.height() && column >= 0 && column < f.width();
  keys[block.image * plane + k] = lands ? uint32_t(row) * uint32_t(f.width()) + uint32_t(column) : f.places();
}

// counts[image][digit][tile]. Lanes with one digit add it together.
__global__ void __launch_bounds__(kThreads)
    count_digits(const uint32_t* __restrict__ keys, int64_t plane, int tiles, int shift, int32_t* __restrict__ counts) {
  APNT_SHARED(int, bins, [kDigits]);
  const Block block(tiles);
  keys += block.image * plane;
  bins[threadIdx.x] = 0;
  __syncthreads();
  for (int r = 0; r < kRounds; ++r) {
    const int64_t i = block.number * kTile + r * kThreads + threadIdx.x;
    const int digit = i < plane ? digit_of(keys[i], shift) : kDigits;
    const unsigned same = __match_any_sync(0xffffffffu, digit);
    if (digit < kDigits && __ffs(same) - 1 == int(threadIdx.x % 32)) atomicAdd(&bins[digit], __popc(same));
  }
  __syncthreads();
  counts[(block.image * kDigits + threadIdx.x) * tiles + block.number] = bins[threadIdx.x];
}

// Replaces the count of a tile by the sum of those before it, and adds all up: a block for every image and digit.
__global__ void __launch_bounds__(kThreads) scan_tiles(int32_t* __restrict__ counts, int tiles, int32_t* totals) {
  counts += int64_t{blockIdx.x} * tiles;
  int before = 0;
  for (int start = 0; start < tiles; start += kThreads) {
    const int tile = start + int(threadIdx.x);
    int all;
    const int mine = sum_before<kThreads>(tile < tiles ? counts[tile] : 0, all);
    if (tile < tiles) counts[tile] = before + mine;
    before += all;
  }
  if (threadIdx.x == 0) totals[blockIdx.x] = before;
}

// centres: nullptr in the first pass, in which they are in order.
__global__ void __launch_bounds__(kThreads)
    place_digits(const uint32_t* __restrict__ keys, const int32_t* __restrict__ centres, int64_t plane, int tiles,
                 int shift, const int32_t* __restrict__ starts, const int32_t* __restrict__ totals,
                 uint32_t* __restrict__ to_keys, int32_t* __restrict__ to_centres) {
  constexpr int kWarps = kThreads / 32;
  APNT_SHARED(int, next, [kDigits]);  // place of the next item of a digit
  APNT_SHARED(int, of_warp, [kWarps][kDigits]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const Block block(tiles);
  const int64_t digit_row = block.image * kDigits + threadIdx.x;
  int all;
  const int smaller = sum_before<kThreads>(totals[digit_row], all);
  next[threadIdx.x] = smaller + starts[digit_row * tiles + block.number];
  keys += block.image * plane, to_keys += block.image * plane, to_centres += block.image * plane;
  for (int r = 0; r < kRounds; ++r) {
    for (int w = 0; w < kWarps; ++w) of_warp[w][threadIdx.x] = 0;
    __syncthreads();
    const int64_t i = block.number * kTile + r * kThreads + threadIdx.x;
    const bool there = i < plane;
    const uint32_t key = there ? keys[i] : 0;
    const int digit = there ? digit_of(key, shift) : kDigits;
    const unsigned same = __match_any_sync(0xffffffffu, digit);
    const int rank = __popc(same & ((1u << lane) - 1));
    if (there && rank == 0) of_warp[warp][digit] = __popc(same);
    __syncthreads();
    int place = next[threadIdx.x];
    for (int w = 0; w < kWarps; ++w) {
      const int items = of_warp[w][threadIdx.x];
      of_warp[w][threadIdx.x] = place;
      place += items;
    }
    next[threadIdx.x] = place;
    __syncthreads();
    if (there) {
      const int to = of_warp[warp][digit] + rank;
      to_keys[to] = key;
      to_centres[to] = centres ? centres[block.image * plane + i] : int32_t(i);
    }
    __syncthreads();  // of_warp has been read
  }
}

// Finds the begin and the end of every list; both arrays are 0 before.
__global__ void __launch_bounds__(kThreads)
    find_lists(const uint32_t* __restrict__ keys, Field f, int blocks, int32_t* __restrict__ first,
               int32_t* __restrict__ last) {
  const Block block(blocks);
  const int64_t i = block.number * kThreads + threadIdx.x, plane = f.plane();
  keys += block.image * plane;
  if (i >= plane || keys[i] >= f.places()) return;
  const uint32_t key = keys[i];
  const int64_t place = block.image * f.places() + key;
  if (i == 0 || keys[i - 1] != key) first[place] = int32_t(i);
  if (i == plane - 1 || keys[i + 1] != key) last[place] = int32_t(i + 1);
}

// One addition for the long pixels of a block; huge ones are rare.
__global__ void __launch_bounds__(kThreads) find_longs(ReadLists lists, LongReads longs, int blocks) {
  APNT_SHARED(int64_t, start, [1]);
  const Block block(blocks);
  const int64_t p = block.number * kThreads + threadIdx.x, plane = lists.f.plane(), i = block.image * plane + p;
  const bool there = p < plane;
  int reads = 0;
  if (there) {
    for_lists(lists, longs, block.image, int(p) / lists.f.w, int(p) % lists.f.w,
              [&](int, int, int first, int last) { reads += last - first; });
    longs.is_long[i] = reads > longs.most;
  }
  const bool is_huge = reads > longs.piece, is_long = reads > longs.most && !is_huge;
  int all;
  const int before = sum_before<kThreads>(is_long, all);
  if (threadIdx.x == 0) start[0] = all > 0 ? int64_t(atomicAdd(&longs.counts[0], 0ull + unsigned(all))) : 0;
  __syncthreads();
  if (is_long) longs.pixels[start[0] + before] = i;
  if (is_huge) {
    const unsigned long long pieces = unsigned(ceil_div(reads, longs.piece));
    const unsigned long long at = atomicAdd(&longs.counts[1], (1ull << 32) + pieces);
    longs.huge[at >> 32] = {i, int64_t(at & 0xffffffffu)};
  }
}

}  // namespace

ReadLists::ReadLists(const Field& field, Arena& arena) : f(field) {
  const int64_t pixels = f.n * f.plane();
  for (int i = 0; i < 2; ++i) {
    keys[i] = arena.take<uint32_t>(pixels);
    sorted[i] = arena.take<int32_t>(pixels);
  }
  centres = sorted[0];
  starts = arena.take<int32_t>(f.n * kDigits * ceil_div(f.plane(), kTile));
  totals = arena.take<int32_t>(f.n * kDigits);
  const int64_t places = f.n * f.places();
  first = arena.take<int32_t>(2 * places);  // in one piece: they are cleared together
  last = first ? first + places : nullptr;
}

LongReads::LongReads(const Field& f, int half_y, int half_x, Arena& arena) : half_y(half_y), half_x(half_x) {
  const int64_t plane = f.plane(), pixels = f.n * plane, patch = (2 * int64_t{half_y} + 1) * (2 * int64_t{half_x} + 1);
  most = int(std::min(plane, std::max<int64_t>(kMostReads, 4 * patch)));
  piece = int(std::min<int64_t>(plane, int64_t{most} * kTimesAThread));
  // No pixel has more reads than the image has centres, all pixels together have `patch` times as many.
  const int64_t reads = pixels * std::min(patch, plane);
  const int64_t most_huge = piece < plane ? reads / piece : 0;
  pieces = 2 * most_huge;
  is_long = arena.take<uint8_t>(pixels);
  this->pixels = arena.take<int64_t>(most < plane ? std::min(pixels, reads / most) : 0);
  huge = arena.take<Huge>(most_huge);
  counts = arena.take<unsigned long long>(2);
}

void list_reads(const int32_t* offset, ReadLists& lists, Stream stream) {
  const Field& f = lists.f;
  const int blocks = int(ceil_div(f.plane(), kThreads)), tiles = int(ceil_div(f.plane(), kTile));
  const unsigned everywhere = grid_size(f.n * blocks), sorts = grid_size(f.n * tiles);
  APNT_LAUNCH(make_keys, everywhere, kThreads, 0, stream, offset, f, blocks, lists.keys[0]);
  int from = 0;
  for (int shift = 0; shift < 32 && f.places() >> shift; shift += 8, from ^= 1) {
    const int32_t* const centres = shift ? lists.sorted[from] : nullptr;
    APNT_LAUNCH(count_digits, sorts, kThreads, 0, stream, lists.keys[from], f.plane(), tiles, shift,
                lists.starts);
    APNT_LAUNCH(scan_tiles, grid_size(f.n * kDigits), kThreads, 0, stream, lists.starts, tiles, lists.totals);
    APNT_LAUNCH(place_digits, sorts, kThreads, 0, stream, lists.keys[from], centres, f.plane(), tiles, shift,
                lists.starts, lists.totals, lists.keys[from ^ 1], lists.sorted[from ^ 1]);
  }
  lists.centres = lists.sorted[from];
  set_zero(lists.first, 2 * size_t(f.n) * f.places() * sizeof(int32_t), stream);
  APNT_LAUNCH(find_lists, everywhere, kThreads, 0, stream, lists.keys[from], f, blocks, lists.first, lists.last);
}

void find_long_reads(const ReadLists& lists, const LongReads& longs, Stream stream) {
  const int blocks = int(ceil_div(lists.f.plane(), kThreads));
  set_zero(longs.counts, 2 * sizeof(*longs.counts), stream);
  APNT_LAUNCH(find_longs, grid_size(lists.f.n * blocks), kThreads, 0, stream, lists, longs, blocks);
}

}  // namespace apnt::cuda

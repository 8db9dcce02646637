// Gradients of window_match's score.
//
// With k a target pixel, j = k + offset[k], u a place in the patch, P and Q the patches of target at k and of
// source at j:
//   score[k] = <P, Q> / norm;  share[k] = grad[k] / norm
//   d target[k + u] = share[k] * source[j + u] - norm_term_target[k] * target[k + u]
//   d source[j + u] = share[k] * target[k + u] - norm_term_source[k] * source[j + u]
//   norm_term_target = grad * score / |P|**2,  norm_term_source = grad * score / |Q|**2
// A norm term is the gradient through the norm; it is 0 if the score is not divided by that norm or the norm
// is at its floor. The norm terms of a pixel are summed to one factor per pixel.
//
// A thread has a target pixel x and some channels. Both gradients connect x with the source pixels
// x + offset[x - u]: that of the target is gathered, always in the same order; that of the source is
// scattered with atomics or, to be deterministic, gathered along sorted lists of the target pixels that chose
// each source pixel (gather.cuh).
#include <optional>

#include "cuda/gather.cuh"
#include "cuda/window_match.h"
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTogether = 8;  // channels of a thread

template <class T>
struct Backward {
  using A = Sum<T>;
  const A* grad;          // (N, H, W)
  const T* source;        // (N, C, H, W)
  const T* target;        // (N, C, H, W)
  const int32_t* offset;  // (N, 2, H, W)
  int64_t n, plane;
  int c, h, w, half;
  bool by_source, by_target;
  A* grad_source;  // (N, C, H, W), or nullptr: not requested
  A* grad_target;
  // (N, H, W) each, nullptr if not needed.
  A* share;
  // Squares of the pixels; later the factors of the pixels' features.
  A *source_squares, *target_squares;
  // At the source pixel, at the target pixel.
  A *source_norm_terms, *target_norm_terms;
  A* chosen_norm_terms;  // if deterministic: those of the source at the target pixel that chose it

  __host__ __device__ int64_t pixels() const { return n * plane; }
  __device__ __forceinline__ bool inside(int64_t y, int64_t x) const {
    return y >= 0 && y < h && x >= 0 && x < w;
  }
};

// Sum over the patch around (y, x), which may be outside the image.
template <class T>
__device__ __forceinline__ Sum<T> box(const Backward<T>& b, const Sum<T>* map, int64_t y, int64_t x) {
  Sum<T> sum = 0;
  for (int64_t i = max(int64_t(0), y - b.half); i <= min(int64_t(b.h - 1), y + b.half); ++i)
    for (int64_t j = max(int64_t(0), x - b.half); j <= min(int64_t(b.w - 1), x + b.half); ++j)
      sum += map[i * b.w + j];
  return sum;
}

// Shares and norm terms, one pixel per thread.
template <class T>
__global__ void share_kernel(Backward<T> b) {
  using A = Sum<T>;
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= b.pixels()) return;
  const int64_t image = i / b.plane, k = i % b.plane, y = k / b.w, x = k % b.w;
  const int64_t jy = y + b.offset[2 * image * b.plane + k], jx = x + b.offset[(2 * image + 1) * b.plane + k];
  const T* source = b.source + image * b.c * b.plane;
  const T* target = b.target + image * b.c * b.plane;
  A dot = 0;
  for (int dy = -b.half; dy <= b.half; ++dy)
    for (int dx = -b.half; dx <= b.half; ++dx) {
      if (!b.inside(y + dy, x + dx) || !b.inside(jy + dy, jx + dx)) continue;
      const T* t = target + (y + dy) * b.w + x + dx;
      const T* s = source + (jy + dy) * b.w + jx + dx;
      A sum = 0;
#pragma unroll 8
      for (int c = 0; c < b.c; ++c) sum += A(to_float(t[c * b.plane])) * A(to_float(s[c * b.plane]));
      dot += sum;
    }
  constexpr A kFloor = A(kNormFloor * kNormFloor);
  const A s = b.by_source ? box(b, b.source_squares + image * b.plane, jy, jx) : A(1);
  const A t = b.by_target ? box(b, b.target_squares + image * b.plane, y, x) : A(1);
  const A share = b.grad[i] / (floored_norm(s) * floored_norm(t));
  const A norm_term = share * dot;
  b.share[i] = share;
  if (b.target_norm_terms) b.target_norm_terms[i] = t <= kFloor ? A(0) : norm_term / t;
  if (!b.source_norm_terms) return;
  const A at_source = s <= kFloor ? A(0) : norm_term / s;
  if (b.chosen_norm_terms) {
    b.chosen_norm_terms[i] = at_source;
  } else if (b.inside(jy, jx)) {
    atomicAdd(b.source_norm_terms + image * b.plane + jy * b.w + jx, at_source);
  }
}

// factors[k] = minus the sum of the norm terms whose patches contain k.
template <class T>
__global__ void factor_kernel(Backward<T> b, const Sum<T>* norm_terms, Sum<T>* factors) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= b.pixels()) return;
  const int64_t image = i / b.plane, y = i % b.plane / b.w, x = i % b.plane % b.w;
  factors[i] = -box(b, norm_terms + image * b.plane, y, x);
}

// The work of a thread of the grid (channels, pixels): pixel (y, x) of an image and up to kTogether channels.
struct Place {
  int64_t i;      // of the pixel in maps (N, H, W); threads beyond them have no work
  int64_t image;  // the pixel's
  int64_t at;     // of the pixel in its plane
  int64_t y, x;
  int64_t first;  // first element of the first channel's plane in maps (N, C, H, W)
  int channels;

  template <class T>
  __device__ __forceinline__ explicit Place(const Backward<T>& b) {
    const int64_t blocks = ceil_div(b.pixels(), int64_t(kThreads));
    const int64_t channel = blockIdx.x / blocks * kTogether;
    i = blockIdx.x % blocks * kThreads + threadIdx.x;
    image = i / b.plane, at = i % b.plane, y = at / b.w, x = at % b.w;
    first = (image * b.c + channel) * b.plane;
    channels = int(min(int64_t(kTogether), b.c - channel));
  }
};

// The gradient of the target and, if `scatter`, that of the source with atomics.
template <class T>
__global__ void spread_kernel(Backward<T> b, bool scatter) {
  using A = Sum<T>;
  const Place p(b);
  if (p.i >= b.pixels()) return;
  const int32_t* offset = b.offset + 2 * p.image * b.plane;

  A own[kTogether], sum[kTogether];
#pragma unroll
  for (int c = 0; c < kTogether; ++c) {
    own[c] = c < p.channels ? A(to_float(b.target[p.first + c * b.plane + p.at])) : A(0);
    sum[c] = b.grad_target && b.target_norm_terms ? b.target_squares[p.i] * own[c] : A(0);
  }
  // Consecutive pixels of the patch with the same source pixel are added together; all have the same if the
  // neighbours' offsets are equal.
  int64_t to = -1;
  A weight = 0;
  const auto spread = [&] {
    if (to < 0) return;
#pragma unroll
    for (int c = 0; c < kTogether; ++c) {
      if (c >= p.channels) continue;
      if (b.grad_target) sum[c] += weight * A(to_float(b.source[p.first + c * b.plane + to]));
      if (scatter) atomicAdd(b.grad_source + p.first + c * b.plane + to, weight * own[c]);
    }
  };
  for (int dy = -b.half; dy <= b.half; ++dy)
    for (int dx = -b.half; dx <= b.half; ++dx) {
      if (!b.inside(p.y - dy, p.x - dx)) continue;
      const int64_t k = (p.y - dy) * b.w + p.x - dx;
      const int64_t ty = p.y + offset[k], tx = p.x + offset[b.plane + k];
      if (!b.inside(ty, tx)) continue;
      const A share = b.share[p.image * b.plane + k];
      if (ty * b.w + tx != to) {
        spread();
        to = ty * b.w + tx;
        weight = 0;
      }
      weight += share;
    }
  spread();
#pragma unroll
  for (int c = 0; c < kTogether; ++c) {
    if (c >= p.channels) continue;
    const int64_t e = p.first + c * b.plane + p.at;
    if (b.grad_target) b.grad_target[e] = sum[c];
    if (scatter && b.source_norm_terms)
      atomicAdd(b.grad_source + e, b.source_squares[p.i] * A(to_float(b.source[e])));
  }
}

// What the gradient of the source in a fixed order needs: the target pixels that chose each source pixel.
template <class T>
struct Choices {
  ReadLists lists;
  LongReads of_pixel, of_patch;
  Sum<T>* partial;

  Choices(const MatchBackwardArgs& args, const Field& f, int half, Arena& arena)
      : lists(f, arena), of_pixel(f, 0, 0, arena), of_patch(f, half, half, arena) {
    partial = arena.take<Sum<T>>(std::max(of_pixel.pieces, of_patch.pieces * args.c));
  }

  // source_norm_terms = the sum of the chosen ones over each list.
  void sum_norm_terms(const Backward<T>& b, Stream stream) const {
    Sums<Sum<T>, Sum<T>> sums{};
    sums.in = b.chosen_norm_terms;
    sums.out = b.source_norm_terms;
    sums.c = 1;
    sums.partial = partial;
    find_long_reads(lists, of_pixel, stream);
    gather<false>(sums, lists, of_pixel, stream);
  }

  void sum_gradient(const Backward<T>& b, Stream stream) const {
    Sums<T, Sum<T>> sums{};
    sums.in = b.target;
    sums.out = b.grad_source;
    sums.c = b.c;
    sums.weight = b.share;
    sums.own_weight = b.source_norm_terms ? b.source_squares : nullptr;
    sums.own = b.source_norm_terms ? b.source : nullptr;
    sums.partial = partial;
    find_long_reads(lists, of_patch, stream);
    gather<false>(sums, lists, of_patch, stream);
  }
};

template <class T>
Backward<T> backward_of(const MatchBackwardArgs& args, Arena& arena) {
  using A = Sum<T>;
  Backward<T> b{};
  b.grad = static_cast<const A*>(args.grad_score);
  b.source = static_cast<const T*>(args.source);
  b.target = static_cast<const T*>(args.target);
  b.offset = args.offset;
  b.n = args.n;
  b.plane = args.h * args.w;
  b.c = static_cast<int>(args.c);
  b.h = static_cast<int>(args.h);
  b.w = static_cast<int>(args.w);
  b.half = args.patch / 2;
  b.by_source = by_source(args.norm);
  b.by_target = by_target(args.norm);
  b.grad_source = static_cast<A*>(args.grad_source);
  b.grad_target = static_cast<A*>(args.grad_target);
  const int64_t map = b.n * b.plane;
  b.share = arena.take<A>(map, b.by_source || b.by_target);
  b.source_squares = arena.take<A>(map, b.by_source);
  b.target_squares = arena.take<A>(map, b.by_target);
  b.source_norm_terms = arena.take<A>(map, b.by_source && b.grad_source);
  b.target_norm_terms = arena.take<A>(map, b.by_target && b.grad_target);
  b.chosen_norm_terms = arena.take<A>(map, args.deterministic && b.by_source && b.grad_source);
  return b;
}

// Empty if no gradient is summed in a fixed order.
template <class T>
std::optional<Choices<T>> choices_of(const MatchBackwardArgs& args, const Backward<T>& b, Arena& arena) {
  if (!args.deterministic || !b.grad_source) return std::nullopt;
  return Choices<T>(args, Field{b.n, b.h, b.w, 0, 0}, b.half, arena);
}

template <class T>
void backward(const MatchBackwardArgs& args, void* workspace, Stream stream) {
  Arena arena(workspace);
  Backward<T> b = backward_of<T>(args, arena);
  const unsigned blocks = grid_size(ceil_div(b.pixels(), int64_t(kThreads)));
  const unsigned all_channels = grid_size(blocks * int64_t(ceil_div(b.c, kTogether)));
  std::optional<Choices<T>> choices = choices_of(args, b, arena);
  if (choices) list_reads(b.offset, choices->lists, stream);
  if (b.share) {
    if (b.by_source) pixel_squares(b.source, false, b.n, b.c, b.h, b.w, b.source_squares, stream);
    if (b.by_target) pixel_squares(b.target, false, b.n, b.c, b.h, b.w, b.target_squares, stream);
    if (b.source_norm_terms && !choices) set_zero(b.source_norm_terms, b.pixels() * sizeof(Sum<T>), stream);
    APNT_LAUNCH(share_kernel<T>, blocks, kThreads, 0, stream, b);
    if (b.chosen_norm_terms) choices->sum_norm_terms(b, stream);
    // The squares are no longer needed.
    if (b.source_norm_terms)
      APNT_LAUNCH(factor_kernel<T>, blocks, kThreads, 0, stream, b, b.source_norm_terms, b.source_squares);
    if (b.target_norm_terms)
      APNT_LAUNCH(factor_kernel<T>, blocks, kThreads, 0, stream, b, b.target_norm_terms, b.target_squares);
  } else {
    b.share = const_cast<Sum<T>*>(b.grad);  // read only
  }
  const bool scatter = b.grad_source && !choices;
  if (scatter) set_zero(b.grad_source, b.pixels() * b.c * sizeof(Sum<T>), stream);
  if (scatter || b.grad_target) APNT_LAUNCH(spread_kernel<T>, all_channels, kThreads, 0, stream, b, scatter);
  if (choices) choices->sum_gradient(b, stream);
}

}  // namespace

int64_t window_match_backward_workspace(const MatchBackwardArgs& args) {
  Arena arena(nullptr);
  with_type(args.type, [&](auto t) { choices_of(args, backward_of<decltype(t)>(args, arena), arena); });
  return arena.bytes();
}

void window_match_backward(const MatchBackwardArgs& args, void* workspace, Stream stream) {
  if (args.n == 0 || (!args.grad_source && !args.grad_target)) return;
  with_type(args.type, [&](auto t) { backward<decltype(t)>(args, workspace, stream); });
}

}  // namespace apnt::cuda

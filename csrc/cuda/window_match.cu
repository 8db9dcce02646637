// window_match on a GPU: the choice of kernels, and their workspace.
#include <cstdlib>

#include "cuda/arena.cuh"
#include "cuda/window_match.h"
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

// Norms of patches, (N, H, W), the divisors of scores. nullptr if the kernels need none.
template <class A>
struct Norms {
  A *source, *target;
  A* squares;  // scratch

  Norms(const MatchArgs& args, Arena& arena) {
    // With a centre per pixel the kernels sum the squares of the features that they read anyway, which saves
    // a pass over the source. A large window has many slices, and each would sum them again.
    const bool of_source = by_source(args.norm) && !args.center, of_target = by_target(args.norm);
    const int64_t pixels = args.n * args.h * args.w;
    source = arena.take<A>(pixels, of_source);
    target = arena.take<A>(pixels, of_target);
    squares = arena.take<A>(pixels, of_source || of_target);
  }
};

template <class T>
void tiles(const Match<T>& m, Stream stream) {
  const bool centered = m.center && can_match_centered(m.radius, m.patch);
  // In half precision 2 x 2 pixels are as fast as whole tiles with one centre. In float32 they are slower
  // because of the multiply-adds and of the copies to shared memory, which are the same for tf32.
  const bool shared = can_match_shared(m.radius, m.patch) && (!centered || std::is_same_v<T, float>);
  if (shared) match_shared(m, stream);
  if (centered) match_centered(m, shared, stream);
  if (m.center || !shared) match_direct(m, shared || centered, stream);
}

template <>
void tiles(const Match<double>& m, Stream stream) {
  match_direct(m, false, stream);
}

template <class T>
void match(const MatchArgs& args, void* workspace, Stream stream) {
  Arena arena(workspace);
  const Norms<Sum<T>> norms(args, arena);
  Match<T> m{};
  m.source = static_cast<const T*>(args.source);
  m.target = static_cast<const T*>(args.target);
  m.center = args.center;
  m.by_source = by_source(args.norm);
  m.source_norm = norms.source;
  m.target_norm = norms.target;
  m.n = args.n;
  m.c = static_cast<int>(args.c);
  m.h = static_cast<int>(args.h);
  m.w = static_cast<int>(args.w);
  m.radius = args.radius;
  m.patch = args.patch;
  m.tf32 = args.tf32;
  m.offset = args.offset;
  m.score = static_cast<Sum<T>*>(args.score);
  const auto fill = [&](const T* map, Sum<T>* norm) {
    if (norm) patch_norms(map, m.n, m.c, m.h, m.w, m.patch, norms.squares, norm, stream);
  };
  fill(m.source, norms.source);
  fill(m.target, norms.target);
  tiles(m, stream);
}

}  // namespace

int shared_limit() {
#ifdef APNT_CUDA_ON_CPU
  const char* given = std::getenv("APNT_ON_CPU_SHARED");
  const int bytes = given ? std::atoi(given) : kSharedLimit;
#else
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "window_match");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "window_match");
#endif
  return bytes < kSharedLimit ? bytes : kSharedLimit;
}

int64_t window_match_workspace(const MatchArgs& args) {
  Arena arena(nullptr);
  with_type(args.type, [&](auto t) { Norms<Sum<decltype(t)>>(args, arena); });
  return arena.bytes();
}

void window_match(const MatchArgs& args, void* workspace, Stream stream) {
  if (args.n == 0) return;
  with_type(args.type, [&](auto t) { match<decltype(t)>(args, workspace, stream); });
}

}  // namespace apnt::cuda

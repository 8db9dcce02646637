// window_match on a GPU: the choice of kernels, and their workspace.
#include <cstdlib>

#include "cuda/arena.cuh"
#include "cuda/window_match.h"
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

// Channels of a map as the kernels read it; of float64 as it lies.
int padded_channels(const MatchArgs& args) {
  if (args.type == Type::f64) return static_cast<int>(args.c);
  const int64_t each = kPixelAlign / (args.type == Type::f32 ? 4 : 2);
  return static_cast<int>(ceil_div(args.c, each) * each);
}

// What a match needs besides its inputs, in its workspace.
template <class T>
struct Parts {
  using A = Sum<T>;
  T *source = nullptr, *target = nullptr;  // channels-last copies of features that lie otherwise
  A *scale, *norm;                         // (N, H, W): one over norms of the source's patches; norms of the target's
  A* squares;                              // scratch

  Parts(const MatchArgs& args, Arena& arena) {
    const int64_t pixels = args.n * args.h * args.w;
    const bool last = takes_channels_last(args);
    const auto copy = [&](const void* map, bool is_last) -> T* {
      const bool as_it_is =
          is_last && reinterpret_cast<uintptr_t>(map) % 16 == 0 && args.c == padded_channels(args);
      return arena.take<T>(last && !as_it_is ? pixels * padded_channels(args) : 0, last && !as_it_is);
    };
    source = copy(args.source, args.source_last);
    target = copy(args.target, args.target_last);
    const bool of_source = by_source(args.norm), of_target = by_target(args.norm);
    scale = arena.take<A>(pixels, of_source);
    norm = arena.take<A>(pixels, of_target);
    squares = arena.take<A>(pixels, of_source || of_target);
  }
};

// Tensor cores multiply what fits them; match_direct takes the pixels that they leave, or all.
template <class T>
void tiles(const Match<T>& m, Stream stream) {
  const bool leaves_some = std::is_same_v<T, float> && !m.tf32;  // those near to features that are not finite
  if (can_match_quads(m)) {
    match_quads(m, stream);
    if (leaves_some) match_direct(m, true, stream);
  } else if (can_match_shared(m.radius, m.patch)) {
    match_shared(m, stream);
    if (m.center || leaves_some) match_direct(m, true, stream);
  } else {
    match_direct(m, false, stream);
  }
}

template <>
void tiles(const Match<double>& m, Stream stream) {
  match_direct(m, false, stream);
}

template <class T>
void match(const MatchArgs& args, void* workspace, Stream stream) {
  Arena arena(workspace);
  const Parts<T> parts(args, arena);
  Match<T> m{};
  m.source = static_cast<const T*>(args.source);
  m.target = static_cast<const T*>(args.target);
  m.center = args.center;
  m.source_scale = parts.scale;
  m.target_norm = parts.norm;
  m.n = args.n;
  m.c = static_cast<int>(args.c);
  m.h = static_cast<int>(args.h);
  m.w = static_cast<int>(args.w);
  m.radius = args.radius;
  m.patch = args.patch;
  m.tf32 = args.tf32;
  m.offset = args.offset;
  m.score = static_cast<Sum<T>*>(args.score);
  if constexpr (!std::is_same_v<T, double>) {
    const auto pack = [&](const T*& map, bool last, T* packed) {
      if (!packed) return;
      pack_channels_last(map, last, m.n, m.c, m.h, m.w, padded_channels(args), packed, stream);
      map = packed;
    };
    pack(m.source, args.source_last, parts.source);
    pack(m.target, args.target_last, parts.target);
    m.c = padded_channels(args);
  }
  const auto fill = [&](const T* map, bool reciprocal, Sum<T>* norms) {
    if (!norms) return;
    pixel_squares(map, Match<T>::kChannelsLast, m.n, m.c, m.h, m.w, parts.squares, stream);
    patch_norms(parts.squares, m.n, m.h, m.w, m.patch, reciprocal, norms, stream);
  };
  fill(m.source, true, parts.scale);
  fill(m.target, false, parts.norm);
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

bool takes_channels_last(const MatchArgs& args) { return args.type != Type::f64; }

int64_t window_match_workspace(const MatchArgs& args) {
  Arena arena(nullptr);
  with_type(args.type, [&](auto t) { Parts<decltype(t)>(args, arena); });
  return arena.bytes();
}

void window_match(const MatchArgs& args, void* workspace, Stream stream) {
  if (args.n == 0) return;
  with_type(args.type, [&](auto t) { match<decltype(t)>(args, workspace, stream); });
}

}  // namespace apnt::cuda

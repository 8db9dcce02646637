// window_match on a GPU: which kernels answer a question, and the memory that they share.
#include <cstdlib>

#include "cuda/window_match.h"
#include "cuda/window_match_parts.cuh"

namespace apnt::cuda {
namespace {

bool by_source(Norm norm) { return norm == Norm::search || norm == Norm::cosine; }
bool by_target(Norm norm) { return norm == Norm::cosine || norm == Norm::paper; }

// With a centre per pixel the kernels sum the squares of what they read anyway, which saves a pass over the
// source. A large window has many slices, and every one would sum them anew.
bool has_source_map(const MatchArgs& args) { return by_source(args.norm) && !args.center; }

// Bytes of one map (N, H, W) in the workspace.
int64_t map_bytes(const MatchArgs& args) {
  const int64_t element = args.type == Type::f64 ? 8 : 4;
  return ceil_div(args.n * args.h * args.w * element, int64_t{256}) * 256;
}

template <class T>
void tiles(const Match<T>& m, Stream stream) {
  const bool centered = m.center && can_match_centered(m.radius, m.patch);
  // In half precision 2 x 2 pixels take no longer than whole tiles with one centre. In float32 they do, for
  // the multiply-adds, and for the staging, which tf32 leaves as it is.
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
void match(const MatchArgs& args, char* workspace, Stream stream) {
  using A = Sum<T>;
  const int64_t map = map_bytes(args);
  A* squares = reinterpret_cast<A*>(workspace);
  A* source_norm = has_source_map(args) ? reinterpret_cast<A*>(workspace + map) : nullptr;
  A* target_norm =
      by_target(args.norm) ? reinterpret_cast<A*>(workspace + map * (source_norm ? 2 : 1)) : nullptr;
  Match<T> m{};
  m.source = static_cast<const T*>(args.source);
  m.target = static_cast<const T*>(args.target);
  m.center = args.center;
  m.by_source = by_source(args.norm);
  m.source_norm = source_norm;
  m.target_norm = target_norm;
  m.n = args.n;
  m.c = static_cast<int>(args.c);
  m.h = static_cast<int>(args.h);
  m.w = static_cast<int>(args.w);
  m.radius = args.radius;
  m.patch = args.patch;
  m.tf32 = args.tf32;
  m.offset = args.offset;
  m.score = static_cast<A*>(args.score);
  if (source_norm) patch_norms(m.source, m.n, m.c, m.h, m.w, m.patch, squares, source_norm, stream);
  if (target_norm) patch_norms(m.target, m.n, m.c, m.h, m.w, m.patch, squares, target_norm, stream);
  tiles(m, stream);
}

}  // namespace

int shared_limit() {
#ifdef APNT_CUDA_ON_CPU
  const char* asked = std::getenv("APNT_ON_CPU_SHARED");
  const int bytes = asked ? std::atoi(asked) : kSharedLimit;
#else
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "window_match");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "window_match");
#endif
  return bytes < kSharedLimit ? bytes : kSharedLimit;
}

int64_t window_match_workspace(const MatchArgs& args) {
  const int norms = has_source_map(args) + by_target(args.norm);
  return norms ? (norms + 1) * map_bytes(args) : 0;
}

void window_match(const MatchArgs& args, void* workspace, Stream stream) {
  if (args.n == 0) return;
  char* memory = static_cast<char*>(workspace);
  switch (args.type) {
    case Type::f32:
      return match<float>(args, memory, stream);
    case Type::f64:
      return match<double>(args, memory, stream);
    case Type::f16:
      return match<__half>(args, memory, stream);
    case Type::bf16:
      return match<__nv_bfloat16>(args, memory, stream);
  }
}

}  // namespace apnt::cuda

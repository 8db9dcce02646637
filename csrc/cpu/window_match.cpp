#include "cpu/window_match.h"

#include <algorithm>
#include <vector>

#include "cpu/isa.h"
#include "cpu/window_match_plan.h"

namespace apnt::cpu {

namespace {

// Nearest to the centre first, then in raster order: the tie rule.
std::vector<Step> visit_order(int radius) {
  std::vector<Step> order;
  for (int dy = -radius; dy <= radius; ++dy)
    for (int dx = -radius; dx <= radius; ++dx) order.push_back({dy, dx});
  std::stable_sort(order.begin(), order.end(), [](const Step& a, const Step& b) {
    return a.dy * a.dy + a.dx * a.dx < b.dy * b.dy + b.dx * b.dx;
  });
  return order;
}

}  // namespace

void window_match(const MatchArgs& args) {
  if (args.n == 0 || args.h == 0 || args.w == 0) return;
  const std::vector<Step> order = visit_order(args.radius);
  MatchPlan plan;
  static_cast<MatchArgs&>(plan) = args;
  plan.order = order.data();
  switch (isa()) {
#if defined(__x86_64__)
    case Isa::avx512_bf16:
      if (args.type != Type::bf16) return window_match_avx512(plan);
      if (args.center || matrix_unit() == MatrixUnit::none) return window_match_avx512_bf16(plan);
      if (matrix_unit() == MatrixUnit::amx) return window_match_amx_bf16(plan);
      return window_match_amx_bf16_emulated(plan);
    case Isa::avx512:
      return window_match_avx512(plan);
    case Isa::avx2:
      return window_match_avx2(plan);
#endif
    default:
      return window_match_portable(plan);
  }
}

void propagate(const MatchArgs& args, const void* found, int64_t distance) {
  PropagatePlan plan;
  static_cast<MatchArgs&>(plan) = args;
  plan.found = found;
  plan.distance = distance;
  switch (isa()) {
#if defined(__x86_64__)
    case Isa::avx512_bf16:
      return args.type == Type::bf16 ? propagate_avx512_bf16(plan) : propagate_avx512(plan);
    case Isa::avx512:
      return propagate_avx512(plan);
    case Isa::avx2:
      return propagate_avx2(plan);
#endif
    default:
      return propagate_portable(plan);
  }
}

void window_match_backward(const MatchBackwardArgs& args) {
  if (args.n == 0 || args.h == 0 || args.w == 0) return;
  switch (isa()) {
#if defined(__x86_64__)
    case Isa::avx512_bf16:
    case Isa::avx512:
      return window_match_backward_avx512(args);
    case Isa::avx2:
      return window_match_backward_avx2(args);
#endif
    default:
      return window_match_backward_portable(args);
  }
}

}  // namespace apnt::cpu

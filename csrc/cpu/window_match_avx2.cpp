// window_match for AVX2, FMA and F16C. Only for x86-64.
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "needs -mavx2 -mfma -mf16c: without them it would compile to other instructions"
#endif

#include "cpu/vector_avx2.h"
#include "cpu/window_match_backward.h"
#include "cpu/window_match_body.h"

namespace apnt::cpu {

void window_match_avx2(const MatchPlan& plan) {
  switch (plan.type) {
    case Type::f32:
      return match<Avx2, F32>(plan);
    case Type::f16:
      return match<Avx2, F16>(plan);
    case Type::bf16:
      return match<Avx2, BF16>(plan);
    case Type::f64:
      return window_match_portable(plan);
  }
}

void propagate_avx2(const PropagatePlan& plan) {
  switch (plan.type) {
    case Type::f32:
      return propagate<Avx2, F32>(plan);
    case Type::f16:
      return propagate<Avx2, F16>(plan);
    case Type::bf16:
      return propagate<Avx2, BF16>(plan);
    case Type::f64:
      return propagate_portable(plan);
  }
}

void window_match_backward_avx2(const MatchBackwardArgs& args) {
  switch (args.type) {
    case Type::f32:
      return match_backward<Avx2, F32>(args);
    case Type::f16:
      return match_backward<Avx2, F16>(args);
    case Type::bf16:
      return match_backward<Avx2, BF16>(args);
    case Type::f64:
      return window_match_backward_portable(args);
  }
}

}  // namespace apnt::cpu

// window_match for AVX-512. Only for x86-64.
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__)
#error "needs -mavx512f -mavx512bw -mavx512dq -mavx512vl: without them it would compile to other instructions"
#endif

#include "cpu/vector_avx512.h"
#include "cpu/window_match_backward.h"
#include "cpu/window_match_body.h"

namespace apnt::cpu {

void window_match_avx512(const MatchPlan& plan) {
  switch (plan.type) {
    case Type::f32:
      return match<Avx512, F32>(plan);
    case Type::f16:
      return match<Avx512, F16>(plan);
    case Type::bf16:
      return match<Avx512, BF16>(plan);
    case Type::f64:
      return window_match_portable(plan);
  }
}

void propagate_avx512(const PropagatePlan& plan) {
  switch (plan.type) {
    case Type::f32:
      return propagate<Avx512, F32>(plan);
    case Type::f16:
      return propagate<Avx512, F16>(plan);
    case Type::bf16:
      return propagate<Avx512, BF16>(plan);
    case Type::f64:
      return propagate_portable(plan);
  }
}

void window_match_backward_avx512(const MatchBackwardArgs& args) {
  switch (args.type) {
    case Type::f32:
      return match_backward<Avx512, F32>(args);
    case Type::f16:
      return match_backward<Avx512, F16>(args);
    case Type::bf16:
      return match_backward<Avx512, BF16>(args);
    case Type::f64:
      return window_match_backward_portable(args);
  }
}

}  // namespace apnt::cpu

// window_match for every machine, and for float64 on all of them.
#include "cpu/vector_portable.h"
#include "cpu/window_match_backward.h"
#include "cpu/window_match_body.h"

namespace apnt::cpu {

void window_match_portable(const MatchPlan& plan) {
  switch (plan.type) {
    case Type::f32:
      return match<Portable<float>, F32>(plan);
    case Type::f16:
      return match<Portable<float>, F16>(plan);
    case Type::bf16:
      return match<Portable<float>, BF16>(plan);
    case Type::f64:
      return match<Portable<double>, F64>(plan);
  }
}

void propagate_portable(const PropagatePlan& plan) {
  switch (plan.type) {
    case Type::f32:
      return propagate<Portable<float>, F32>(plan);
    case Type::f16:
      return propagate<Portable<float>, F16>(plan);
    case Type::bf16:
      return propagate<Portable<float>, BF16>(plan);
    case Type::f64:
      return propagate<Portable<double>, F64>(plan);
  }
}

void window_match_backward_portable(const MatchBackwardArgs& args) {
  switch (args.type) {
    case Type::f32:
      return match_backward<Portable<float>, F32>(args);
    case Type::f16:
      return match_backward<Portable<float>, F16>(args);
    case Type::bf16:
      return match_backward<Portable<float>, BF16>(args);
    case Type::f64:
      return match_backward<Portable<double>, F64>(args);
  }
}

}  // namespace apnt::cpu

// window_match for one instruction set I and element type T: with one centre for all pixels, or one for each.
//
// Everything here has internal linkage: each instruction set compiles its own copy.
#pragma once

#include "cpu/window_match_centered.h"
#include "cpu/window_match_points.h"
#include "cpu/window_match_shared.h"

namespace apnt::cpu {
namespace {

template <class I, class T>
void match(const MatchPlan& plan) {
  if (plan.center) {
    match_centered<I, T>(plan);
  } else {
    match_shared<I, T>(plan);
  }
}

}  // namespace
}  // namespace apnt::cpu

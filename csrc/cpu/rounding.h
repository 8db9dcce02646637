// Whole numbers of groups. Internal linkage, see elements.h.
#pragma once

#include <cstdint>

namespace apnt::cpu {
namespace {

// How many groups of b cover a, both positive.
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
// The elements of these groups.
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace
}  // namespace apnt::cpu

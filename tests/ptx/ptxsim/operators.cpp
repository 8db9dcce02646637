// Entrances of csrc/cuda for ctypes: arguments as they are, and the text of an exception, "" if there is none.
#include <exception>
#include <string>

#include "cuda/patch_swap.h"
#include "cuda/refusal.h"
#include "cuda/window_match.h"

using namespace apnt;

namespace {

template <class F>
const char* text_of(const F& f) {
  static thread_local std::string text;
  text.clear();
  try {
    f();
  } catch (const std::exception& error) {
    text = error.what();
  }
  return text.c_str();
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int64_t match_workspace(const MatchArgs* a) { return cuda::window_match_workspace(*a); }
EXPORT const char* match(const MatchArgs* a, void* workspace) {
  return text_of([&] { cuda::window_match(*a, workspace, nullptr); });
}
EXPORT int64_t match_backward_workspace(const MatchBackwardArgs* a) {
  return cuda::window_match_backward_workspace(*a);
}
EXPORT const char* match_backward(const MatchBackwardArgs* a, void* workspace) {
  return text_of([&] { cuda::window_match_backward(*a, workspace, nullptr); });
}
EXPORT const char* swap(const SwapArgs* a) {
  return text_of([&] { cuda::patch_swap(*a, nullptr); });
}
EXPORT int64_t swap_backward_workspace(const SwapArgs* a, bool deterministic) {
  return cuda::patch_swap_backward_workspace(*a, deterministic);
}
EXPORT const char* swap_backward(const SwapArgs* a, bool deterministic, void* workspace) {
  return text_of([&] { cuda::patch_swap_backward(*a, deterministic, workspace, nullptr); });
}
EXPORT const char* refusal(int device) {
  static thread_local std::string text;
  text = cuda::refusal(device);
  return text.c_str();
}

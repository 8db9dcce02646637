// The operators of apnt: every schema, once. Kernels register themselves beside their code, fakes and
// gradients live in apnt/ops. Shapes and meaning: apnt/ops/window_match.py and patch_swap.py.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(apnt, m) {
  m.def(
      "window_match(Tensor source, Tensor target, Tensor? center, int radius, int patch_size, str normalize,"
      " bool tf32=False) -> (Tensor score, Tensor offset)");
  // A gradient that is not requested is an empty tensor.
  m.def(
      "window_match_backward(Tensor grad_score, Tensor source, Tensor target, Tensor offset, int patch_size,"
      " str normalize, bool for_source, bool for_target, bool deterministic)"
      " -> (Tensor grad_source, Tensor grad_target)");
  m.def("patch_swap(Tensor source, Tensor offset, int patch_size) -> Tensor");
  m.def(
      "patch_swap_backward(Tensor grad_out, Tensor offset, int patch_size, bool deterministic)"
      " -> Tensor");
  // Without gradients, on CPUs alone: matches that spread to neighbours. Shapes and meaning:
  // csrc/cpu/window_match.h.
  m.def(
      "propagate(Tensor source, Tensor target, Tensor offset, Tensor score, int distance, int patch_size,"
      " str normalize) -> (Tensor score, Tensor offset)");
  // Without gradients, on CPUs alone: rows [top, top + H') of a 3x3 or 1x1 convolution of joined parts, plus
  // `onto`, into out. Shapes and meaning: csrc/cpu/convolve.h.
  m.def(
      "convolve(Tensor[] parts, Tensor weight, Tensor? bias, bool relu, Tensor? onto, int top,"
      " Tensor(a!) out) -> ()");
  // Without gradients, on CPUs alone: twice the size, plus `onto`. Shapes and meaning: csrc/cpu/upsample.h.
  m.def("upsample(Tensor x, Tensor? onto, bool relu) -> Tensor");
}

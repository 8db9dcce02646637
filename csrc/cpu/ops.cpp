// The CPU kernels as operators: tensors in, raw pointers to the kernels, tensors out. What a caller can get
// wrong is checked with a friendly sentence in apnt/ops; the checks here keep a direct call from reading what
// is not its own.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <optional>
#include <string>
#include <tuple>

#include "common/pages.h"
#include "common/parallel.h"
#include "common/reach.h"
#include "cpu/patch_swap.h"
#include "cpu/window_match.h"

namespace apnt::cpu {

void parallel_for(int64_t begin, int64_t end, int64_t grain, RangeFn fn, void* context) {
  if (begin < end) STABLE_TORCH_ERROR_CODE_CHECK(torch_parallel_for(begin, end, grain, fn, context));
}

int64_t num_threads() { return torch::stable::get_num_threads(); }

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

Type type_of(const Tensor& x, const char* name) {
  switch (x.scalar_type()) {
    case ScalarType::Float:
      return Type::f32;
    case ScalarType::Double:
      return Type::f64;
    case ScalarType::Half:
      return Type::f16;
    case ScalarType::BFloat16:
      return Type::bf16;
    default:
      STD_TORCH_CHECK(false, name, " must be float32, float64, float16 or bfloat16");
  }
}

// Sums of half precision are kept in float32.
ScalarType sum_type(const Tensor& x) {
  return x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

Norm norm_of(const std::string& name) {
  if (name == "search") return Norm::search;
  if (name == "cosine") return Norm::cosine;
  if (name == "paper") return Norm::paper;
  STD_TORCH_CHECK(name == "none", "normalize must be search, cosine, paper or none, got ", name);
  return Norm::none;
}

void check_features(const Tensor& x, const char* name) {
  STD_TORCH_CHECK(x.is_cpu(), name, " must be on the CPU");
  STD_TORCH_CHECK(x.dim() == 4, name, " must have shape (N, C, H, W)");
  STD_TORCH_CHECK(x.size(1) > 0 && x.size(2) > 0 && x.size(3) > 0, name,
                  " must have channels, rows and columns");
  STD_TORCH_CHECK(x.size(2) <= INT32_MAX / x.size(3), name, " must have fewer than 2**31 pixels");
}

void check_like(const Tensor& x, const Tensor& source, const char* name) {
  STD_TORCH_CHECK(x.is_cpu() && x.dim() == 4 && x.scalar_type() == source.scalar_type(), name,
                  " must have source's device, rank and dtype");
  for (int i = 0; i < 4; ++i) STD_TORCH_CHECK(x.size(i) == source.size(i), name, " must have source's shape");
}

void check_vectors(const Tensor& x, const Tensor& source, const char* name) {
  STD_TORCH_CHECK(x.is_cpu() && x.dim() == 4 && x.scalar_type() == ScalarType::Int &&
                      x.size(0) == source.size(0) && x.size(1) == 2 && x.size(2) == source.size(2) &&
                      x.size(3) == source.size(3),
                  name, " must be an int32 tensor of shape (N, 2, H, W) on the CPU");
}

int checked_patch(int64_t patch_size, const Tensor& image) {
  STD_TORCH_CHECK(patch_size > 0 && patch_size % 2 == 1, "patch_size must be odd, got ", patch_size);
  return effective_patch(patch_size, image.size(2), image.size(3));
}

Tensor empty(const Tensor& like, std::initializer_list<int64_t> shape, ScalarType type) {
  const torch::headeronly::IntHeaderOnlyArrayRef sizes(shape.begin(), shape.size());
  const Tensor x = torch::stable::new_empty(like, sizes, type);
  use_large_pages(x.mutable_data_ptr(), x.numel() * x.element_size());
  return x;
}

std::tuple<Tensor, Tensor> match(const Tensor& source, const Tensor& target,
                                 const std::optional<Tensor>& center, int64_t radius, int64_t patch_size,
                                 const std::string& normalize, bool /*tf32*/) {
  check_features(source, "source");
  check_like(target, source, "target");
  if (center) check_vectors(*center, source, "center");
  const int patch = checked_patch(patch_size, source);
  STD_TORCH_CHECK(radius >= 0, "radius must be 0 or more, got ", radius);
  const int64_t n = source.size(0), c = source.size(1), h = source.size(2), w = source.size(3);
  const Tensor offset = empty(source, {n, 2, h, w}, ScalarType::Int),
               score = empty(source, {n, h, w}, sum_type(source));
  if (n == 0) return {score, offset};

  const Tensor s = torch::stable::contiguous(source), t = torch::stable::contiguous(target);
  const Tensor at = center ? torch::stable::contiguous(*center) : s;
  MatchArgs args{};
  args.source = s.const_data_ptr();
  args.target = t.const_data_ptr();
  args.type = type_of(source, "source");
  args.center = center ? at.const_data_ptr<int32_t>() : nullptr;
  args.n = n;
  args.c = c;
  args.h = h;
  args.w = w;
  args.radius = reach(radius, h, w);
  args.patch = patch;
  args.norm = norm_of(normalize);
  args.offset = offset.mutable_data_ptr<int32_t>();
  args.score = score.mutable_data_ptr();
  window_match(args);
  return {score, offset};
}

// Both backward kernels are deterministic whether that is asked for or not.
std::tuple<Tensor, Tensor> match_backward(const Tensor& grad_score, const Tensor& source,
                                          const Tensor& target, const Tensor& offset, int64_t patch_size,
                                          const std::string& normalize, bool for_source, bool for_target,
                                          bool /*deterministic*/) {
  check_features(source, "source");
  check_like(target, source, "target");
  check_vectors(offset, source, "offset");
  const int patch = checked_patch(patch_size, source);
  const int64_t n = source.size(0), c = source.size(1), h = source.size(2), w = source.size(3);
  STD_TORCH_CHECK(grad_score.is_cpu() && grad_score.dim() == 3 &&
                      grad_score.scalar_type() == sum_type(source) && grad_score.size(0) == n &&
                      grad_score.size(1) == h && grad_score.size(2) == w,
                  "grad_score must have the score's shape (N, H, W), dtype and device");
  const auto gradient = [&](bool wanted) {
    if (!wanted) return empty(source, {0}, source.scalar_type());
    return empty(source, {n, c, h, w}, source.scalar_type());
  };
  const Tensor grad_source = gradient(for_source), grad_target = gradient(for_target);
  if (n > 0 && (for_source || for_target)) {
    const Tensor g = torch::stable::contiguous(grad_score), s = torch::stable::contiguous(source),
                 t = torch::stable::contiguous(target), o = torch::stable::contiguous(offset);
    MatchBackwardArgs args{};
    args.grad_score = g.const_data_ptr();
    args.source = s.const_data_ptr();
    args.target = t.const_data_ptr();
    args.type = type_of(source, "source");
    args.offset = o.const_data_ptr<int32_t>();
    args.n = n;
    args.c = c;
    args.h = h;
    args.w = w;
    args.patch = patch;
    args.norm = norm_of(normalize);
    args.grad_source = for_source ? grad_source.mutable_data_ptr() : nullptr;
    args.grad_target = for_target ? grad_target.mutable_data_ptr() : nullptr;
    window_match_backward(args);
  }
  return {grad_source, grad_target};
}

Tensor swap_with(void (*kernel)(const SwapArgs&), const Tensor& in, const Tensor& offset, int64_t patch_size,
                 const char* name) {
  check_features(in, name);
  check_vectors(offset, in, "offset");
  const int patch = checked_patch(patch_size, in);
  const int64_t n = in.size(0), c = in.size(1), h = in.size(2), w = in.size(3);
  const Tensor out = empty(in, {n, c, h, w}, in.scalar_type());
  if (n == 0) return out;
  const Tensor x = torch::stable::contiguous(in), o = torch::stable::contiguous(offset);
  kernel({x.const_data_ptr(), type_of(in, name), o.const_data_ptr<int32_t>(), n, c, h, w, patch,
          out.mutable_data_ptr()});
  return out;
}

Tensor swap(const Tensor& source, const Tensor& offset, int64_t patch_size) {
  return swap_with(patch_swap, source, offset, patch_size, "source");
}

Tensor swap_backward(const Tensor& grad_out, const Tensor& offset, int64_t patch_size,
                     bool /*deterministic*/) {
  return swap_with(patch_swap_backward, grad_out, offset, patch_size, "grad_out");
}

}  // namespace
}  // namespace apnt::cpu

STABLE_TORCH_LIBRARY_IMPL(apnt, CPU, m) {
  m.impl("window_match", TORCH_BOX(&apnt::cpu::match));
  m.impl("window_match_backward", TORCH_BOX(&apnt::cpu::match_backward));
  m.impl("patch_swap", TORCH_BOX(&apnt::cpu::swap));
  m.impl("patch_swap_backward", TORCH_BOX(&apnt::cpu::swap_backward));
}

// For apnt/_ext.py: what this library holds, and what runs on this machine.
#define APNT_EXPORT extern "C" __attribute__((visibility("default")))

APNT_EXPORT const char* apnt_instruction_sets() {
#ifdef APNT_X86
  return "portable avx2 avx512 avx512_bf16 amx_bf16";
#else
  return "portable";
#endif
}

APNT_EXPORT const char* apnt_instruction_set() {
  try {
    return apnt::cpu::instruction_set();
  } catch (const std::exception& error) {
    static thread_local std::string message;
    message = std::string("error: ") + error.what();
    return message.c_str();
  }
}

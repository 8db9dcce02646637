// The CUDA kernels as operators: tensors in, raw pointers to the launchers, tensors out. As in cpu/ops.cpp,
// what a caller can get wrong is checked with a friendly sentence in apnt/ops; the checks here keep a direct
// call from reading what is not its own. Where the kernels run on the CPU (on_cpu.h), this file belongs to
// the tests' operators, with tensors there.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <optional>
#include <string>
#include <tuple>

#include "common/reach.h"
#include "cuda/patch_swap.h"
#include "cuda/window_match.h"

namespace apnt::cuda {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

#ifdef APNT_CUDA_ON_CPU

bool is_here(const Tensor& x) { return x.is_cpu(); }

struct DeviceOf {
  explicit DeviceOf(const Tensor& /*x*/) {}
  Stream stream() const { return nullptr; }
};

#else

bool is_here(const Tensor& x) { return x.is_cuda(); }

// Makes a tensor's device the current one; its current stream.
class DeviceOf {
 public:
  explicit DeviceOf(const Tensor& x) : index_(x.get_device_index()), guard_(index_) {}

  Stream stream() const {
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(index_, &stream));
    return stream;
  }

 private:
  int32_t index_;
  torch::stable::accelerator::DeviceGuard guard_;
};

#endif

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
  STD_TORCH_CHECK(is_here(x), name, " must be on the GPU");
  STD_TORCH_CHECK(x.dim() == 4, name, " must have shape (N, C, H, W)");
  STD_TORCH_CHECK(x.size(1) > 0 && x.size(2) > 0 && x.size(3) > 0, name,
                  " must have channels, rows and columns");
  STD_TORCH_CHECK(x.size(2) <= INT32_MAX / x.size(3), name, " must have fewer than 2**31 pixels");
}

bool is_beside(const Tensor& x, const Tensor& source) {
  return is_here(x) && x.get_device_index() == source.get_device_index();
}

void check_like(const Tensor& x, const Tensor& source, const char* name) {
  STD_TORCH_CHECK(is_beside(x, source) && x.dim() == 4 && x.scalar_type() == source.scalar_type(), name,
                  " must have source's device, rank and dtype");
  for (int i = 0; i < 4; ++i) STD_TORCH_CHECK(x.size(i) == source.size(i), name, " must have source's shape");
}

void check_vectors(const Tensor& x, const Tensor& source, const char* name) {
  STD_TORCH_CHECK(is_beside(x, source) && x.dim() == 4 && x.scalar_type() == ScalarType::Int &&
                      x.size(0) == source.size(0) && x.size(1) == 2 && x.size(2) == source.size(2) &&
                      x.size(3) == source.size(3),
                  name, " must be an int32 tensor of shape (N, 2, H, W) on source's device");
}

int checked_patch(int64_t patch_size, const Tensor& image) {
  STD_TORCH_CHECK(patch_size > 0 && patch_size % 2 == 1, "patch_size must be odd, got ", patch_size);
  return effective_patch(patch_size, image.size(2), image.size(3));
}

Tensor empty(const Tensor& like, std::initializer_list<int64_t> shape, ScalarType type) {
  const torch::headeronly::IntHeaderOnlyArrayRef sizes(shape.begin(), shape.size());
  return torch::stable::new_empty(like, sizes, type);
}

// Device memory for one call. PyTorch hands it out in the order of the current stream, so it may be given
// back as soon as the kernels are launched.
class Workspace {
 public:
  Workspace(const Tensor& like, int64_t bytes) {
    if (bytes > 0) memory_ = empty(like, {bytes}, ScalarType::Byte);
  }
  void* data() const { return memory_ ? memory_->mutable_data_ptr() : nullptr; }

 private:
  std::optional<Tensor> memory_;
};

std::tuple<Tensor, Tensor> match(const Tensor& source, const Tensor& target,
                                 const std::optional<Tensor>& center, int64_t radius, int64_t patch_size,
                                 const std::string& normalize, bool tf32) {
  check_features(source, "source");
  const Type type = type_of(source, "source");
  check_like(target, source, "target");
  if (center) check_vectors(*center, source, "center");
  const int patch = checked_patch(patch_size, source);
  STD_TORCH_CHECK(radius >= 0, "radius must be 0 or more, got ", radius);
  const Norm norm = norm_of(normalize);
  const DeviceOf device(source);
  const int64_t n = source.size(0), c = source.size(1), h = source.size(2), w = source.size(3);
  const Tensor offset = empty(source, {n, 2, h, w}, ScalarType::Int),
               score = empty(source, {n, h, w}, sum_type(source));
  if (n == 0) return {score, offset};

  const Tensor s = torch::stable::contiguous(source), t = torch::stable::contiguous(target);
  const Tensor at = center ? torch::stable::contiguous(*center) : s;
  MatchArgs args{};
  args.source = s.const_data_ptr();
  args.target = t.const_data_ptr();
  args.type = type;
  args.center = center ? at.const_data_ptr<int32_t>() : nullptr;
  args.n = n;
  args.c = c;
  args.h = h;
  args.w = w;
  args.radius = reach(radius, h, w);
  args.patch = patch;
  args.norm = norm;
  args.tf32 = tf32;
  args.offset = offset.mutable_data_ptr<int32_t>();
  args.score = score.mutable_data_ptr();
  const Workspace workspace(source, window_match_workspace(args));
  window_match(args, workspace.data(), device.stream());
  return {score, offset};
}

std::tuple<Tensor, Tensor> match_backward(const Tensor& grad_score, const Tensor& source,
                                          const Tensor& target, const Tensor& offset, int64_t patch_size,
                                          const std::string& normalize, bool for_source, bool for_target,
                                          bool deterministic) {
  check_features(source, "source");
  const Type type = type_of(source, "source");
  check_like(target, source, "target");
  check_vectors(offset, source, "offset");
  const int patch = checked_patch(patch_size, source);
  const Norm norm = norm_of(normalize);
  const int64_t n = source.size(0), c = source.size(1), h = source.size(2), w = source.size(3);
  STD_TORCH_CHECK(is_beside(grad_score, source) && grad_score.dim() == 3 &&
                      grad_score.scalar_type() == sum_type(source) && grad_score.size(0) == n &&
                      grad_score.size(1) == h && grad_score.size(2) == w,
                  "grad_score must have the score's shape (N, H, W), dtype and device");
  const DeviceOf device(source);
  const auto sums = [&](bool wanted) {
    return wanted ? empty(source, {n, c, h, w}, sum_type(source)) : empty(source, {0}, sum_type(source));
  };
  const Tensor grad_source = sums(for_source), grad_target = sums(for_target);
  if (n > 0 && (for_source || for_target)) {
    const Tensor g = torch::stable::contiguous(grad_score), s = torch::stable::contiguous(source),
                 t = torch::stable::contiguous(target), o = torch::stable::contiguous(offset);
    MatchBackwardArgs args{};
    args.grad_score = g.const_data_ptr();
    args.source = s.const_data_ptr();
    args.target = t.const_data_ptr();
    args.type = type;
    args.offset = o.const_data_ptr<int32_t>();
    args.n = n;
    args.c = c;
    args.h = h;
    args.w = w;
    args.patch = patch;
    args.norm = norm;
    args.deterministic = deterministic;
    args.grad_source = for_source ? grad_source.mutable_data_ptr() : nullptr;
    args.grad_target = for_target ? grad_target.mutable_data_ptr() : nullptr;
    const Workspace workspace(source, window_match_backward_workspace(args));
    window_match_backward(args, workspace.data(), device.stream());
  }
  const auto rounded = [&](const Tensor& x) {
    return x.scalar_type() == source.scalar_type() ? x : torch::stable::to(x, source.scalar_type());
  };
  return {rounded(grad_source), rounded(grad_target)};
}

// patch_swap or its transpose, as launch(args, device) starts it.
template <class F>
Tensor moved(const Tensor& in, const char* name, const Tensor& offset, int64_t patch_size, const F& launch) {
  check_features(in, name);
  check_vectors(offset, in, "offset");
  const int patch = checked_patch(patch_size, in);
  const Type type = type_of(in, name);
  const DeviceOf device(in);
  const int64_t n = in.size(0), c = in.size(1), h = in.size(2), w = in.size(3);
  const Tensor out = empty(in, {n, c, h, w}, in.scalar_type());
  if (n == 0) return out;
  const Tensor x = torch::stable::contiguous(in), o = torch::stable::contiguous(offset);
  launch(SwapArgs{x.const_data_ptr(), type, o.const_data_ptr<int32_t>(), n, c, h, w, patch,
                  out.mutable_data_ptr()},
         device);
  return out;
}

Tensor swap(const Tensor& source, const Tensor& offset, int64_t patch_size) {
  return moved(source, "source", offset, patch_size,
               [](const SwapArgs& args, const DeviceOf& device) { patch_swap(args, device.stream()); });
}

Tensor swap_backward(const Tensor& grad_out, const Tensor& offset, int64_t patch_size, bool deterministic) {
  return moved(grad_out, "grad_out", offset, patch_size, [&](const SwapArgs& args, const DeviceOf& device) {
    const Workspace workspace(grad_out, patch_swap_backward_workspace(args, deterministic));
    patch_swap_backward(args, deterministic, workspace.data(), device.stream());
  });
}

}  // namespace
}  // namespace apnt::cuda

#ifdef APNT_CUDA_ON_CPU
#define APNT_NAMESPACE apnt_cuda_on_cpu
#define APNT_DEVICE CPU
#else
#define APNT_NAMESPACE apnt
#define APNT_DEVICE CUDA
#endif

STABLE_TORCH_LIBRARY_IMPL(APNT_NAMESPACE, APNT_DEVICE, m) {
  m.impl("window_match", TORCH_BOX(&apnt::cuda::match));
  m.impl("window_match_backward", TORCH_BOX(&apnt::cuda::match_backward));
  m.impl("patch_swap", TORCH_BOX(&apnt::cuda::swap));
  m.impl("patch_swap_backward", TORCH_BOX(&apnt::cuda::swap_backward));
}

#ifndef APNT_CUDA_ON_CPU
// For apnt/_ext.py: the architectures that the kernels were built for, as setup.py wrote them down.
extern "C" __attribute__((visibility("default"))) const char* apnt_cuda_architectures() {
  return APNT_CUDA_ARCHITECTURES;
}
#endif

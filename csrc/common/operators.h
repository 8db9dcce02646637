// The four operators for one device: tensors in, checks, raw pointers to the kernels, tensors out. D, made of
// the first tensor, is the device:
//   D::device                                the device that tensors must be on
//   D::gradient_type(x)                      the dtype that window_match_backward's kernels write for x
//   D::takes_channels_last(args)             whether the kernels of this match read features (N, H, W, C)
//   D::kKeepsChannelsLast                    whether patch_swap's read and write them, where keeps_channels_last says so
//   D::kKeepsChannelsLastBackward            the same of its transpose
//   d.empty(shape, dtype)                    a new tensor
//   d.window_match(args), d.window_match_backward(args), d.patch_swap(args), d.patch_swap_backward(args,
//   deterministic)                           the kernels
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <tuple>

#include "common/check.h"

namespace apnt {

inline Tensor new_empty(const Tensor& like, std::initializer_list<int64_t> shape, ScalarType type) {
  return torch::stable::new_empty(like, {shape.begin(), shape.size()}, type);
}

// Whether a map (N, C, H, W) lies in memory as (N, H, W, C), without gaps.
inline bool is_channels_last(const Tensor& x) {
  const int64_t c = x.size(1), h = x.size(2), w = x.size(3);
  const auto lies = [&](int dim, int64_t stride) { return x.size(dim) == 1 || x.stride(dim) == stride; };
  return lies(1, 1) && lies(3, c) && lies(2, w * c) && lies(0, h * w * c);
}

// Whether a result of patch_swap lies in memory as its features x, (N, H, W, C): pixels of whole 16 bytes, small patches.
// The rule of `keeps_channels_last` in apnt/ops/patch_swap.py.
inline bool keeps_channels_last(const Tensor& x, Type type, int64_t patch_size) {
  const int64_t bytes = x.size(1) * (type == Type::f32 ? 4 : 2);
  return type != Type::f64 && (patch_size == 1 || patch_size == 3) && bytes % 16 == 0 && is_channels_last(x);
}

template <class Args>
void set_sizes(Args& args, const Tensor& x) {
  args.n = x.size(0);
  args.c = x.size(1);
  args.h = x.size(2);
  args.w = x.size(3);
}

template <class D>
struct Operators {
  static std::tuple<Tensor, Tensor> match(const Tensor& source, const Tensor& target,
                                          const std::optional<Tensor>& center, int64_t radius,
                                          int64_t patch_size, const std::string& normalize, bool tf32) {
    MatchArgs args{};
    args.type = check_features(source, D::device, "source");
    check_like(target, source, D::device, "target");
    if (center) check_vectors(*center, source, D::device, "center");
    args.patch = checked_patch(patch_size, source);
    args.radius = checked_radius(radius, source);
    args.norm = norm_of(normalize);
    args.tf32 = tf32;
    set_sizes(args, source);
    const D device(source);
    const Tensor offset = device.empty({args.n, 2, args.h, args.w}, ScalarType::Int),
                 score = device.empty({args.n, args.h, args.w}, sum_type(source));
    if (args.n == 0) return {score, offset};

    // Any tensor where there are no centres: one cannot be empty.
    const Tensor at = center ? torch::stable::contiguous(*center) : source;
    args.center = center ? at.const_data_ptr<int32_t>() : nullptr;
    args.source_last = D::takes_channels_last(args) && is_channels_last(source);
    args.target_last = D::takes_channels_last(args) && is_channels_last(target);
    const Tensor s = args.source_last ? source : torch::stable::contiguous(source),
                 t = args.target_last ? target : torch::stable::contiguous(target);
    args.source = s.const_data_ptr();
    args.target = t.const_data_ptr();
    args.offset = offset.mutable_data_ptr<int32_t>();
    args.score = score.mutable_data_ptr();
    device.window_match(args);
    return {score, offset};
  }

  static std::tuple<Tensor, Tensor> match_backward(const Tensor& grad_score, const Tensor& source,
                                                   const Tensor& target, const Tensor& offset,
                                                   int64_t patch_size, const std::string& normalize,
                                                   bool for_source, bool for_target, bool deterministic) {
    MatchBackwardArgs args{};
    args.type = check_features(source, D::device, "source");
    check_like(target, source, D::device, "target");
    check_vectors(offset, source, D::device, "offset");
    check_score(grad_score, source, D::device, "grad_score");
    args.patch = checked_patch(patch_size, source);
    args.norm = norm_of(normalize);
    args.deterministic = deterministic;
    set_sizes(args, source);
    const D device(source);
    const auto gradient = [&](bool wanted) {
      const ScalarType type = D::gradient_type(source);
      return wanted ? device.empty({args.n, args.c, args.h, args.w}, type) : device.empty({0}, type);
    };
    const Tensor grad_source = gradient(for_source), grad_target = gradient(for_target);
    if (args.n > 0 && (for_source || for_target)) {
      const Tensor g = torch::stable::contiguous(grad_score), s = torch::stable::contiguous(source),
                   t = torch::stable::contiguous(target), o = torch::stable::contiguous(offset);
      args.grad_score = g.const_data_ptr();
      args.source = s.const_data_ptr();
      args.target = t.const_data_ptr();
      args.offset = o.const_data_ptr<int32_t>();
      args.grad_source = for_source ? grad_source.mutable_data_ptr() : nullptr;
      args.grad_target = for_target ? grad_target.mutable_data_ptr() : nullptr;
      device.window_match_backward(args);
    }
    const auto rounded = [&](const Tensor& x) {
      return x.scalar_type() == source.scalar_type() ? x : torch::stable::to(x, source.scalar_type());
    };
    return {rounded(grad_source), rounded(grad_target)};
  }

  static Tensor swap(const Tensor& source, const Tensor& offset, int64_t patch_size) {
    return swapped(source, "source", offset, patch_size, D::kKeepsChannelsLast,
                   [](const D& device, const SwapArgs& args) { device.patch_swap(args); });
  }

  static Tensor swap_backward(const Tensor& grad_out, const Tensor& offset, int64_t patch_size,
                              bool deterministic) {
    return swapped(grad_out, "grad_out", offset, patch_size, D::kKeepsChannelsLastBackward,
                   [&](const D& device, const SwapArgs& args) {
                     device.patch_swap_backward(args, deterministic);
                   });
  }

 private:
  // patch_swap or its transpose, which run(device, args) starts.
  template <class F>
  static Tensor swapped(const Tensor& in, const char* name, const Tensor& offset, int64_t patch_size,
                        bool keeps, const F& run) {
    SwapArgs args{};
    args.type = check_features(in, D::device, name);
    check_vectors(offset, in, D::device, "offset");
    args.patch = checked_patch(patch_size, in);
    set_sizes(args, in);
    const D device(in);
    args.last = keeps && keeps_channels_last(in, args.type, patch_size);
    const Tensor out = args.last ? torch::stable::empty_like(in)
                                 : device.empty({args.n, args.c, args.h, args.w}, in.scalar_type());
    if (args.n == 0) return out;
    const bool aligned = reinterpret_cast<uintptr_t>(in.const_data_ptr()) % 16 == 0;
    const Tensor x = !args.last ? torch::stable::contiguous(in) : aligned ? in : torch::stable::clone(in);
    const Tensor o = torch::stable::contiguous(offset);
    args.in = x.const_data_ptr();
    args.offset = o.const_data_ptr<int32_t>();
    args.out = out.mutable_data_ptr();
    run(device, args);
    return out;
  }
};

// In STABLE_TORCH_LIBRARY_IMPL.
template <class D, class Library>
void implement_operators(Library& library) {
  library.impl("window_match", TORCH_BOX(&Operators<D>::match));
  library.impl("window_match_backward", TORCH_BOX(&Operators<D>::match_backward));
  library.impl("patch_swap", TORCH_BOX(&Operators<D>::swap));
  library.impl("patch_swap_backward", TORCH_BOX(&Operators<D>::swap_backward));
}

}  // namespace apnt

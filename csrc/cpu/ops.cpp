// The CPU kernels as operators, and the library's other functions that need PyTorch.
#include <vector>

#include "common/operators.h"
#include "common/pages.h"
#include "common/parallel.h"
#include "cpu/convolve.h"
#include "cpu/isa.h"
#include "cpu/patch_swap.h"
#include "cpu/upsample.h"
#include "cpu/window_match.h"

namespace apnt::cpu {

void parallel_for(int64_t begin, int64_t end, int64_t grain, RangeFn fn, void* context) {
  if (begin < end) STABLE_TORCH_ERROR_CODE_CHECK(torch_parallel_for(begin, end, grain, fn, context));
}

int64_t num_threads() { return torch::stable::get_num_threads(); }

namespace {

class Cpu {
 public:
  static constexpr Device device{[](const Tensor& x) { return x.is_cpu(); }, "CPU"};
  static ScalarType gradient_type(const Tensor& x) { return x.scalar_type(); }
  static bool takes_channels_last(const MatchArgs& args) { return args.center != nullptr; }
  static constexpr bool kKeepsChannelsLast = true, kKeepsChannelsLastBackward = false;

  explicit Cpu(const Tensor& like) : like_(like) {}

  Tensor empty(std::initializer_list<int64_t> shape, ScalarType type) const {
    const Tensor x = new_empty(like_, shape, type);
    use_large_pages(x.mutable_data_ptr(), x.numel() * x.element_size());
    return x;
  }

  void window_match(const MatchArgs& args) const { cpu::window_match(args); }
  void window_match_backward(const MatchBackwardArgs& args) const { cpu::window_match_backward(args); }
  void patch_swap(const SwapArgs& args) const { cpu::patch_swap(args); }
  void patch_swap_backward(const SwapArgs& args, bool /*deterministic: always*/) const {
    cpu::patch_swap_backward(args);
  }

 private:
  const Tensor& like_;
};

std::tuple<Tensor, Tensor> propagate_matches(const Tensor& source, const Tensor& target, const Tensor& offset,
                                             const Tensor& score, int64_t distance, int64_t patch_size,
                                             const std::string& normalize) {
  MatchArgs args{};
  args.type = check_features(source, Cpu::device, "source");
  check_like(target, source, Cpu::device, "target");
  check_vectors(offset, source, Cpu::device, "offset");
  check_score(score, source, Cpu::device, "score");
  STD_TORCH_CHECK(is_channels_last(source) && is_channels_last(target),
                  "source and target must be channels-last");
  STD_TORCH_CHECK(distance > 0, "distance must be positive, got ", distance);
  args.patch = checked_patch(patch_size, source);
  args.norm = norm_of(normalize);
  set_sizes(args, source);
  const Cpu device(source);
  const Tensor found = device.empty({args.n, 2, args.h, args.w}, ScalarType::Int),
               scores = device.empty({args.n, args.h, args.w}, sum_type(source));
  if (args.n == 0) return {scores, found};
  const Tensor at = torch::stable::contiguous(offset), old = torch::stable::contiguous(score);
  args.source = source.const_data_ptr();
  args.target = target.const_data_ptr();
  args.center = at.const_data_ptr<int32_t>();
  args.offset = found.mutable_data_ptr<int32_t>();
  args.score = scores.mutable_data_ptr();
  propagate(args, old.const_data_ptr(), distance);
  return {scores, found};
}

void convolve_joined(const std::vector<Tensor>& parts, const Tensor& weight,
                     const std::optional<Tensor>& bias, bool relu, const std::optional<Tensor>& onto,
                     int64_t top, const Tensor& out) {
  STD_TORCH_CHECK(!parts.empty(), "parts must not be empty");
  ConvolveArgs args{};
  std::vector<ConvolvePart> read;
  for (const Tensor& x : parts) {
    const Type type = check_features(x, Cpu::device, "parts");
    STD_TORCH_CHECK(type == Type::f32 || type == Type::bf16, "parts must be float32 or bfloat16");
    for (int i : {0, 2, 3}) STD_TORCH_CHECK(x.size(i) == parts[0].size(i), "parts must have one size");
    read.push_back({x.const_data_ptr(), x.size(1), x.stride(0), x.stride(1), x.stride(2), x.stride(3),
                    type == Type::bf16});
    args.c += x.size(1);
  }
  args.parts = read.data();
  args.count = static_cast<int64_t>(read.size());
  args.n = parts[0].size(0);
  args.h = parts[0].size(2);
  args.w = parts[0].size(3);
  STD_TORCH_CHECK(weight.is_cpu() && weight.scalar_type() == ScalarType::Float && weight.dim() == 4 &&
                      weight.size(0) > 0 && weight.size(1) == args.c && weight.size(2) == weight.size(3) &&
                      (weight.size(2) == 1 || weight.size(2) == 3),
                  "weight must be float32 of shape (K, C, 3, 3) or (K, C, 1, 1), C that of all parts");
  args.k = weight.size(0);
  args.side = static_cast<int>(weight.size(2));
  args.weight = weight.const_data_ptr<float>();
  args.output = weight.stride(0);
  args.input = weight.stride(1);
  args.weight_row = weight.stride(2);
  args.weight_column = weight.stride(3);
  if (bias) {
    STD_TORCH_CHECK(bias->is_cpu() && bias->scalar_type() == ScalarType::Float && bias->dim() == 1 &&
                        bias->size(0) == args.k && bias->stride(0) == 1,
                    "bias must be contiguous float32 of shape (K,)");
    args.bias = bias->const_data_ptr<float>();
  }
  args.relu = relu;
  const Type type = check_features(out, Cpu::device, "out");
  STD_TORCH_CHECK(type == Type::f32 || type == Type::bf16, "out must be float32 or bfloat16");
  args.bf16 = type == Type::bf16;
  STD_TORCH_CHECK(out.stride(1) == 1 || args.k == 1, "out must be channels-last");
  STD_TORCH_CHECK(out.size(0) == args.n && out.size(1) == args.k && out.size(3) == args.w,
                  "out must have the parts' images and columns, and the weight's outputs as channels");
  STD_TORCH_CHECK(top >= 0 && top <= args.h - out.size(2),
                  "top must lie in the parts, and the rows of out after it");
  args.top = top;
  args.rows = out.size(2);
  args.y = out.mutable_data_ptr();
  args.y_image = out.stride(0);
  args.y_row = out.stride(2);
  args.y_pixel = out.stride(3);
  if (onto) {
    check_features(*onto, Cpu::device, "onto");
    STD_TORCH_CHECK(onto->scalar_type() == out.scalar_type(), "onto must have the type of out");
    for (int i : {0, 1, 2, 3})
      STD_TORCH_CHECK(onto->size(i) == out.size(i), "onto must have the shape of out");
    STD_TORCH_CHECK(onto->stride(1) == 1 || args.k == 1, "onto must be channels-last");
    args.onto = onto->const_data_ptr();
    args.onto_image = onto->stride(0);
    args.onto_row = onto->stride(2);
    args.onto_pixel = onto->stride(3);
  }
  if (args.n > 0) convolve(args);
}

Tensor upsampled(const Tensor& x, const std::optional<Tensor>& onto, bool relu) {
  const Type type = check_features(x, Cpu::device, "x");
  STD_TORCH_CHECK(type == Type::f32 || type == Type::bf16, "x must be float32 or bfloat16");
  STD_TORCH_CHECK(is_channels_last(x), "x must be channels-last");
  UpsampleArgs args{};
  set_sizes(args, x);
  const Tensor rows = Cpu(x).empty({args.n, 2 * args.h, 2 * args.w, args.c}, x.scalar_type());
  const Tensor out = torch::stable::transpose(torch::stable::transpose(rows, 2, 3), 1, 2);
  if (onto) {
    check_features(*onto, Cpu::device, "onto");
    STD_TORCH_CHECK(onto->scalar_type() == x.scalar_type(), "onto must have the type of x");
    for (int i : {0, 1, 2, 3})
      STD_TORCH_CHECK(onto->size(i) == out.size(i), "onto must be x at twice the height and width");
    STD_TORCH_CHECK(is_channels_last(*onto), "onto must be channels-last");
    args.onto = onto->const_data_ptr();
  }
  args.x = x.const_data_ptr();
  args.bf16 = type == Type::bf16;
  args.relu = relu;
  args.y = rows.mutable_data_ptr();
  if (args.n > 0) upsample(args);
  return out;
}

}  // namespace
}  // namespace apnt::cpu

STABLE_TORCH_LIBRARY_IMPL(apnt, CPU, m) {
  apnt::implement_operators<apnt::cpu::Cpu>(m);
  m.impl("propagate", TORCH_BOX(&apnt::cpu::propagate_matches));
  m.impl("convolve", TORCH_BOX(&apnt::cpu::convolve_joined));
  m.impl("upsample", TORCH_BOX(&apnt::cpu::upsampled));
}

// For apnt/_ext.py: the instruction sets that were built, and the one that runs on this machine.
#define APNT_EXPORT extern "C" __attribute__((visibility("default")))

APNT_EXPORT const char* apnt_instruction_sets() {
#ifdef __x86_64__
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

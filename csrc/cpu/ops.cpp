// The CPU kernels as operators, and the library's other functions that need PyTorch.
#include "common/operators.h"
#include "common/pages.h"
#include "common/parallel.h"
#include "cpu/isa.h"
#include "cpu/patch_swap.h"
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
  static bool takes_channels_last(const MatchArgs& /*args*/) { return false; }
  static constexpr bool kKeepsChannelsLast = false;

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

}  // namespace
}  // namespace apnt::cpu

STABLE_TORCH_LIBRARY_IMPL(apnt, CPU, m) { apnt::implement_operators<apnt::cpu::Cpu>(m); }

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

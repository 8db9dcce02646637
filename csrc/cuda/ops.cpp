// The CUDA kernels as operators. In the tests' build, where the kernels run on the CPU, they are operators of
// another name, for tensors there.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include "common/operators.h"
#include "cuda/patch_swap.h"
#include "cuda/refusal.h"
#include "cuda/window_match.h"

namespace apnt::cuda {
namespace {

#ifdef APNT_CUDA_ON_CPU

constexpr Device kDevice{[](const Tensor& x) { return x.is_cpu(); }, "CPU"};

struct Current {
  explicit Current(const Tensor& /*x*/) {}
  Stream stream() const { return nullptr; }
};

#else

constexpr Device kDevice{[](const Tensor& x) { return x.is_cuda(); }, "GPU"};

// Makes a tensor's device the current one; its current stream.
class Current {
 public:
  explicit Current(const Tensor& x) : index_(x.get_device_index()), guard_(index_) {}

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

// Device memory for one call. PyTorch reuses memory in the order of the current stream, so it may be freed as
// soon as the kernels are launched.
class Workspace {
 public:
  Workspace(const Tensor& like, int64_t bytes) {
    if (bytes > 0) memory_ = new_empty(like, {bytes}, ScalarType::Byte);
  }
  void* data() const { return memory_ ? memory_->mutable_data_ptr() : nullptr; }

 private:
  std::optional<Tensor> memory_;
};

class Gpu {
 public:
  static constexpr const Device& device = kDevice;
  static ScalarType gradient_type(const Tensor& x) { return sum_type(x); }
  static bool takes_channels_last(const MatchArgs& args) { return cuda::takes_channels_last(args); }
  static constexpr bool kKeepsChannelsLast = true, kKeepsChannelsLastBackward = true;

  explicit Gpu(const Tensor& like) : like_(like), current_(like) {}

  Tensor empty(std::initializer_list<int64_t> shape, ScalarType type) const {
    return new_empty(like_, shape, type);
  }

  void window_match(const MatchArgs& args) const {
    const Workspace workspace(like_, window_match_workspace(args));
    cuda::window_match(args, workspace.data(), current_.stream());
  }
  void window_match_backward(const MatchBackwardArgs& args) const {
    const Workspace workspace(like_, window_match_backward_workspace(args));
    cuda::window_match_backward(args, workspace.data(), current_.stream());
  }
  void patch_swap(const SwapArgs& args) const { cuda::patch_swap(args, current_.stream()); }
  void patch_swap_backward(const SwapArgs& args, bool deterministic) const {
    const Workspace workspace(like_, patch_swap_backward_workspace(args, deterministic));
    cuda::patch_swap_backward(args, deterministic, workspace.data(), current_.stream());
  }

 private:
  const Tensor& like_;
  Current current_;
};

}  // namespace
}  // namespace apnt::cuda

#ifdef APNT_CUDA_ON_CPU
#define APNT_NAMESPACE apnt_cuda_on_cpu
#define APNT_DEVICE CPU
#else
#define APNT_NAMESPACE apnt
#define APNT_DEVICE CUDA
#endif

STABLE_TORCH_LIBRARY_IMPL(APNT_NAMESPACE, APNT_DEVICE, m) { apnt::implement_operators<apnt::cuda::Gpu>(m); }

#ifndef APNT_CUDA_ON_CPU
// For apnt/_ext.py: the architectures that the kernels were built for, as setup.py wrote them down.
extern "C" __attribute__((visibility("default"))) const char* apnt_cuda_architectures() {
  return APNT_CUDA_ARCHITECTURES;
}

// Also for it: why they cannot run on that GPU, "" if they can. Valid until the thread's next call.
extern "C" __attribute__((visibility("default"))) const char* apnt_cuda_refusal(int device) {
  static thread_local std::string why;
  why = apnt::cuda::refusal(device);
  return why.c_str();
}
#endif

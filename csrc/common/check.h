// Checks of shapes, dtypes, devices and options before a kernel reads a tensor, the same for every device.
// apnt/ops checks them first and with more helpful messages; these checks prevent a direct call of an
// operator from reading outside its tensors.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "common/args.h"

namespace apnt {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Where the kernels run: whether a tensor lies there, and "CPU" or "GPU" for messages.
struct Device {
  bool (*has)(const Tensor&);
  const char* name;
};

inline Type type_of(const Tensor& x, const char* name) {
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

// Half precision is summed in float32.
inline ScalarType sum_type(const Tensor& x) {
  return x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

inline Norm norm_of(const std::string& name) {
  if (name == "search") return Norm::search;
  if (name == "cosine") return Norm::cosine;
  if (name == "paper") return Norm::paper;
  STD_TORCH_CHECK(name == "none", "normalize must be search, cosine, paper or none, got ", name);
  return Norm::none;
}

// The type of x, which must be a feature map (N, C, H, W) on the device.
inline Type check_features(const Tensor& x, const Device& device, const char* name) {
  STD_TORCH_CHECK(device.has(x), name, " must be on the ", device.name);
  STD_TORCH_CHECK(x.dim() == 4, name, " must have shape (N, C, H, W)");
  STD_TORCH_CHECK(x.size(1) > 0 && x.size(2) > 0 && x.size(3) > 0, name,
                  " must have channels, rows and columns");
  STD_TORCH_CHECK(x.size(2) <= INT32_MAX / x.size(3), name, " must have fewer than 2**31 pixels");
  return type_of(x, name);
}

inline bool on_same_device(const Tensor& x, const Tensor& source, const Device& device) {
  return device.has(x) && x.get_device_index() == source.get_device_index();
}

inline void check_like(const Tensor& x, const Tensor& source, const Device& device, const char* name) {
  STD_TORCH_CHECK(
      on_same_device(x, source, device) && x.dim() == 4 && x.scalar_type() == source.scalar_type(), name,
      " must have source's device, rank and dtype");
  for (int i = 0; i < 4; ++i) STD_TORCH_CHECK(x.size(i) == source.size(i), name, " must have source's shape");
}

// Centres or offsets of the pixels of source.
inline void check_vectors(const Tensor& x, const Tensor& source, const Device& device, const char* name) {
  STD_TORCH_CHECK(on_same_device(x, source, device) && x.dim() == 4 && x.scalar_type() == ScalarType::Int &&
                      x.size(0) == source.size(0) && x.size(1) == 2 && x.size(2) == source.size(2) &&
                      x.size(3) == source.size(3),
                  name, " must be an int32 tensor of shape (N, 2, H, W) on source's device");
}

inline void check_score(const Tensor& x, const Tensor& source, const Device& device, const char* name) {
  STD_TORCH_CHECK(on_same_device(x, source, device) && x.dim() == 3 && x.scalar_type() == sum_type(source) &&
                      x.size(0) == source.size(0) && x.size(1) == source.size(2) &&
                      x.size(2) == source.size(3),
                  name, " must have the score's shape (N, H, W), dtype and device");
}

// The pixels that a window or a patch extends to each side, at most the size of the image: a larger extent
// covers nothing more.
inline int clamped_extent(int64_t extent, const Tensor& image) {
  return static_cast<int>(std::min(extent, std::max(image.size(2), image.size(3)) - 1));
}

inline int checked_patch(int64_t patch_size, const Tensor& image) {
  STD_TORCH_CHECK(patch_size > 0 && patch_size % 2 == 1, "patch_size must be odd, got ", patch_size);
  return 2 * clamped_extent(patch_size / 2, image) + 1;
}

inline int checked_radius(int64_t radius, const Tensor& image) {
  STD_TORCH_CHECK(radius >= 0, "radius must be 0 or more, got ", radius);
  return clamped_extent(radius, image);
}

}  // namespace apnt

#include "cuda/refusal.h"

#include "cuda/runtime.cuh"

namespace apnt::cuda {

#ifndef APNT_CUDA_ON_CPU

namespace {

// Compiled for the same GPUs as the others.
__global__ void probe_kernel() {}

std::string version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string refusal_of_current(int device) {
  int driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver), "refusal");
  check(cudaRuntimeGetVersion(&runtime), "refusal");
  // A driver runs code of every toolkit of its major version.
  if (driver / 1000 < runtime / 1000) {
    return "the driver is for CUDA " + version(driver) + ", the kernels were built with " + version(runtime) +
           "; update the driver, or build with an older toolkit";
  }
  cudaFuncAttributes found{};
  const cudaError_t status = cudaFuncGetAttributes(&found, reinterpret_cast<const void*>(probe_kernel));
  if (status == cudaSuccess) return "";
  cudaGetLastError();
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "refusal");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "refusal");
  const std::string gpu = std::to_string(major) + "." + std::to_string(minor);
  // Code for newer GPUs is made from PTX, by a driver that knows the toolkit's version of it.
  if (status == cudaErrorUnsupportedPtxVersion) {
    return "there is no code for compute capability " + gpu + ", and the driver (CUDA " + version(driver) +
           ") cannot make it from the PTX of CUDA " + version(runtime) + "; update the driver";
  }
  if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction) {
    return "it was built without code for compute capability " + gpu +
           "; build it with TORCH_CUDA_ARCH_LIST=" + gpu;
  }
  return std::string("its kernels do not load: ") + cudaGetErrorString(status);
}

}  // namespace

std::string refusal(int device) {
  int before = 0;
  try {
    check(cudaGetDevice(&before), "refusal");
    check(cudaSetDevice(device), "refusal");
    const std::string why = refusal_of_current(device);
    check(cudaSetDevice(before), "refusal");
    return why;
  } catch (const std::exception& error) {
    cudaSetDevice(before);
    return error.what();
  }
}

#endif

}  // namespace apnt::cuda

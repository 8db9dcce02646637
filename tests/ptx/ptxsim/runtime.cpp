// A stand-in for the parts of the CUDA runtime that csrc/cuda and nvcc's host code call: it launches nothing, but hands
// launches and memset calls to Python in the order of the calls. It refuses what the real one would.
#include <cuda_runtime_api.h>

#include <cstring>
#include <map>
#include <mutex>
#include <string>

namespace {

struct Function {
  std::string name;
  std::map<int, int> dynamic;  // bytes that a launch may ask for on a device, if they were requested
};

struct Configuration {
  dim3 grid, block;
  size_t shared;
};

std::mutex mutex;

// In a function, because kernels are registered while the library loads, in whatever order.
std::map<const void*, Function>& functions() {
  static std::map<const void*, Function> found;
  return found;
}

thread_local Configuration configuration;

void (*on_launch)(const char* name, const unsigned* sizes, size_t shared, void** arguments) = nullptr;
void (*on_zero)(size_t at, size_t bytes) = nullptr;
void (*on_attribute)(const char* name, int bytes) = nullptr;

int optin = 227 * 1024, driver = CUDART_VERSION, capability = 90, attributes_status = 0;

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void ptx_hooks(decltype(on_launch) launch, decltype(on_zero) zero, decltype(on_attribute) attribute) {
  on_launch = launch, on_zero = zero, on_attribute = attribute;
}

// The GPU that there seems to be. Its number is that of its kilobytes of shared memory, so that a process may have
// several: shared memory of a block, the driver's version, and what the question for a kernel's attributes answers.
EXPORT void ptx_gpu(int shared, int driver_version, int compute_capability, int status) {
  optin = shared, driver = driver_version, capability = compute_capability, attributes_status = status;
}

extern "C" {

void** __cudaRegisterFatBinary(void*) {
  static void* handle;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  functions()[host].name = name;
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, struct CUstream_st*) {
  configuration = {grid, block, shared};
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void*) {
  *grid = configuration.grid, *block = configuration.block, *shared = configuration.shared;
  return cudaSuccess;
}

static thread_local cudaError_t last = cudaSuccess;

// A kernel's handle is the address of its host function.
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t function, dim3 grid, dim3 block, void** arguments, size_t shared,
                               cudaStream_t) {
  std::string name;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    const Function& found = functions().at(function);
    const auto requested = found.dynamic.find(optin / 1024);
    const int dynamic = requested == found.dynamic.end() ? 48 * 1024 : requested->second;
    if (shared > static_cast<size_t>(dynamic) || grid.y > 65535 || grid.z > 65535 ||
        block.x * block.y * block.z > 1024) {
      return last = cudaErrorInvalidValue;
    }
    name = found.name;
  }
  const unsigned sizes[] = {grid.x, grid.y, grid.z, block.x, block.y, block.z};
  if (on_launch) on_launch(name.c_str(), sizes, shared, arguments);
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* function, enum cudaFuncAttribute, int value) {
  std::string name;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    if (value > optin) return last = cudaErrorInvalidValue;
    functions().at(function).dynamic[optin / 1024] = value;
    name = functions().at(function).name;
  }
  if (on_attribute) on_attribute(name.c_str(), value);
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes* to, const void*) {
  std::memset(to, 0, sizeof(*to));
  to->sharedSizeBytes = 4096;
  return last = static_cast<cudaError_t>(attributes_status);
}

cudaError_t cudaMemsetAsync(void* at, int, size_t bytes, cudaStream_t) {
  if (on_zero) on_zero(reinterpret_cast<size_t>(at), bytes);
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  const cudaError_t found = last;
  last = cudaSuccess;
  return found;
}
const char* cudaGetErrorString(cudaError_t status) {
  return status == cudaErrorInvalidValue ? "invalid argument" : "error of the stand-in";
}
cudaError_t cudaGetDevice(int* device) {
  *device = optin / 1024;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) {
  *version = driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, enum cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor   ? capability / 10
           : attribute == cudaDevAttrComputeCapabilityMinor ? capability % 10
                                                            : optin;
  return cudaSuccess;
}

}  // extern "C"

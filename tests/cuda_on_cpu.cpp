// Python's side of the CUDA kernels on the CPU: the stand-in's controls, and single instructions to be
// checked. The kernels of the ops register themselves as operators (csrc/cuda/ops.cpp) when this module is
// loaded. Arrays come as addresses.
#include <pybind11/pybind11.h>

#include "cuda/mma.cuh"
#include "cuda/on_cpu.h"
#include "cuda/runtime.cuh"

namespace apnt::cuda {
namespace {

enum class Kind { f16, bf16, tf32 };

// c (16, 8) += a (16, K) b (K, 8), row by row, by one warp; a and b in registers' words.
template <Kind kind>
__global__ void multiply(const uint32_t* a, const uint32_t* b, float* c) {
  const int lane = threadIdx.x;
  const uint32_t ra[4] = {a[4 * lane], a[4 * lane + 1], a[4 * lane + 2], a[4 * lane + 3]};
  const uint32_t rb[2] = {b[2 * lane], b[2 * lane + 1]};
  float rc[4];
  for (int i = 0; i < 4; ++i) rc[i] = c[4 * lane + i];
  if constexpr (kind == Kind::f16) mma_m16n8k16_f16(rc, ra, rb);
  if constexpr (kind == Kind::bf16) mma_m16n8k16_bf16(rc, ra, rb);
  if constexpr (kind == Kind::tf32) mma_m16n8k8_tf32(rc, ra, rb);
  for (int i = 0; i < 4; ++i) c[4 * lane + i] = rc[i];
}

// Four 8 x 8 matrices, one after the other, from device memory through shared memory to registers.
__global__ void load_matrices(const uint4* rows, uint32_t* out, bool transposed) {
  APNT_DYNAMIC_SHARED(uint4, tile);
  const int lane = threadIdx.x;
  cp_async_16(&tile[lane], &rows[lane], true);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();
  uint32_t r[4];
  if (transposed) {
    ldmatrix_x4_trans(r, &tile[lane]);
  } else {
    ldmatrix_x4(r, &tile[lane]);
  }
  for (int i = 0; i < 4; ++i) out[4 * lane + i] = r[i];
}

// Values of a warp, once through every warp function: (8, 32).
__global__ void warp_functions(const int* in, int* out) {
  const int lane = threadIdx.x, x = in[lane];
  out[lane] = __shfl_sync(0xffffffffu, x, 5);
  out[32 + lane] = __shfl_up_sync(0xffffffffu, x, 3);
  out[64 + lane] = __shfl_down_sync(0xffffffffu, x, 3, 16);
  out[96 + lane] = __shfl_xor_sync(0xffffffffu, x, 9);
  out[128 + lane] = static_cast<int>(__ballot_sync(0xffffffffu, x % 3 == 0));
  out[160 + lane] = __reduce_add_sync(0xffffffffu, x);
  out[192 + lane] = __reduce_max_sync(0xffffffffu, x);
  out[224 + lane] = static_cast<int>(__match_any_sync(0xffffffffu, x % 4));
}

template <class T>
T* at(uint64_t address) {
  return reinterpret_cast<T*>(address);
}

}  // namespace
}  // namespace apnt::cuda

PYBIND11_MODULE(apnt_cuda_on_cpu, m) {
  using namespace apnt::cuda;
  m.def("set_schedule", &apnt::on_cpu::set_schedule);
  m.def("counters", [] {
    const apnt::on_cpu::Counters c = apnt::on_cpu::counters();
    pybind11::dict out;
    out["launches"] = c.launches;
    out["blocks"] = c.blocks;
    out["barriers"] = c.barriers;
    out["collectives"] = c.collectives;
    out["largest_shared"] = c.largest_shared;
    return out;
  });
  m.def("multiply_f16", [](uint64_t a, uint64_t b, uint64_t c) {
    APNT_LAUNCH(multiply<Kind::f16>, 1, 32, 0, nullptr, at<uint32_t>(a), at<uint32_t>(b), at<float>(c));
  });
  m.def("multiply_bf16", [](uint64_t a, uint64_t b, uint64_t c) {
    APNT_LAUNCH(multiply<Kind::bf16>, 1, 32, 0, nullptr, at<uint32_t>(a), at<uint32_t>(b), at<float>(c));
  });
  m.def("multiply_tf32", [](uint64_t a, uint64_t b, uint64_t c) {
    APNT_LAUNCH(multiply<Kind::tf32>, 1, 32, 0, nullptr, at<uint32_t>(a), at<uint32_t>(b), at<float>(c));
  });
  m.def("load_matrices", [](uint64_t rows, uint64_t out, bool transposed) {
    APNT_LAUNCH(load_matrices, 1, 32, 32 * sizeof(uint4), nullptr, at<uint4>(rows), at<uint32_t>(out),
                transposed);
  });
  m.def("warp_functions", [](uint64_t in, uint64_t out) {
    APNT_LAUNCH(warp_functions, 1, 32, 0, nullptr, at<int>(in), at<int>(out));
  });
  m.def("to_tf32", [](float x) { return __uint_as_float(to_tf32(x)); });
}

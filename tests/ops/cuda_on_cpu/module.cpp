// Python's side of the CUDA kernels on the CPU: the stand-in's controls, and single instructions to be
// checked. The kernels of the ops register themselves as operators (csrc/cuda/ops.cpp) when this module is
// loaded. Arrays come as addresses.
#include <pybind11/pybind11.h>

#include "cuda/mma.cuh"
#include "cuda/runtime.cuh"
#include "on_cpu.h"

namespace apnt::cuda {
namespace {

// c (16, 8) += a (16, K) b (K, 8), row by row, by one warp; a and b in registers' words.
template <class T>
__global__ void multiply(const uint32_t* a, const uint32_t* b, float* c) {
  const int lane = threadIdx.x;
  const uint32_t ra[4] = {a[4 * lane], a[4 * lane + 1], a[4 * lane + 2], a[4 * lane + 3]};
  const uint32_t rb[2] = {b[2 * lane], b[2 * lane + 1]};
  float rc[4];
  for (int i = 0; i < 4; ++i) rc[i] = c[4 * lane + i];
  mma(rc, ra, rb, T());
  for (int i = 0; i < 4; ++i) c[4 * lane + i] = rc[i];
}

// Four 8 x 8 matrices, one after the other, from device memory through shared memory to registers.
__global__ void load_matrices(const uint32_t* rows, uint32_t* out) {
  APNT_DYNAMIC_SHARED(uint32_t, tile);  // a row has four words
  const int lane = threadIdx.x;
  cp_async_16(&tile[4 * lane], &rows[4 * lane], true);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();
  uint32_t r[4];
  ldmatrix_x4(r, &tile[4 * lane]);
  for (int i = 0; i < 4; ++i) out[4 * lane + i] = r[i];
}

// Values of a warp, once through every warp function: (4, 32).
__global__ void warp_functions(const int* in, int* out) {
  const int lane = threadIdx.x, x = in[lane];
  out[lane] = __shfl_up_sync(0xffffffffu, x, 3);
  out[32 + lane] = __shfl_xor_sync(0xffffffffu, x, 9);
  out[64 + lane] = static_cast<int>(__match_any_sync(0xffffffffu, x % 4));
  out[96 + lane] = static_cast<int>(__reduce_or_sync(0xffffffffu, 1u << x % 32));
}

template <class T>
void multiply_at(uint64_t a, uint64_t b, uint64_t c) {
  APNT_LAUNCH(multiply<T>, 1, 32, 0, nullptr, reinterpret_cast<const uint32_t*>(a),
              reinterpret_cast<const uint32_t*>(b), reinterpret_cast<float*>(c));
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
  m.def("multiply_f16", &multiply_at<__half>);
  m.def("multiply_bf16", &multiply_at<__nv_bfloat16>);
  m.def("multiply_tf32", &multiply_at<float>);
  m.def("load_matrices", [](uint64_t rows, uint64_t out) {
    APNT_LAUNCH(load_matrices, 1, 32, 32 * 16, nullptr, reinterpret_cast<const uint32_t*>(rows),
                reinterpret_cast<uint32_t*>(out));
  });
  m.def("warp_functions", [](uint64_t in, uint64_t out) {
    APNT_LAUNCH(warp_functions, 1, 32, 0, nullptr, reinterpret_cast<const int*>(in),
                reinterpret_cast<int*>(out));
  });
  m.def("to_tf32", [](float x) { return __uint_as_float(to_tf32(x)); });
}

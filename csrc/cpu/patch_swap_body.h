// patch_swap for one set of instructions: the file that includes this says which, by its name and by APNT_BODY.
#pragma once

#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "common/half.h"
#include "common/parallel.h"
#include "cpu/patch_swap.h"
#include "cpu/patch_swap_build.h"

namespace apnt::cpu {
namespace {

constexpr int kChannels = 4;                      // planes that walk through a plan together
constexpr int64_t kStep = 64;                     // bytes of a run copied at a time
constexpr int64_t kPlanReads = 32 << 10;          // reads in a plan before it is carried out
constexpr int64_t kStreamedBytes = 16 << 20;      // results from this size on bypass the caches
constexpr int64_t kTaskElements = 32 << 10;       // least work of a thread

template <class T>
struct Sum {
  using type = float;
};
template <>
struct Sum<double> {
  using type = double;
};

// Copies bytes in whole steps where what lies behind may be read and overwritten, else exactly.
inline void copy_run(char* to, const char* from, int64_t length, int64_t readable) {
  if (length + kStep > readable) {
    std::memcpy(to, from, length);
    return;
  }
  for (int64_t i = 0; i < length; i += kStep) std::memcpy(to + i, from + i, kStep);
}

inline void write_row(char* to, const char* from, int64_t length, bool stream) {
#ifdef __SSE2__
  if (stream) {
    const int64_t head = std::min<int64_t>(length, -reinterpret_cast<intptr_t>(to) & 63);
    std::memcpy(to, from, head);
    int64_t i = head;
    for (; i + 64 <= length; i += 64) {
#ifdef __AVX__
      const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
      const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i + 32));
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i), a);
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i + 32), b);
#else
      for (int j = 0; j < 64; j += 16) {
        const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i + j));
        _mm_stream_si128(reinterpret_cast<__m128i*>(to + i + j), a);
      }
#endif
    }
    std::memcpy(to + i, from + i, length - i);
    return;
  }
#endif
  (void)stream;
  std::memcpy(to, from, length);
}

// Weighted sums of `Reads` reads each (0: as many as the pixel says), for K planes.
template <int Reads, int K, class T, class Acc>
void gather(const List<Acc>& list, int64_t begin, int64_t end, const T* const* in, T* const* out) {
  const T* planes[K];
  T* rows[K];
  for (int k = 0; k < K; ++k) {
    planes[k] = in[k];
    rows[k] = out[k];
  }
  for (int64_t i = begin; i < end; ++i) {
    const Pixel<Acc>& pixel = list.pixels[i];
    const Read<Acc>* read = list.reads.data() + pixel.first;
    Acc sum[K] = {};
    const int reads = Reads > 0 ? Reads : pixel.reads;
    for (int d = 0; d < reads; ++d) {
      for (int k = 0; k < K; ++k) sum[k] += read[d].weight * to_float(planes[k][read[d].from]);
    }
    for (int k = 0; k < K; ++k) store(rows[k] + pixel.x, sum[k] * pixel.scale);
  }
}

template <int K, class T, class Acc>
void gather_row(const Plan<Acc>& plan, int64_t row, const T* const* in, T* const* out) {
  using Gather = void (*)(const List<Acc>&, int64_t, int64_t, const T* const*, T* const*);
  static constexpr Gather by_reads[kListed + 1] = {
      gather<0, K, T, Acc>, gather<1, K, T, Acc>, gather<2, K, T, Acc>, gather<3, K, T, Acc>, gather<4, K, T, Acc>,
      gather<5, K, T, Acc>, gather<6, K, T, Acc>, gather<7, K, T, Acc>, gather<8, K, T, Acc>, gather<9, K, T, Acc>,
  };
  for (int d = 0; d <= kListed; ++d) {
    const int64_t begin = row == 0 ? 0 : plan.pixel_end[d][row - 1], end = plan.pixel_end[d][row];
    if (begin < end) by_reads[d](plan.lists[d], begin, end, in, out);
  }
}

// Rows of K planes as the plan says. They are put together in `rows` (K, stride), which the caches hold.
template <int K, class T, class Acc>
void carry_out(const Plan<Acc>& plan, const T* in, T* out, int64_t plane, int64_t w, T* rows, int64_t stride,
               bool stream) {
  const T* planes[K];
  T* buffers[K];
  for (int k = 0; k < K; ++k) {
    planes[k] = in + k * plane;
    buffers[k] = rows + k * stride;
  }
  int64_t run = 0;
  for (int64_t row = 0; row < plan.rows(); ++row) {
    for (; run < plan.run_end[row]; ++run) {
      const Run& r = plan.runs[run];
      for (int k = 0; k < K; ++k) {
        if (r.from == kZeros) {
          std::memset(static_cast<void*>(buffers[k] + r.x), 0, r.length * sizeof(T));
        } else {
          copy_run(reinterpret_cast<char*>(buffers[k] + r.x), reinterpret_cast<const char*>(planes[k] + r.from),
                   r.length * sizeof(T), (plane - r.from) * sizeof(T));
        }
      }
    }
    gather_row<K>(plan, row, planes, buffers);
    for (int k = 0; k < K; ++k) {
      write_row(reinterpret_cast<char*>(out + k * plane + row * w), reinterpret_cast<const char*>(buffers[k]),
                w * sizeof(T), stream);
    }
  }
}

// The rows [first, last) of all channels of one image.
template <class T, class Acc, class Builder>
void swap_rows(const SwapArgs& a, const T* in, T* out, int64_t first, int64_t last, bool stream, Builder& builder,
               Plan<Acc>& plan, Buffer<T>& rows) {
  const int64_t plane = a.h * a.w, stride = a.w + 2 * kStep / static_cast<int64_t>(sizeof(T));
  rows.resize(kChannels * stride);
  builder.begin(first, last);
  for (int64_t y = first; y < last;) {
    plan.clear();
    const int64_t top = y;
    while (y < last && plan.weight < kPlanReads) builder.row(y++, plan);
    int64_t c = 0;
    for (; c + kChannels <= a.c; c += kChannels) {
      carry_out<kChannels>(plan, in + c * plane, out + c * plane + top * a.w, plane, a.w, rows.data(), stride, stream);
    }
    for (; c < a.c; ++c) {
      carry_out<1>(plan, in + c * plane, out + c * plane + top * a.w, plane, a.w, rows.data(), stride, stream);
    }
  }
#ifdef __SSE2__
  if (stream) _mm_sfence();
#endif
}

template <class T>
void swap(const SwapArgs& a, bool transposed) {
  using Acc = typename Sum<T>::type;
  const int64_t plane = a.h * a.w, image = a.c * plane;
  const bool stream = a.n * image * static_cast<int64_t>(sizeof(T)) >= kStreamedBytes;
  // Chunks of rows: enough for all threads, and not so small that what they share at their ends counts.
  const int64_t most = transposed ? 64 : 32;
  const int64_t height = std::clamp<int64_t>(a.h * a.n / (4 * num_threads()), 8, most);
  const int64_t chunks = (a.h + height - 1) / height;
  const int64_t grain = std::max<int64_t>(1, kTaskElements / (height * a.w * a.c));

  Reach reach;
  const auto field = [&](int64_t n) {
    const int32_t* offset = a.offset + 2 * n * plane;
    return Field{offset, offset + plane, a.h, a.w, a.patch};
  };
  const auto work = [&](int64_t begin, int64_t end) {
    Plan<Acc> plan;
    Buffer<T> rows;
    while (begin < end) {
      const int64_t n = begin / chunks, stop = std::min(end, (n + 1) * chunks);
      const T* in = static_cast<const T*>(a.in) + n * image;
      T* out = static_cast<T*>(a.out) + n * image;
      const auto each = [&](auto& builder) {
        for (int64_t i = begin; i < stop; ++i) {
          const int64_t first = (i - n * chunks) * height, last = std::min(a.h, first + height);
          swap_rows(a, in, out, first, last, stream, builder, plan, rows);
        }
      };
      if (transposed) {
        Transposed<Acc> builder(field(n), reach);
        each(builder);
      } else {
        Forward<Acc> builder(field(n));
        each(builder);
      }
      begin = stop;
    }
  };
  if (!transposed) return parallel_for(0, a.n * chunks, grain, work);
  for (int64_t n = 0; n < a.n; ++n) {
    reach.resize(field(n));
    const auto fill = [&](int64_t begin, int64_t end) { reach.fill(field(n), begin, end); };
    parallel_for(0, a.h, std::max<int64_t>(1, kTaskElements / (a.w * a.patch * a.patch)), fill);
    parallel_for(n * chunks, (n + 1) * chunks, grain, work);
  }
}

}  // namespace

void APNT_BODY(const SwapArgs& a, bool transposed) {
  switch (a.type) {
    case Type::f32:
      return swap<float>(a, transposed);
    case Type::f64:
      return swap<double>(a, transposed);
    case Type::f16:
      return swap<half_t>(a, transposed);
    case Type::bf16:
      return swap<bfloat_t>(a, transposed);
  }
}

}  // namespace apnt::cpu

// upsample for one set of instructions, which compilers find the vectors of. The including file defines
// APNT_BODY, the name of the function.
#include "common/buffer.h"
#include "common/half.h"
#include "common/parallel.h"
#include "cpu/upsample.h"

namespace apnt::cpu {
namespace {

constexpr int64_t kGroup = 16;  // channels at once
constexpr int64_t kRowsOfAThread = 4;

// A quarter of the way from one value to another; exactly `from` where they are equal.
inline float quarter(float from, float to) { return from + 0.25f * (to - from); }

template <class T>
class Upsample {
 public:
  explicit Upsample(const UpsampleArgs& a) : a_(a), row_(a.w * a.c) {}

  void run() const {
    parallel_for(0, a_.n * a_.h, kRowsOfAThread, [&](int64_t begin, int64_t end) {
      Buffer<float> line(row_ + 2 * a_.c);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t y = i % a_.h;
        const T* const here = static_cast<const T*>(a_.x) + i * row_;
        const T* const above = y > 0 ? here - row_ : here;
        const T* const below = y + 1 < a_.h ? here + row_ : here;
        write_row(2 * i, here, above, line.get());
        write_row(2 * i + 1, here, below, line.get());
      }
    });
  }

 private:
  // Row `number` of all images' results.
  void write_row(int64_t number, const T* here, const T* other, float* line) const {
    const int64_t c = a_.c;
    float* const middle = line + c;  // beyond both ends lies a pixel as the last one
    for (int64_t i = 0; i < row_; ++i) middle[i] = quarter(to_float(here[i]), to_float(other[i]));
    for (int64_t i = 0; i < c; ++i) line[i] = middle[i], middle[row_ + i] = middle[row_ - c + i];
    T* const y = static_cast<T*>(a_.y) + number * 2 * row_;
    const T* const onto = a_.onto ? static_cast<const T*>(a_.onto) + number * 2 * row_ : nullptr;
    for (int64_t x = 0; x < a_.w; ++x)
      for (int64_t half = 0; half < 2; ++half) {  // beside the pixel before, and the one after
        const int64_t other_x = x - 1 + 2 * half, to = (2 * x + half) * c;
        write_pixel(middle + x * c, middle + other_x * c, onto ? onto + to : nullptr, y + to);
      }
  }

  void write_pixel(const float* from, const float* other, const T* onto, T* y) const {
    int64_t i = 0;
    for (; i + kGroup <= a_.c; i += kGroup)
      write(from + i, other + i, onto ? onto + i : nullptr, y + i, kGroup);
    if (i < a_.c) write(from + i, other + i, onto ? onto + i : nullptr, y + i, a_.c - i);
  }

  inline void write(const float* from, const float* other, const T* onto, T* y, int64_t count) const {
    for (int64_t i = 0; i < count; ++i) {
      float value = quarter(from[i], other[i]);
      if (onto) value += to_float(onto[i]);
      if (a_.relu) value = value < 0 ? 0 : value;  // NaN stays
      store(y + i, value);
    }
  }

  const UpsampleArgs& a_;
  const int64_t row_;  // elements
};

}  // namespace

void APNT_BODY(const UpsampleArgs& args) {
  args.bf16 ? Upsample<bfloat_t>(args).run() : Upsample<float>(args).run();
}

}  // namespace apnt::cpu

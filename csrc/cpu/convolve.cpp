#include "cpu/convolve.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/buffer.h"
#include "common/half.h"
#include "common/parallel.h"
#include "cpu/isa.h"
#include "cpu/rounding.h"

namespace apnt::cpu {

void convolve_portable(const ConvolveArgs&);
void convolve_avx2(const ConvolveArgs&);
void convolve_avx512(const ConvolveArgs&);
void convolve_avx512_bf16(const ConvolveArgs&);
void convolve_amx_bf16(const ConvolveArgs&);
void convolve_amx_bf16_emulated(const ConvolveArgs&);

namespace {

void run(const ConvolveArgs& a) {
  if (a.bf16) {
#ifdef __x86_64__
    if (isa() == Isa::avx512_bf16) switch (matrix_unit()) {
        case MatrixUnit::none:
          return convolve_avx512_bf16(a);
        case MatrixUnit::amx:
          return convolve_amx_bf16(a);
        case MatrixUnit::emulated:
          return convolve_amx_bf16_emulated(a);
      }
#endif
    throw std::runtime_error(std::string("convolutions of bfloat16 need avx512_bf16, got ") +
                             instruction_set());
  }
  switch (isa()) {
#ifdef __x86_64__
    case Isa::avx512_bf16:
    case Isa::avx512:
      return convolve_avx512(a);
    case Isa::avx2:
      return convolve_avx2(a);
#endif
    default:
      return convolve_portable(a);
  }
}

// Whether a kernel takes parts of any layout and number of channels: single pixels, and matrix units, which
// join what they read.
bool takes_any(const ConvolveArgs& a) { return a.side == 1 || (a.bf16 && matrix_unit() != MatrixUnit::none); }

bool fits(const ConvolveArgs& a, const ConvolvePart& part) {
  const bool whole = part.channel == 1 && part.channels % kConvolveChannels == 0;
  return part.bf16 == a.bf16 && (whole || takes_any(a));
}

template <class From, class To>
void copy_row(const ConvolvePart& part, int64_t image, int64_t y, int64_t width, int64_t to_pixel, To* to) {
  const From* from = static_cast<const From*>(part.x) + image * part.image + y * part.row;
  for (int64_t c = 0; c < part.channels; ++c)
    for (int64_t x = 0; x < width; ++x)
      store(to + x * to_pixel + c, to_float(from[x * part.pixel + c * part.channel]));
}

// The same convolution of parts that fit: neighbours that do not are joined into one, with channels of zeros
// behind theirs. Of all parts only the rows that are read remain.
class Joined {
 public:
  explicit Joined(const ConvolveArgs& a) : args_(a) {
    const int64_t reach = a.side / 2, first = std::max<int64_t>(a.top - reach, 0);
    args_.h = std::min(a.top + a.rows + reach, a.h) - first;
    args_.top = a.top - first;
    std::vector<int64_t> ends;  // of the channels of the result's parts, in those of the given ones
    const int64_t size = a.bf16 ? sizeof(bfloat_t) : sizeof(float);
    for (int64_t begin = 0, end = 0, c = 0; begin < a.count; begin = end) {
      int64_t channels = 0;
      for (end = begin; end < a.count && !fits(a, a.parts[end]); ++end) channels += a.parts[end].channels;
      if (end == begin) {
        ConvolvePart part = a.parts[end++];
        part.x = static_cast<const char*>(part.x) + first * part.row * size;
        parts_.push_back(part), c += part.channels;
      } else {
        join(a, first, begin, end, channels), c += channels;
      }
      ends.push_back(c);
    }
    set_weight(a, ends);
    args_.parts = parts_.data();
    args_.count = static_cast<int64_t>(parts_.size());
  }
  const ConvolveArgs& args() const { return args_; }

 private:
  // Parts [begin, end), from row `first` on.
  void join(const ConvolveArgs& a, int64_t first, int64_t begin, int64_t end, int64_t channels) {
    a.bf16 ? join_as<bfloat_t>(a, first, begin, end, channels)
           : join_as<float>(a, first, begin, end, channels);
  }

  template <class To>
  void join_as(const ConvolveArgs& a, int64_t first, int64_t begin, int64_t end, int64_t channels) {
    const int64_t all = round_up(channels, takes_any(a) ? 1 : kConvolveChannels), row = a.w * all,
                  rows = args_.h;
    memory_.emplace_back(a.n * rows * row * int64_t(sizeof(To)));
    To* const to = reinterpret_cast<To*>(memory_.back().get());
    parallel_for(0, a.n * rows, 1, [&](int64_t low, int64_t high) {
      for (int64_t i = low; i < high; ++i) {
        To* at = to + i * row;
        if (all != channels) std::memset(static_cast<void*>(at), 0, row * sizeof(To));
        for (int64_t p = begin; p < end; ++p) {
          const ConvolvePart& part = a.parts[p];
          if (part.bf16)
            copy_row<bfloat_t>(part, i / rows, first + i % rows, a.w, all, at);
          else
            copy_row<float>(part, i / rows, first + i % rows, a.w, all, at);
          at += part.channels;
        }
      }
    });
    parts_.push_back({to, all, rows * row, 1, row, all, a.bf16});
  }

  // With zeros for the channels of zeros, (K, side, side, C).
  void set_weight(const ConvolveArgs& a, const std::vector<int64_t>& ends) {
    int64_t all = 0;
    for (const ConvolvePart& part : parts_) all += part.channels;
    if (all == a.c) return;
    const int64_t taps = a.side * a.side;
    weight_.assign(a.k * taps * all, 0.0f);
    int64_t at = 0, c = 0;
    for (size_t p = 0; p < parts_.size(); at += parts_[p++].channels)
      for (int64_t i = 0; c < ends[p]; ++c, ++i)
        for (int64_t k = 0; k < a.k; ++k)
          for (int64_t t = 0; t < taps; ++t)
            weight_[(k * taps + t) * all + at + i] =
                a.weight[k * a.output + c * a.input + t / a.side * a.weight_row +
                         t % a.side * a.weight_column];
    args_.weight = weight_.data();
    args_.output = taps * all;
    args_.input = 1;
    args_.weight_row = a.side * all;
    args_.weight_column = all;
    args_.c = all;
  }

  ConvolveArgs args_;
  std::vector<ConvolvePart> parts_;
  std::deque<Buffer<char>> memory_;
  std::vector<float> weight_;
};

}  // namespace

void convolve(const ConvolveArgs& a) {
  if (std::all_of(a.parts, a.parts + a.count, [&](const ConvolvePart& part) { return fits(a, part); }))
    run(a);
  else
    run(Joined(a).args());
}

}  // namespace apnt::cpu

// Scores of single candidates, of features that lie in memory as (N, H, W, C): a row of a patch is one run of
// numbers there, and nothing need be packed. Internal linkage, see elements.h.
#pragma once

#include "common/parallel.h"
#include "cpu/window_match_pack.h"

namespace apnt::cpu {
namespace {

template <class I, class T>
class Points {
  using S = typename I::Scalar;
  using V = typename I::V;
  using Element = typename T::Element;
  static constexpr int64_t kVector = I::W * T::channels;  // elements
  static constexpr int kPairs = 4;                        // scored at once
  static constexpr int64_t kRows = 16;                    // of a thread, at least
  static constexpr S kBetter = S(1e-6);                   // beyond rounding: as in apnt/nn/matching.py

 public:
  explicit Points(const PropagatePlan& plan)
      : p(plan), half(p.patch / 2), run(p.patch * p.c), plane(p.h * p.w) {}

  // The centres, which have these scores, or those of the neighbours at a distance where they score more, by
  // more than rounding. What is alike is reckoned once.
  void propagate() const {
    parallel_for(0, p.n * p.h, kRows, [&](int64_t begin, int64_t end) {
      Queue queue(*this);
      for (int64_t i = begin; i < end; ++i) row(i / p.h, i % p.h, queue);
      queue.take();
    });
  }

 private:
  // A target pixel and an offset.
  struct Candidate {
    int64_t image, y, x;
    int32_t dy, dx;
  };

  // Candidates that wait for others, to be scored together. Those of a pixel are compared in their order.
  class Queue {
   public:
    explicit Queue(const Points& points) : points_(points), edge_(2 * kPairs * (points.run + kVector)) {}

    void add(const Candidate& candidate) {
      waiting_[count_++] = candidate;
      if (count_ == kPairs) take();
    }

    void take() {
      if (count_ == 0) return;
      for (int k = count_; k < kPairs; ++k) waiting_[k] = waiting_[count_ - 1];
      S scores[kPairs];
      points_.score(waiting_, edge_.get(), scores);
      for (int k = 0; k < count_; ++k)
        if (scores[k] > points_.score_of(waiting_[k]) + kBetter) points_.write(waiting_[k], scores[k]);
      count_ = 0;
    }

   private:
    const Points& points_;
    Buffer<Element> edge_;  // rows of patches that pass the image's border
    Candidate waiting_[kPairs];
    int count_ = 0;
  };

  void row(int64_t image, int64_t y, Queue& queue) const {
    const S* const found = static_cast<const S*>(p.found) + image * plane + y * p.w;
    const int32_t* const center = centers(image, y);
    const int32_t* const below = center + (smaller(y + p.distance, p.h - 1) - y) * p.w;
    const int32_t* const above = center + (larger(y - p.distance, 0) - y) * p.w;
    for (int64_t x = 0; x < p.w; ++x) {
      const int64_t right = smaller(x + p.distance, p.w - 1), left = larger(x - p.distance, 0);
      const int32_t* const around[4] = {below + x, above + x, center + right, center + left};
      Candidate tried[5] = {{image, y, x, center[x], center[plane + x]}};
      write(tried[0], found[x]);
      int count = 1;
      for (const int32_t* from : around) {
        if (alike(from, tried[0])) continue;
        const Candidate next = candidate(image, y, x, from);
        bool known = false;
        for (int k = 0; k < count; ++k) known |= next.dy == tried[k].dy && next.dx == tried[k].dx;
        if (known) continue;
        tried[count++] = next;
        queue.add(next);
      }
    }
  }

  const int32_t* centers(int64_t image, int64_t y) const { return p.center + 2 * image * plane + y * p.w; }

  bool alike(const int32_t* center, const Candidate& to) const {
    return center[0] == to.dy && center[plane] == to.dx;
  }

  // An offset that is somebody's, for this pixel: into the image.
  Candidate candidate(int64_t image, int64_t y, int64_t x, const int32_t* center) const {
    return {image, y, x, int32_t(larger(-y, smaller(p.h - 1 - y, center[0]))),
            int32_t(larger(-x, smaller(p.w - 1 - x, center[plane])))};
  }

  S& score_of(const Candidate& to) const {
    return static_cast<S*>(p.score)[to.image * plane + to.y * p.w + to.x];
  }

  void write(const Candidate& to, S score) const {
    int32_t* const offset = p.offset + 2 * to.image * plane + to.y * p.w + to.x;
    offset[0] = to.dy;
    offset[plane] = to.dx;
    score_of(to) = score;
  }

  void score(const Candidate (&to)[kPairs], Element* edge, S (&scores)[kPairs]) const {
    V sums[3][kPairs];  // products, squares of the source, of the target
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i)
#pragma GCC unroll 4
      for (int k = 0; k < kPairs; ++k) sums[i][k] = I::zero();
    for (int64_t dy = -half; dy <= half; ++dy) {
      const Element *source[kPairs], *target[kPairs];
      for (int k = 0; k < kPairs; ++k) {
        const int64_t y = to[k].y + dy, x = to[k].x - half;
        Element* const own = edge + 2 * k * (run + kVector);
        target[k] = patch_row(p.target, to[k].image, y, x, own);
        source[k] = patch_row(p.source, to[k].image, y + to[k].dy, x + to[k].dx, own + run + kVector);
      }
      for (int64_t u = 0; u < run; u += kVector) {
        const int64_t n = smaller(kVector, run - u);
#pragma GCC unroll 4
        for (int k = 0; k < kPairs; ++k) {
          const V a = load_channels<I, T>(target[k] + u, n), b = load_channels<I, T>(source[k] + u, n);
          sums[0][k] = I::dot(a, b, sums[0][k]);
          sums[1][k] = I::dot(b, b, sums[1][k]);
          sums[2][k] = I::dot(a, a, sums[2][k]);
        }
      }
    }
    S lanes[3 * kPairs + I::W];
    I::reduce(sums, lanes, kPairs);
    const V least = I::fill(S(kNormFloor * kNormFloor));
    V score = I::load(lanes);
    if (p.norm == Norm::search || p.norm == Norm::cosine)
      score = I::div(score, I::sqrt(I::max(least, I::load(lanes + kPairs))));
    if (p.norm == Norm::cosine || p.norm == Norm::paper)
      score = I::div(score, I::sqrt(I::max(least, I::load(lanes + 2 * kPairs))));
    I::store(lanes, score);
    for (int k = 0; k < kPairs; ++k) scores[k] = lanes[k];
  }

  // A patch's row from (y, x) on: where it lies, or copied to `edge` with zeros outside the image.
  const Element* patch_row(const void* features, int64_t image, int64_t y, int64_t x, Element* edge) const {
    const bool known = y >= 0 && y < p.h;
    const Element* const row = static_cast<const Element*>(features) + (image * plane + y * p.w) * p.c;
    if (known && x >= 0 && x + p.patch <= p.w) return row + x * p.c;
    __builtin_memset(edge, 0, size_t(run) * sizeof(Element));
    const int64_t first = larger(x, 0), last = smaller(x + p.patch, p.w);
    if (known && first < last)
      __builtin_memcpy(edge + (first - x) * p.c, row + first * p.c,
                       size_t((last - first) * p.c) * sizeof(Element));
    return edge;
  }

  const PropagatePlan& p;
  const int64_t half, run, plane;  // pixels to each side of a patch's centre; elements of its rows; pixels
};

template <class I, class T>
void propagate(const PropagatePlan& plan) {
  Points<I, T>(plan).propagate();
}

}  // namespace
}  // namespace apnt::cpu

// The matrix products of the convolutions, kept in the caches. Internal linkage, see elements.h.
#pragma once

#include <cstdint>

namespace apnt::cpu {
namespace {

// Rows of a product are made in blocks that divide this, whatever the number of columns.
constexpr int64_t kProductRows = 24;

// Columns of a product, R rows by N vectors of class X: m = sum_s v_s u_s, with (rows, C), (C, ...) and
// (rows, ...). Units of X fill C, as they fill the columns of u.
template <class X, int R, int N, int S>
void multiply_block(const float* const (&v)[S], int64_t i0, int64_t c, const float* u, int64_t k, int64_t all,
                    float* m) {
  using V = typename X::V;
  V sum[R][N];
#pragma GCC unroll 32
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) sum[i][j] = X::zero();
  for (int s = 0; s < S; ++s) {
    const float* const rows = v[s] + i0 * c;
    const float* const filters = u + s * all;
    for (int64_t q = 0; q < c; ++q) {
      V b[N];
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) b[j] = X::load_once(filters + q * k + j * X::W);
#pragma GCC unroll 32
      for (int i = 0; i < R; ++i) {
        const V x = X::fill(rows[i * c + q]);
#pragma GCC unroll 4
        for (int j = 0; j < N; ++j) sum[i][j] = X::dot(x, b[j], sum[i][j]);
      }
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) X::store(m + (i0 + i) * k + j * X::W, sum[i][j]);
}

// The sum of S products: v_s (rows, c) times u_s (c, k), rows a multiple of kProductRows, k of X::W; u_s lie
// one after the other. As many sums as there are registers for.
template <class X, int S>
void multiply(const float* const (&v)[S], int64_t c, const float* u, int64_t k, float* m, int64_t rows) {
  int64_t left = k / X::W;
  const int64_t all = c * k;
  const auto columns = [&](auto block, int64_t high, int64_t vectors) {
    for (int64_t i = 0; i < rows; i += high) block(v, i, c, u, k, all, m);
    left -= vectors, u += vectors * X::W, m += vectors * X::W;
  };
  if constexpr (X::W == 16) {
    while (left >= 6 || left == 4) columns(multiply_block<X, 6, 4, S>, 6, 4);
    while (left >= 3) columns(multiply_block<X, 8, 3, S>, 8, 3);
    while (left >= 2) columns(multiply_block<X, 12, 2, S>, 12, 2);
    while (left >= 1) columns(multiply_block<X, 24, 1, S>, 24, 1);
  } else {
    while (left >= 2) columns(multiply_block<X, 6, 2, S>, 6, 2);
    while (left >= 1) columns(multiply_block<X, 12, 1, S>, 12, 1);
  }
}

}  // namespace
}  // namespace apnt::cpu

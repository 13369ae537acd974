// omninorm_scaler_bench FILE ROWS COLUMNS: the scalers on a matrix of f32 (row by row, no header)
// beside a copy and a read of its bytes, on one thread. Times every side once for each line that it
// reads, and prints the seconds as one line of JSON: scaler_speed.py drives it, turn and turn about
// with scikit-learn.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/machine.h"
#include "omninorm/scaler.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace omninorm::bench {
namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

template <class T>
using Memory = std::unique_ptr<T, Free>;

// 64-byte aligned, every page touched.
template <class T>
Memory<T> memory_of(std::size_t count) {
  void* memory = std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64);
  if (!memory) throw std::bad_alloc();
  std::memset(memory, 0, count * sizeof(T));
  return Memory<T>(static_cast<T*>(memory));
}

#if defined(__SSE2__)
void copy_streaming(float* to, const float* from, std::size_t count) {
  for (std::size_t i = 0; i + 4 <= count; i += 4) _mm_stream_ps(to + i, _mm_load_ps(from + i));
  _mm_sfence();
}
#endif

// Every byte, in vectors of 16, with prefetching as far ahead as the scalers' and without.
template <bool kPrefetches>
std::uint64_t read(const float* from, std::size_t count) {
  using Vector [[gnu::vector_size(16)]] = std::uint64_t;
  Vector sums[4] = {};
  const auto* p = reinterpret_cast<const Vector*>(from);
  for (const Vector* end = p + count / 16 * 4; p != end; p += 4) {
    if constexpr (kPrefetches) __builtin_prefetch(p + 2048 / sizeof(Vector));
    for (int k = 0; k < 4; ++k) sums[k] ^= p[k];
  }
  const Vector all = sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
  return all[0] ^ all[1];
}

using Side = std::pair<std::string, std::function<void()>>;

// One matrix in one type and layout, and the scalers' sides on it.
template <class T>
class Matrix {
 public:
  Matrix(const float* values, std::int64_t rows, std::int64_t columns, bool by_rows)
      : sizes_{rows, columns}, strides_{by_rows ? columns : 1, by_rows ? 1 : rows} {
    const auto count = static_cast<std::size_t>(rows * columns);
    x_ = memory_of<T>(count);
    y_ = memory_of<T>(count);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) {
        x_.get()[i * strides_[0] + j * strides_[1]] = static_cast<T>(values[i * columns + j]);
      }
    }
  }

  template <class Kind>
  void add_sides(const std::string& name, std::vector<Side>& sides) {
    const auto scaler = std::make_shared<Kind>();
    scaler->fit(x(), {}, context());
    sides.emplace_back(name + " fit", [this] { Kind().fit(x(), {}, context()); });
    sides.emplace_back(name + " transform",
                       [this, scaler] { scaler->transform(x(), y(), {}, context()); });
  }

  // The scalers' results, for the comparison with scikit-learn's.
  template <class Kind>
  nlohmann::json summary() {
    Kind scaler;
    scaler.fit(x(), {}, context());
    nlohmann::json centers = nlohmann::json::array(), scales = centers;
    for (std::int64_t j = 0; j < sizes_[1]; ++j) {
      centers.push_back(scaler.summary(j).center);
      scales.push_back(scaler.summary(j).scale);
    }
    return {{"center", centers}, {"scale", scales}};
  }

 private:
  static Context context() { return {.executor = &serial_executor()}; }
  ConstTensor x() const { return {x_.get(), DTypeOf<T>::value, sizes_, strides_}; }
  Tensor y() const { return {y_.get(), DTypeOf<T>::value, sizes_, strides_}; }

  std::int64_t sizes_[2], strides_[2];
  Memory<T> x_, y_;
};

int run(const char* path, std::int64_t rows, std::int64_t columns) {
  const auto count = static_cast<std::size_t>(rows * columns);
  auto values = memory_of<float>(count), copy = memory_of<float>(count);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(values.get()),
            static_cast<std::streamsize>(count * sizeof(float)));
  if (!file) throw std::runtime_error(std::string("cannot read ") + path);

  std::vector<Side> sides;
  volatile std::uint64_t sink = 0;
  sides.emplace_back("copy", [&] { std::memcpy(copy.get(), values.get(), count * sizeof(float)); });
#if defined(__SSE2__)
  sides.emplace_back("copy streaming", [&] { copy_streaming(copy.get(), values.get(), count); });
#endif
  sides.emplace_back("read", [&] { sink = read<false>(values.get(), count); });
  sides.emplace_back("read prefetching", [&] { sink = read<true>(values.get(), count); });
  Matrix<float> f32(values.get(), rows, columns, true), f32_c(values.get(), rows, columns, false);
  Matrix<double> f64(values.get(), rows, columns, true), f64_c(values.get(), rows, columns, false);
  f32.add_sides<ZScoreScaler>("z_score f32 rows", sides);
  f32.add_sides<MinMaxScaler>("min_max f32 rows", sides);
  f32_c.add_sides<ZScoreScaler>("z_score f32 columns", sides);
  f32_c.add_sides<MinMaxScaler>("min_max f32 columns", sides);
  f64.add_sides<ZScoreScaler>("z_score f64 rows", sides);
  f64_c.add_sides<ZScoreScaler>("z_score f64 columns", sides);

  const nlohmann::json start = {{"machine", describe_machine()},
                                {"z_score", f32.summary<ZScoreScaler>()},
                                {"min_max", f32.summary<MinMaxScaler>()}};
  std::cout << start.dump() << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
    nlohmann::json seconds;
    for (const auto& [name, side] : sides) {
      side();  // meets the caches as it leaves them itself
      const auto begin = std::chrono::steady_clock::now();
      side();
      seconds[name] =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    std::cout << seconds.dump() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace omninorm::bench

int main(int argc, char** argv) {
  const std::int64_t rows = argc == 4 ? std::atoll(argv[2]) : 0;
  const std::int64_t columns = argc == 4 ? std::atoll(argv[3]) : 0;
  if (rows < 1 || columns < 1) {
    std::fprintf(stderr, "usage: omninorm_scaler_bench FILE ROWS COLUMNS\n");
    return 2;
  }
  try {
    return omninorm::bench::run(argv[1], rows, columns);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "omninorm_scaler_bench: %s\n", error.what());
    return 1;
  }
}

// libFuzzer on the files of scalers: whatever stands in one, load_scaler gives an Error that says
// why, or a scaler that works and whose own file gives it back to the bit.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "omninorm/scaler.h"

namespace omninorm::fuzz {
namespace {

[[noreturn]] void found(const char* what, const std::string& detail) {
  std::fprintf(stderr, "%s: %s\n", what, detail.c_str());
  std::abort();
}

// What may be refused for the numbers that it holds, and then changes nothing.
template <class Call>
void try_change(Scaler& scaler, Call&& call) {
  const std::string before = scaler.to_json();
  try {
    call();
  } catch (const Error&) {
    if (scaler.to_json() != before) found("changed by what it refused", before);
  }
  const std::string after = scaler.to_json();
  if (!load_scaler(after)->same_state(scaler)) found("another when read again", after);
}

void use(Scaler& scaler) {
  const std::int64_t columns = scaler.columns();
  if (columns >= 0) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const ColumnSummary s = scaler.summary(j);
      if (s.constant && s.scale != 1) found("a constant column that is scaled", scaler.to_json());
      if (s.count > 0 && !(s.scale > 0)) found("a scale that is not positive", scaler.to_json());
    }
    std::vector<double> x(static_cast<std::size_t>(2 * columns), 1.5), y(x.size());
    const ConstTensor from(x.data(), {2, columns});
    const Tensor to(y.data(), {2, columns});
    scaler.transform(from, to);
    scaler.inverse_transform(from, to);
    try_change(scaler, [&] { scaler.partial_fit(from); });
  }
  try_change(scaler, [&] { scaler.merge(*scaler.clone()); });
}

}  // namespace
}  // namespace omninorm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace omninorm;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::unique_ptr<Scaler> scaler;
  try {
    scaler = load_scaler(text);
  } catch (const Error& error) {
    const std::string_view what = error.what();
    if (what.find("] expected ") == std::string_view::npos) fuzz::found("unclear", error.what());
    return 0;
  }
  const std::string written = scaler->to_json();
  const std::unique_ptr<Scaler> again = load_scaler(written);
  if (!again->same_state(*scaler) || again->to_json() != written) {
    fuzz::found("another when read again", written);
  }
  fuzz::use(*scaler);
  return 0;
}

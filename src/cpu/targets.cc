#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "omninorm/cpu.h"
#include "omninorm/error.h"
#include "src/core/kernel_list.h"
#include "src/cpu/row_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/cpu/targets.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {
inline const char* target_name() { return hwy::TargetName(HWY_TARGET); }
}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace omninorm {
namespace internal {
namespace {

HWY_EXPORT(target_name);

// Bits of the targets that were compiled and that this machine can run; the lowest is the best.
// Highway itself would run its fallback, silently, for a target that was not compiled.
std::int64_t usable_targets() {
  std::int64_t targets = HWY_TARGETS & hwy::SupportedTargets();
#if HWY_ARCH_X86 && !defined(HWY_AVX3_ZEN4)
  // Compiled with more than Highway asks for, see hwy_compat-inl.h.
  if (!__builtin_cpu_supports("avx512bf16")) targets &= ~std::int64_t{HWY_AVX3_DL};
#endif
  return targets;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void use_target(const std::string& name, const char* who) {
  std::int64_t chosen = name.empty() ? usable_targets() : 0;
  for (std::int64_t bits = usable_targets(); bits != 0; bits &= bits - 1) {
    const std::int64_t target = bits & -bits;
    if (name == hwy::TargetName(target)) chosen = target;
  }
  if (chosen == 0) {
    throw Error(std::string(who) + " expected one of " + joined(cpu_targets()) + ", got \"" + name +
                "\"");
  }
  hwy::GetChosenTarget().Update(chosen);
  ++choice_version;
}

const char* target_in_use() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

std::once_flag first_choice;

}  // namespace

void choose_cpu_target() {
  // An Error leaves the flag unset, so that each later call tells the user again.
  std::call_once(first_choice, [] {
    const char* name = std::getenv("OMNINORM_TARGET");
    use_target(name ? name : "", "[OMNINORM_TARGET]");
  });
}

const char* decline_rows(const NormView& view, DType x) {
  if (x == DType::f64) return "f64 is computed by the reference";
  if (view.pool_n) return "statistics are pooled over n";
  if (view.s != 1) return "s is not 1";
  if (view.c_rank != 1) return "c is several dimensions";
  if (view.n == 0 || view.g == 0 || view.c == 0) return "there is nothing to do";
  return nullptr;
}

const char* decline_operand(const NormView& view, const NormStrides& strides) {
  return view.c > 1 && strides.c != 1 ? "c is not contiguous" : nullptr;
}

}  // namespace internal

std::vector<std::string> cpu_targets() {
  std::vector<std::string> names;
  for (std::int64_t bits = internal::usable_targets(); bits != 0; bits &= bits - 1) {
    names.emplace_back(hwy::TargetName(bits & -bits));
  }
  return names;
}

std::string cpu_target() {
  internal::choose_cpu_target();
  return internal::target_in_use();
}

void set_cpu_target(const std::string& target) {
  // The choice made here stands; the environment is not read afterwards.
  std::call_once(internal::first_choice, [] {});
  internal::use_target(target, "[set_cpu_target]");
}

}  // namespace omninorm
#endif  // HWY_ONCE

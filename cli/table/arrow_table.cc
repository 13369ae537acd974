#include "cli/table/arrow_table.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <string_view>

#include "cli/program.h"
#include "cli/table/arrow/plugin.h"
#include "omninorm/version.h"

namespace omninorm::cli {
namespace {

namespace fs = std::filesystem;

// Beside the program in a build folder, below the libraries where it is installed; "" if nowhere.
fs::path find_plugin() {
  std::error_code error;
  const fs::path root = fs::read_symlink("/proc/self/exe", error).parent_path().parent_path();
  for (const fs::path& place : {root / "lib" / arrow_plugin_file,
                                root / OMNINORM_LIBDIR / "omninorm" / arrow_plugin_file}) {
    if (fs::is_regular_file(place, error)) return place;
  }
  return {};
}

[[noreturn]] void not_here(const std::string& name, const std::string& format,
                           const std::string& why) {
  throw UsageError(fmt::format("{}: {} files need Apache Arrow: {}", name,
                               format == "parquet" ? "Parquet" : "Arrow", why));
}

// Loaded once, and never unloaded: Arrow's threads may still be there.
const ArrowPlugin& plugin(const std::string& name, const std::string& format) {
  static const ArrowPlugin* loaded = nullptr;
  if (loaded != nullptr) return *loaded;
  const fs::path file = find_plugin();
  if (file.empty()) {
    not_here(
        name, format,
        "this omninorm was built without it. pip install 'pyarrow==" OMNINORM_PYARROW
        "', set OMNINORM_PYTHON to that Python and build again (./dev test does all of it), or "
        "use csv or npy");
  }
  void* const library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    not_here(name, format,
             fmt::format("{}. The Python package pyarrow that omninorm was built with has its "
                         "libraries: install it again, or build omninorm again",
                         ::dlerror()));
  }
  using Entry = const ArrowPlugin* (*)();
  const auto entry = reinterpret_cast<Entry>(::dlsym(library, arrow_plugin_symbol));
  if (entry == nullptr || entry()->version != std::string_view(OMNINORM_VERSION) ||
      entry()->abi != arrow_plugin_abi) {
    not_here(name, format, fmt::format("{} is of another build of omninorm", file.string()));
  }
  loaded = entry();
  return *loaded;
}

}  // namespace

std::unique_ptr<TableReader> open_arrow_table(std::unique_ptr<ByteSource> source,
                                              const ReadOptions& options,
                                              const std::string& format) {
  const ArrowPlugin& arrow = plugin(source->name(), format);
  return arrow.open(std::move(source), options, format);
}

std::unique_ptr<TableWriter> create_arrow_table(std::unique_ptr<ByteSink> sink,
                                                const Schema& schema, const std::string& format) {
  const ArrowPlugin& arrow = plugin(sink->name(), format);
  return arrow.create(std::move(sink), schema, format);
}

}  // namespace omninorm::cli

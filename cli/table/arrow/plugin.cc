#include "cli/table/arrow/plugin.h"

#include "cli/table/arrow/arrow_tables.h"
#include "omninorm/version.h"

extern "C" __attribute__((visibility("default"))) const omninorm::cli::ArrowPlugin*
omninorm_arrow_plugin() {
  static constexpr omninorm::cli::ArrowPlugin plugin = {
      OMNINORM_VERSION, omninorm::cli::arrow_plugin_abi, omninorm::cli::read_arrow_table,
      omninorm::cli::write_arrow_table};
  return &plugin;
}

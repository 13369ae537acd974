// `omninorm scale show --html`: a page of what a scaler does to a table.
#pragma once

#include <string>

#include "cli/scale/common.h"
#include "omninorm/scaler.h"

namespace omninorm::cli {

struct ScalePage {
  std::string headline;  // plain text
  std::string html;
};

// Reads the table twice. `scaler_name` and `file` are what people call them; `options` are the
// scaler's, in words. Throws UsageError for a table that the scaler does not fit.
ScalePage scale_page(const Scaler& scaler, const std::string& scaler_name,
                     const std::string& options, const std::string& file, const TableFlags& flags);

// "data.html" of "folder/data.csv.gz".
std::string page_name(const std::string& file);

}  // namespace omninorm::cli

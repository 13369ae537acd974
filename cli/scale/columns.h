// Which columns of a table a scaler is about.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "cli/table/table.h"
#include "omninorm/scaler.h"

namespace omninorm::cli {

// The columns that the words of a flag name, in the table's order, each once. A word is a name, or
// several with commas between them; of a table without names, places from 0. UsageError for one
// that is not there.
std::vector<std::size_t> find_columns(const Schema& schema, const std::vector<std::string>& words,
                                      const std::string& flag, const std::string& file);

// Where each fitted column stands in the table. By name where table and scaler have names, else by
// place: of the table that was fitted, or of one that has the fitted columns alone. UsageError for
// a column that is missing or there twice, and for another count of columns without names.
std::vector<std::size_t> match_columns(const Schema& schema, const Scaler& scaler,
                                       const std::string& file);

// The table has names, but the scaler was fitted where there were none: they go by place.
bool named_without_use(const Schema& schema, const Scaler& scaler);
constexpr const char* by_place_note =
    ": columns go by place, not by name, as the scaler was fitted without names";

// Names, quoted, for messages.
std::vector<std::string> names_of(const Schema& schema, const std::vector<std::size_t>& columns);

// The number columns of batches of this schema: the place of each field among them, or npos.
std::vector<std::size_t> number_places(const Schema& schema);

// "data.csv row 7 (line 8), column "price"": for a value of a batch.
std::string place_text(const std::string& file, const Batch& batch, std::int64_t row,
                       const std::string& column);

}  // namespace omninorm::cli

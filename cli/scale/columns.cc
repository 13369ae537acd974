#include "cli/scale/columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <unordered_set>

#include "cli/program.h"
#include "cli/table/cells.h"

namespace omninorm::cli {
namespace {

// The columns by name.
class Names {
 public:
  explicit Names(const Schema& schema) : schema_(schema) {
    for (std::size_t j = 0; j < schema.fields.size(); ++j) {
      const auto [at, fresh] = columns_.try_emplace(schema.fields[j].name, j);
      if (!fresh) repeated_.insert(schema.fields[j].name);
    }
  }

  bool has(const std::string& name) const { return columns_.contains(name); }

  // The one column of that name.
  std::size_t at(const std::string& name, const std::string& before) const {
    const auto found = columns_.find(name);
    if (found == columns_.end()) {
      throw UsageError(fmt::format("{} expected a column {}, got {}{}", before, shown(name), all(),
                                   schema_.named ? "" : " (places, as there are no names)"));
    }
    if (repeated_.contains(name)) {
      throw UsageError(fmt::format("{} expected one column {}, got several", before, shown(name)));
    }
    return found->second;
  }

  std::string all() const {
    std::vector<std::string> names;
    for (const Field& field : schema_.fields) names.push_back(field.name);
    return shown_list(names);
  }

 private:
  const Schema& schema_;
  std::unordered_map<std::string, std::size_t> columns_;
  std::unordered_set<std::string> repeated_;
};

// A table without names calls its columns by their places.
bool are_places(const std::vector<std::string>& names) {
  for (std::size_t j = 0; j < names.size(); ++j) {
    if (names[j] != std::to_string(j)) return false;
  }
  return !names.empty();
}

std::vector<std::size_t> match_places(const Schema& schema, const Scaler& scaler,
                                      const std::string& file) {
  const FittedOn& on = scaler.fitted_on();
  const auto fitted = static_cast<std::size_t>(scaler.columns());
  const std::size_t count = schema.fields.size();
  std::vector<std::size_t> places;
  if (count == on.table_columns.size() && !on.column_names.empty()) {
    std::unordered_map<std::string, std::size_t> place_of;
    for (std::size_t j = 0; j < count; ++j) place_of.try_emplace(on.table_columns[j], j);
    for (const std::string& name : on.column_names) {
      if (const auto found = place_of.find(name); found != place_of.end()) {
        places.push_back(found->second);
      }
    }
    if (places.size() == fitted) return places;
    places.clear();
  }
  if (count != fitted) {
    const bool other_table = !on.table_columns.empty() && on.table_columns.size() != fitted;
    throw UsageError(fmt::format(
        "{}: without names to go by, expected {} columns, as fitted{}, got {}{}", file, fitted,
        other_table
            ? fmt::format(", or the {} of the table that was fitted", on.table_columns.size())
            : "",
        count,
        schema.named ? fmt::format(" ({}); the scaler has no column names", Names(schema).all())
                     : ""));
  }
  for (std::size_t j = 0; j < count; ++j) places.push_back(j);
  return places;
}

}  // namespace

std::vector<std::size_t> find_columns(const Schema& schema, const std::vector<std::string>& words,
                                      const std::string& flag, const std::string& file) {
  std::vector<std::size_t> columns;
  const std::string before = fmt::format("{}: {}", file, flag);
  const Names names(schema);
  for (const std::string& word : words) {
    if (names.has(word)) {
      columns.push_back(names.at(word, before));
      continue;
    }
    for (std::size_t from = 0; from <= word.size();) {
      const std::size_t comma = std::min(word.find(',', from), word.size());
      columns.push_back(names.at(word.substr(from, comma - from), before));
      from = comma + 1;
    }
  }
  std::ranges::sort(columns);
  const auto repeated = std::ranges::unique(columns);
  columns.erase(repeated.begin(), repeated.end());
  return columns;
}

bool named_without_use(const Schema& schema, const Scaler& scaler) {
  const FittedOn& on = scaler.fitted_on();
  if (!schema.named) return false;
  if (on.column_names.empty()) return true;
  // "0", "1", ... may be names all the same, as pandas gives them: one that is there is meant.
  const Names names(schema);
  return are_places(on.table_columns) &&
         std::ranges::none_of(on.column_names, [&](const auto& name) { return names.has(name); });
}

std::vector<std::size_t> match_columns(const Schema& schema, const Scaler& scaler,
                                       const std::string& file) {
  const FittedOn& on = scaler.fitted_on();
  if (!schema.named || on.column_names.empty()) return match_places(schema, scaler, file);
  const Names names(schema);
  std::vector<std::string> missing;
  std::vector<std::size_t> places;
  for (const std::string& name : on.column_names) {
    if (names.has(name)) {
      places.push_back(names.at(name, file + ":"));
    } else {
      missing.push_back(name);
    }
  }
  if (missing.empty()) return places;
  if (named_without_use(schema, scaler)) return match_places(schema, scaler, file);
  throw UsageError(fmt::format("{}: expected the fitted column{} {}, got {}", file,
                               missing.size() == 1 ? "" : "s", shown_list(missing), names.all()));
}

std::vector<std::string> names_of(const Schema& schema, const std::vector<std::size_t>& columns) {
  std::vector<std::string> names;
  for (const std::size_t j : columns) names.push_back(schema.fields[j].name);
  return names;
}

std::vector<std::size_t> number_places(const Schema& schema) {
  std::vector<std::size_t> places;
  std::size_t count = 0;
  for (const Field& field : schema.fields) places.push_back(field.number ? count++ : SIZE_MAX);
  return places;
}

std::string place_text(const std::string& file, const Batch& batch, std::int64_t row,
                       const std::string& column) {
  std::string text = fmt::format("{} row {}", file, batch.first_row + row + 1);
  if (!batch.lines.empty()) {
    text += fmt::format(" (line {})", batch.lines[static_cast<std::size_t>(row)]);
  }
  return text + fmt::format(", column {}", shown(column));
}

}  // namespace omninorm::cli

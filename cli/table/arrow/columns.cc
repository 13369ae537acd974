#include "cli/table/arrow/columns.h"

#include <arrow/array.h>
#include <arrow/util/float16.h>
#include <arrow/util/key_value_metadata.h>
#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <type_traits>

#include "cli/program.h"
#include "cli/table/arrow/status.h"

namespace omninorm::cli {
namespace {

// The columns that a pandas DataFrame had as its index: row labels, no data.
std::set<std::string> pandas_index(const arrow::Schema& schema) {
  std::set<std::string> names;
  if (schema.metadata() == nullptr) return names;
  const auto text = schema.metadata()->Get("pandas");
  if (!text.ok()) return names;
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object() || !json.contains("index_columns")) return names;
  for (const auto& column : json["index_columns"]) {
    if (column.is_string()) names.insert(column.get<std::string>());
  }
  return names;
}

bool is_number(const arrow::DataType& type) {
  return arrow::is_integer(type.id()) || arrow::is_floating(type.id());
}

bool is_f32_or_f64(const arrow::DataType& type) {
  return type.id() == arrow::Type::FLOAT || type.id() == arrow::Type::DOUBLE;
}

struct Place {
  const std::string& path;
  const std::string& column;
  std::int64_t first_row;
};

constexpr std::int64_t largest_exact = std::int64_t{1} << 53;

template <class Type>
double number(typename Type::c_type value, std::int64_t row, const Place& place) {
  if constexpr (std::is_same_v<Type, arrow::HalfFloatType>) {
    return double{arrow::util::Float16::FromBits(value).ToFloat()};
  } else {
    if constexpr (sizeof(value) == 8 && std::is_integral_v<decltype(value)>) {
      bool exact = value <= static_cast<decltype(value)>(largest_exact);
      if constexpr (std::is_signed_v<decltype(value)>) exact = exact && value >= -largest_exact;
      if (!exact) {
        throw UsageError(fmt::format(
            "{} row {}, column \"{}\": {} is beyond 2^53, so that a double may not hold it; if the "
            "column is a key, leave it out of fit (--text)",
            place.path, place.first_row + row + 1, place.column, value));
      }
    }
    return static_cast<double>(value);
  }
}

template <class Type>
void fill_column(const arrow::Array& column, double* out, const Place& place) {
  const auto& typed = static_cast<const typename arrow::TypeTraits<Type>::ArrayType&>(column);
  const auto* const values = typed.raw_values();
  const std::int64_t rows = column.length();
  // Below a null may stand anything.
  const bool nulls = column.null_count() > 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    out[i] = nulls && column.IsNull(i) ? std::numeric_limits<double>::quiet_NaN()
                                       : number<Type>(values[i], i, place);
  }
}

void fill_column(const arrow::Array& column, double* out, const Place& place) {
  switch (column.type_id()) {
#define OMNINORM_CASE(id, ArrowType) \
  case arrow::Type::id:              \
    return fill_column<arrow::ArrowType>(column, out, place)
    OMNINORM_CASE(HALF_FLOAT, HalfFloatType);
    OMNINORM_CASE(FLOAT, FloatType);
    OMNINORM_CASE(DOUBLE, DoubleType);
    OMNINORM_CASE(INT8, Int8Type);
    OMNINORM_CASE(INT16, Int16Type);
    OMNINORM_CASE(INT32, Int32Type);
    OMNINORM_CASE(INT64, Int64Type);
    OMNINORM_CASE(UINT8, UInt8Type);
    OMNINORM_CASE(UINT16, UInt16Type);
    OMNINORM_CASE(UINT32, UInt32Type);
    OMNINORM_CASE(UINT64, UInt64Type);
#undef OMNINORM_CASE
    default:
      break;
  }
  throw std::logic_error("a column that is no number, read as numbers");
}

template <class Array>
std::int64_t span_of_values(const arrow::Array& column) {
  return static_cast<const Array&>(column).total_values_length();
}

std::int64_t bytes_of_text(const arrow::Array& column) {
  if (column.length() == 0) return 0;
  switch (column.type_id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      return span_of_values<arrow::BinaryArray>(column);
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      return span_of_values<arrow::LargeBinaryArray>(column);
    case arrow::Type::DICTIONARY: {
      const arrow::Array& words = *static_cast<const arrow::DictionaryArray&>(column).dictionary();
      return words.length() == 0 ? 0 : bytes_of_text(words) / words.length() * column.length();
    }
    default:
      return 0;
  }
}

}  // namespace

std::vector<std::vector<std::string>> ArrowForm::text() const {
  std::vector<std::vector<std::string>> columns;
  for (const int position : others_) {
    std::vector<std::string>& cells = columns.emplace_back();
    for (const auto& piece : pieces_) {
      const arrow::Array& column = *piece->column(position);
      for (std::int64_t i = 0; i < column.length(); ++i) cells.push_back(cell_text(column, i));
    }
  }
  return columns;
}

ArrowColumns::ArrowColumns(std::shared_ptr<arrow::Schema> schema, bool others, bool one_dictionary,
                           const std::string& path)
    : path_(path),
      others_asked_(others),
      one_dictionary_(one_dictionary),
      arrow_schema_(std::move(schema)) {
  const std::set<std::string> index = pandas_index(*arrow_schema_);
  std::vector<bool> numbers;
  for (const auto& field : arrow_schema_->fields()) {
    numbers.push_back(is_number(*field->type()) && !index.contains(field->name()));
  }
  divide(numbers);
}

void ArrowColumns::divide(const std::vector<bool>& numbers) {
  numbers_.clear();
  others_.clear();
  schema_.fields.clear();
  for (int i = 0; i < arrow_schema_->num_fields(); ++i) {
    const arrow::Field& field = *arrow_schema_->field(i);
    const bool number = numbers[static_cast<std::size_t>(i)];
    const bool f32 =
        field.type()->id() == arrow::Type::FLOAT || field.type()->id() == arrow::Type::HALF_FLOAT;
    (number ? numbers_ : others_).push_back(i);
    schema_.fields.push_back(
        {.name = field.name(), .number = number, .dtype = number && f32 ? DType::f32 : DType::f64});
  }
  const auto none = check(arrow::RecordBatch::MakeEmpty(arrow_schema_), path_);
  schema_.own_form = std::make_shared<ArrowForm>(std::vector{none}, others_, one_dictionary_);
}

void ArrowColumns::select(const std::vector<std::size_t>& wanted) {
  std::vector<bool> numbers;
  for (const auto& field : arrow_schema_->fields()) {
    numbers.push_back(others_asked_ && is_f32_or_f64(*field->type()));
  }
  for (const std::size_t position : wanted) {
    const arrow::Field& field = *arrow_schema_->field(static_cast<int>(position));
    if (!is_number(*field.type())) {
      throw UsageError(fmt::format("{}: column \"{}\" holds {}, not numbers", path_, field.name(),
                                   field.type()->ToString()));
    }
    numbers[position] = true;
  }
  divide(numbers);
}

std::optional<std::vector<int>> ArrowColumns::needed() const {
  return others_asked_ ? std::nullopt : std::optional(numbers_);
}

void ArrowColumns::fill(const arrow::RecordBatch& rows, std::int64_t offset, Batch& batch) const {
  double* out = batch.numbers.data() + offset;
  for (std::size_t k = 0; k < numbers_.size(); ++k) {
    const int column = alone_ ? static_cast<int>(k) : numbers_[k];
    const std::string& name = arrow_schema_->field(numbers_[k])->name();
    fill_column(*rows.column(column), out, {path_, name, batch.first_row + offset});
    out += batch.stride;
  }
}

std::int64_t ArrowColumns::text_bytes(const arrow::RecordBatch& rows) const {
  if (!others_asked_) return 0;
  std::int64_t bytes = 0;
  for (const int column : others_) bytes += bytes_of_text(*rows.column(column));
  return bytes;
}

std::shared_ptr<const OwnForm> ArrowColumns::own_form(Pieces pieces) const {
  if (!others_asked_) return nullptr;
  return std::make_shared<ArrowForm>(std::move(pieces), others_, one_dictionary_);
}

}  // namespace omninorm::cli

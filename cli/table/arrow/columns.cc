#include "cli/table/arrow/columns.h"

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/util/bit_util.h>
#include <arrow/util/float16.h>
#include <arrow/util/key_value_metadata.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
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
            "{}: row {}, column '{}': {} is beyond 2^53, so that a double may not hold it; is the "
            "column a key? --text '{}' passes it through",
            place.path, place.first_row + row + 1, place.column, value, place.column));
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
#define OMNINORM_CASE(id, Type) \
  case arrow::Type::id:         \
    return fill_column<arrow::Type>(column, out, place)
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

// The source's bits of what is not null, or those of what is not NaN; none where all are there.
std::shared_ptr<arrow::Buffer> validity(const double* values, std::int64_t rows,
                                        const arrow::Array* source, const std::string& path) {
  const auto there = [&](std::int64_t i) {
    return source != nullptr ? !source->IsNull(i) : !std::isnan(values[i]);
  };
  std::int64_t i = 0;
  if (source != nullptr && source->null_count() == 0) return nullptr;
  while (i < rows && there(i)) ++i;
  if (i == rows) return nullptr;
  std::shared_ptr<arrow::Buffer> bits = check(arrow::AllocateEmptyBitmap(rows), path);
  for (i = 0; i < rows; ++i) {
    if (there(i)) arrow::bit_util::SetBit(bits->mutable_data(), i);
  }
  return bits;
}

template <class T>
std::shared_ptr<arrow::Array> number_array(const double* values, std::int64_t rows,
                                           const std::shared_ptr<arrow::DataType>& type,
                                           const arrow::Array* source, const std::string& path) {
  std::shared_ptr<arrow::Buffer> data =
      check(arrow::AllocateBuffer(rows * static_cast<std::int64_t>(sizeof(T))), path);
  std::transform(values, values + rows, data->mutable_data_as<T>(),
                 [](double value) { return static_cast<T>(value); });
  return arrow::MakeArray(
      arrow::ArrayData::Make(type, rows, {validity(values, rows, source, path), std::move(data)}));
}

std::shared_ptr<arrow::Array> text_array(const std::vector<std::string>& cells,
                                         const Field& field, std::int64_t first_row,
                                         const std::string& path) {
  arrow::StringBuilder builder;
  check(builder.AppendValues(cells), path);
  const auto array = check(builder.Finish(), path);
  const auto& text = static_cast<const arrow::StringArray&>(*array);
  if (text.ValidateUTF8().ok()) return array;
  for (std::int64_t i = 0; i < text.length(); ++i) {
    const auto cell = text.Slice(i, 1);
    if (!static_cast<const arrow::StringArray&>(*cell).ValidateUTF8().ok()) {
      throw UsageError(
          fmt::format("{}: row {}, column '{}' is not UTF-8, which Parquet and Arrow ask of text",
                      path, first_row + i + 1, field.name));
    }
  }
  return array;
}

const ArrowForm* arrow_form(const std::shared_ptr<const OwnForm>& form) {
  return dynamic_cast<const ArrowForm*>(form.get());
}

}  // namespace

std::vector<std::vector<std::string>> ArrowForm::text() const {
  std::vector<std::vector<std::string>> columns;
  for (const int position : others_) {
    const arrow::Array& column = *batch_->column(position);
    std::vector<std::string>& cells = columns.emplace_back();
    cells.reserve(static_cast<std::size_t>(column.length()));
    for (std::int64_t i = 0; i < column.length(); ++i) cells.push_back(cell_text(column, i));
  }
  return columns;
}

ArrowColumns::ArrowColumns(const std::shared_ptr<arrow::Schema>& schema,
                           const ReadOptions& options, const std::string& path)
    : path_(path) {
  const std::set<std::string> index = pandas_index(*schema);
  for (int i = 0; i < schema->num_fields(); ++i) {
    const arrow::Field& field = *schema->field(i);
    const bool passed = index.contains(field.name()) ||
                        std::ranges::find(options.text, field.name()) != options.text.end();
    const bool is_f32 = field.type()->id() == arrow::Type::FLOAT ||
                        field.type()->id() == arrow::Type::HALF_FLOAT;
    const bool number = is_number(*field.type()) && !passed;
    (number ? numbers_ : others_).push_back(i);
    schema_.fields.push_back({.name = field.name(),
                              .number = number,
                              .dtype = number && is_f32 ? DType::f32 : DType::f64});
  }
  schema_.own_form =
      std::make_shared<ArrowForm>(check(arrow::RecordBatch::MakeEmpty(schema), path), others_);
}

void ArrowColumns::fill(const std::shared_ptr<arrow::RecordBatch>& rows, Batch& batch) const {
  batch.rows = rows->num_rows();
  batch.stride = batch.rows;
  batch.numbers.resize(numbers_.size() * static_cast<std::size_t>(batch.rows));
  double* out = batch.numbers.data();
  for (const int position : numbers_) {
    const std::string& name = schema_.fields[static_cast<std::size_t>(position)].name;
    fill_column(*rows->column(position), out, {path_, name, batch.first_row});
    out += batch.stride;
  }
  batch.others.clear();
  batch.own_form = std::make_shared<ArrowForm>(rows, others_);
}

std::shared_ptr<arrow::Schema> arrow_schema(const Schema& schema) {
  const ArrowForm* const form = arrow_form(schema.own_form);
  arrow::FieldVector fields;
  for (std::size_t i = 0; i < schema.fields.size(); ++i) {
    const Field& field = schema.fields[i];
    const auto type = !field.number               ? arrow::utf8()
                      : field.dtype == DType::f32 ? arrow::float32()
                                                  : arrow::float64();
    if (form == nullptr) {
      fields.push_back(arrow::field(field.name, type));
    } else {
      const auto& own = form->batch()->schema()->field(static_cast<int>(i));
      fields.push_back(field.number ? own->WithType(type) : own);
    }
  }
  return arrow::schema(fields, form == nullptr ? nullptr : form->batch()->schema()->metadata());
}

std::shared_ptr<arrow::RecordBatch> arrow_rows(const Batch& batch,
                                               const std::shared_ptr<arrow::Schema>& target,
                                               const Schema& schema, const std::string& path) {
  const ArrowForm* const form = arrow_form(batch.own_form);
  std::vector<std::vector<std::string>> converted;
  if (form == nullptr && batch.own_form != nullptr) converted = batch.own_form->text();
  const auto& others = batch.own_form == nullptr ? batch.others : converted;

  arrow::ArrayVector columns;
  const double* values = batch.numbers.data();
  std::size_t other = 0;
  for (std::size_t i = 0; i < schema.fields.size(); ++i) {
    const Field& field = schema.fields[i];
    const auto& type = target->field(static_cast<int>(i))->type();
    const std::shared_ptr<arrow::Array> source =
        form == nullptr ? nullptr : form->batch()->column(static_cast<int>(i));
    if (field.number) {
      columns.push_back(field.dtype == DType::f32
                            ? number_array<float>(values, batch.rows, type, source.get(), path)
                            : number_array<double>(values, batch.rows, type, source.get(), path));
      values += batch.stride;
    } else if (source != nullptr) {
      columns.push_back(source);
    } else {
      columns.push_back(text_array(others.at(other++), field, batch.first_row, path));
    }
  }
  return arrow::RecordBatch::Make(target, batch.rows, std::move(columns));
}

}  // namespace omninorm::cli

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/compute/cast.h>
#include <arrow/util/bit_util.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "cli/program.h"
#include "cli/table/arrow/columns.h"
#include "cli/table/arrow/status.h"
#include "cli/table/cells.h"

namespace omninorm::cli {
namespace {

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
  if constexpr (std::is_same_v<T, float>) {
    std::transform(values, values + rows, data->mutable_data_as<T>(),
                   [](double value) { return to_f32(value); });
  } else {
    std::copy_n(values, rows, data->mutable_data_as<T>());
  }
  return arrow::MakeArray(
      arrow::ArrayData::Make(type, rows, {validity(values, rows, source, path), std::move(data)}));
}

// `cells` may hold more than the rows.
std::shared_ptr<arrow::Array> text_array(const std::vector<std::string>& cells, std::int64_t rows,
                                         const Field& field, std::int64_t first_row,
                                         const std::string& path) {
  arrow::StringBuilder builder;
  for (std::int64_t i = 0; i < rows; ++i) {
    check(builder.Append(cells[static_cast<std::size_t>(i)]), path);
  }
  const auto array = check(builder.Finish(), path);
  const auto& text = static_cast<const arrow::StringArray&>(*array);
  if (text.ValidateUTF8().ok()) return array;
  for (std::int64_t i = 0; i < text.length(); ++i) {
    const auto cell = text.Slice(i, 1);
    if (!static_cast<const arrow::StringArray&>(*cell).ValidateUTF8().ok()) {
      throw UsageError(fmt::format(
          "{} row {}, column \"{}\": the text is not UTF-8, as Parquet and Arrow ask for", path,
          first_row + i + 1, field.name));
    }
  }
  return array;
}

const ArrowForm* arrow_form(const std::shared_ptr<const OwnForm>& form) {
  return dynamic_cast<const ArrowForm*>(form.get());
}

}  // namespace

ArrowRows::ArrowRows(const Schema& schema, bool many_dictionaries, const std::string& path)
    : path_(path), fields_(schema.fields) {
  const ArrowForm* const form = arrow_form(schema.own_form);
  const std::shared_ptr<arrow::Schema> own =
      form == nullptr ? nullptr : form->pieces().at(0)->schema();
  arrow::FieldVector fields;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    const auto type = !fields_[i].number               ? arrow::utf8()
                      : fields_[i].dtype == DType::f32 ? arrow::float32()
                                                       : arrow::float64();
    auto field =
        own == nullptr ? arrow::field(fields_[i].name, type) : own->field(static_cast<int>(i));
    if (fields_[i].number) {
      field = field->WithType(type);
    } else if (field->type()->id() == arrow::Type::DICTIONARY && !many_dictionaries &&
               !form->one_dictionary()) {
      field =
          field->WithType(static_cast<const arrow::DictionaryType&>(*field->type()).value_type());
    }
    fields.push_back(field);
  }
  schema_ = arrow::schema(fields, own == nullptr ? nullptr : own->metadata());
}

std::vector<std::shared_ptr<arrow::RecordBatch>> ArrowRows::of(const Batch& batch) const {
  const ArrowForm* const form = arrow_form(batch.own_form);
  if (form == nullptr) {
    if (batch.own_form == nullptr) return {piece(batch, 0, nullptr, batch.others)};
    return {piece(batch, 0, nullptr, batch.own_form->text())};
  }
  std::vector<std::shared_ptr<arrow::RecordBatch>> pieces;
  std::int64_t offset = 0;
  for (const auto& own : form->pieces()) {
    pieces.push_back(piece(batch, offset, own.get(), {}));
    offset += own->num_rows();
  }
  return pieces;
}

std::shared_ptr<arrow::RecordBatch> ArrowRows::piece(
    const Batch& batch, std::int64_t offset, const arrow::RecordBatch* own,
    const std::vector<std::vector<std::string>>& others) const {
  const std::int64_t rows = own == nullptr ? batch.rows : own->num_rows();
  arrow::ArrayVector columns;
  const double* values = batch.numbers.data() + offset;
  std::size_t other = 0;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    const auto position = static_cast<int>(i);
    const auto& type = schema_->field(position)->type();
    const std::shared_ptr<arrow::Array> source = own == nullptr ? nullptr : own->column(position);
    if (fields_[i].number) {
      columns.push_back(fields_[i].dtype == DType::f32
                            ? number_array<float>(values, rows, type, source.get(), path_)
                            : number_array<double>(values, rows, type, source.get(), path_));
      values += batch.stride;
    } else if (source == nullptr) {
      columns.push_back(
          text_array(others.at(other++), rows, fields_[i], batch.first_row + offset, path_));
    } else if (source->type()->Equals(*type)) {
      columns.push_back(source);
    } else {
      columns.push_back(check(arrow::compute::Cast(*source, type), path_));
    }
  }
  return arrow::RecordBatch::Make(schema_, rows, std::move(columns));
}

}  // namespace omninorm::cli

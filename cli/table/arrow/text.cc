#include <arrow/array.h>
#include <arrow/extension_type.h>
#include <arrow/scalar.h>
#include <arrow/util/string.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cli/table/arrow/columns.h"

namespace omninorm::cli {
namespace {

std::string json_cell(const arrow::Array& column, std::int64_t row);

std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string joined(const arrow::Array& values, std::int64_t first, std::int64_t count) {
  std::string text = "[";
  for (std::int64_t i = 0; i < count; ++i) {
    if (i > 0) text += ",";
    text += json_cell(values, first + i);
  }
  return text + "]";
}

template <class List>
std::string list_text(const arrow::Array& column, std::int64_t row) {
  const auto& list = static_cast<const List&>(column);
  return joined(*list.values(), list.value_offset(row), list.value_length(row));
}

std::string struct_text(const arrow::StructArray& column, std::int64_t row) {
  std::string text = "{";
  for (int i = 0; i < column.num_fields(); ++i) {
    if (i > 0) text += ",";
    text += json_string(column.struct_type()->field(i)->name()) + ":" +
            json_cell(*column.field(i), row);
  }
  return text + "}";
}

// A cell within a list or a struct.
std::string json_cell(const arrow::Array& column, std::int64_t row) {
  using arrow::Type;
  if (column.IsNull(row)) return "null";
  switch (column.type_id()) {
    case Type::DICTIONARY: {
      const auto& coded = static_cast<const arrow::DictionaryArray&>(column);
      return json_cell(*coded.dictionary(), coded.GetValueIndex(row));
    }
    case Type::EXTENSION:
      return json_cell(*static_cast<const arrow::ExtensionArray&>(column).storage(), row);
    case Type::LIST:
    case Type::LARGE_LIST:
    case Type::FIXED_SIZE_LIST:
    case Type::MAP:
    case Type::STRUCT:
      return cell_text(column, row);
    default: {
      const bool plain = arrow::is_primitive(column.type_id()) &&
                         !arrow::is_temporal(column.type_id());  // a number or a boolean
      return plain ? cell_text(column, row) : json_string(cell_text(column, row));
    }
  }
}

}  // namespace

std::string cell_text(const arrow::Array& column, std::int64_t row) {
  using arrow::Type;
  if (column.IsNull(row)) return "";
  switch (column.type_id()) {
    case Type::STRING:
      return static_cast<const arrow::StringArray&>(column).GetString(row);
    case Type::LARGE_STRING:
      return static_cast<const arrow::LargeStringArray&>(column).GetString(row);
    case Type::STRING_VIEW:
      return static_cast<const arrow::StringViewArray&>(column).GetString(row);
    case Type::BINARY:
      return arrow::HexEncode(static_cast<const arrow::BinaryArray&>(column).GetView(row));
    case Type::LARGE_BINARY:
      return arrow::HexEncode(static_cast<const arrow::LargeBinaryArray&>(column).GetView(row));
    case Type::BINARY_VIEW:
      return arrow::HexEncode(static_cast<const arrow::BinaryViewArray&>(column).GetView(row));
    case Type::FIXED_SIZE_BINARY:
      return arrow::HexEncode(static_cast<const arrow::FixedSizeBinaryArray&>(column).GetView(row));
    case Type::DICTIONARY: {
      const auto& coded = static_cast<const arrow::DictionaryArray&>(column);
      return cell_text(*coded.dictionary(), coded.GetValueIndex(row));
    }
    case Type::EXTENSION:
      return cell_text(*static_cast<const arrow::ExtensionArray&>(column).storage(), row);
    case Type::LIST:
    case Type::MAP:
      return list_text<arrow::ListArray>(column, row);
    case Type::LARGE_LIST:
      return list_text<arrow::LargeListArray>(column, row);
    case Type::FIXED_SIZE_LIST:
      return list_text<arrow::FixedSizeListArray>(column, row);
    case Type::STRUCT:
      return struct_text(static_cast<const arrow::StructArray&>(column), row);
    default: {
      const auto cell = column.GetScalar(row);
      return cell.ok() ? (*cell)->ToString() : "";
    }
  }
}

}  // namespace omninorm::cli

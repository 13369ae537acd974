// Tables written and read back through the interface that the verbs use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "cli/program.h"
#include "cli/table/table.h"
#include "tests/lab/temp_folder.h"

namespace omninorm::cli {
namespace {

using omninorm::testing::message_of;
using omninorm::testing::read_text;
using omninorm::testing::TempFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void copy_table(const std::string& from, const std::string& to, const ReadOptions& options = {}) {
  const auto reader = open_table(from, options);
  std::vector<std::size_t> numbers;
  for (std::size_t i = 0; i < reader->schema().fields.size(); ++i) {
    if (reader->schema().fields[i].number) numbers.push_back(i);
  }
  reader->select(numbers);
  const auto writer = create_table(to, reader->schema(), options);
  Batch batch;
  while (reader->next(batch)) writer->write(batch);
  writer->finish();
}

#ifndef OMNINORM_HAS_ARROW

TEST(ArrowTable, WithoutArrowTheMessageSaysWhatToInstall) {
  const TempFolder folder;
  const std::string csv = folder.write("a.csv", "x\n1\n");
  EXPECT_THAT(message_of<UsageError>([&] { copy_table(csv, folder.path() / "a.parquet"); }),
              AllOf(HasSubstr("a.parquet"), HasSubstr("pip install 'pyarrow==")));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "a.parquet"));
}

#else

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

struct Content {
  Schema schema;
  std::vector<std::vector<double>> numbers;      // by column
  std::vector<std::vector<std::string>> others;  // by column
  std::vector<std::int64_t> rows;                // of each batch
};

Content read_all(const std::string& path, const ReadOptions& options = {},
                 const std::vector<std::size_t>* select = nullptr) {
  const auto reader = open_table(path, options);
  if (select != nullptr) reader->select(*select);
  Content content;
  Batch batch;
  std::int64_t rows = 0;
  while (reader->next(batch)) {
    EXPECT_EQ(batch.first_row, rows);
    rows += batch.rows;
    content.rows.push_back(batch.rows);
    std::size_t numbers = 0;
    for (const Field& field : reader->schema().fields) numbers += field.number ? 1 : 0;
    content.numbers.resize(numbers);
    for (std::size_t k = 0; k < numbers; ++k) {
      const double* const column = &batch.numbers[k * static_cast<std::size_t>(batch.stride)];
      content.numbers[k].insert(content.numbers[k].end(), column, column + batch.rows);
    }
    const auto others = batch.own_form ? batch.own_form->text() : batch.others;
    content.others.resize(others.size());
    for (std::size_t k = 0; k < others.size(); ++k) {
      content.others[k].insert(content.others[k].end(), others[k].begin(),
                               others[k].begin() + batch.rows);
    }
  }
  content.schema = reader->schema();
  return content;
}

constexpr const char* formats[] = {"parquet", "arrow", "feather"};

class EveryFormat : public ::testing::TestWithParam<const char*> {
 protected:
  std::string file(const std::string& name) const {
    return folder_.path() / (name + "." + GetParam());
  }
  TempFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(ArrowTable, EveryFormat, ::testing::ValuesIn(formats),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(EveryFormat, TextThereAndBackIsTheSameText) {
  const std::string text =
      "x,name,y\n0.1,\"a, b\",1e+300\n,,\n-0.0,\"q\"\"uote\",5e-324\n1e+22,\xc3\xa4,0.3\n";
  const std::string csv = folder_.write("a.csv", text);
  copy_table(csv, file("a"));
  copy_table(file("a"), folder_.path() / "first.csv");
  copy_table(csv, folder_.path() / "plain.csv");
  EXPECT_EQ(read_text(folder_.path() / "first.csv"), read_text(folder_.path() / "plain.csv"));
  const Content content = read_all(file("a"));
  ASSERT_EQ(content.schema.fields.size(), 3U);
  EXPECT_FALSE(content.schema.fields[1].number);
  EXPECT_TRUE(std::isnan(content.numbers[0][1]));
  EXPECT_TRUE(std::signbit(content.numbers[0][2]));
  EXPECT_EQ(content.numbers[1][2], 5e-324);
  EXPECT_THAT(content.others[0], ElementsAre("a, b", "", "q\"uote", "\xc3\xa4"));
}

TEST_P(EveryFormat, BatchesHaveTheSameRowsWhateverTheFilesParts) {
  std::string text = "x,label\n";
  for (int i = 0; i < 1000; ++i) text += std::to_string(i) + ",row " + std::to_string(i) + "\n";
  const std::string csv = folder_.write("a.csv", text);
  ReadOptions of_seven, of_hundred;
  of_seven.batch_rows = 7;
  of_hundred.batch_rows = 100;
  copy_table(csv, file("a"), of_seven);
  const Content content = read_all(file("a"), of_hundred);
  EXPECT_EQ(content.rows, std::vector<std::int64_t>(10, 100));
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(content.numbers[0][static_cast<std::size_t>(i)], i);
    ASSERT_EQ(content.others[0][static_cast<std::size_t>(i)], "row " + std::to_string(i));
  }
  // The same parts again on writing what was read in others.
  copy_table(file("a"), file("b"), of_hundred);
  EXPECT_EQ(read_all(file("b"), of_seven).numbers, content.numbers);
}

// 40 MB in cells of 1 MB: no batch has more than 16 of them and the one that it ends with.
TEST_P(EveryFormat, LongTextMakesBatchesSmall) {
  for (const bool same : {false, true}) {
    std::string csv = "x,text\n";
    for (int i = 0; i < 40; ++i) {
      csv += std::to_string(i) + "," + std::string(1 << 20, same ? 'a' : char('a' + i % 26)) + "\n";
    }
    copy_table(folder_.write("a.csv", csv), file("a"));
    const Content content = read_all(file("a"));
    for (const std::int64_t rows : content.rows) EXPECT_LE(rows, 17) << same;
    copy_table(file("a"), folder_.path() / "b.csv");
    EXPECT_TRUE(read_text(folder_.path() / "b.csv") == csv) << same;
    // Only numbers: the parts are those of any table.
    ReadOptions numbers;
    numbers.others = false;
    const std::vector<std::size_t> first = {0};
    EXPECT_THAT(read_all(file("a"), numbers, &first).rows, ElementsAre(40));
  }
}

TEST_P(EveryFormat, WhatFloatCannotHoldIsAnInfinity) {
  const std::string csv = folder_.write("a.csv", "x\n1e39\n-1e39\n3.4028235e38\n");
  const auto reader = open_table(csv, {});
  reader->select({0});
  Schema schema = reader->schema();
  schema.fields[0].dtype = DType::f32;
  const auto writer = create_table(file("a"), schema, {});
  Batch batch;
  while (reader->next(batch)) writer->write(batch);
  writer->finish();
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_THAT(read_all(file("a")).numbers[0],
              ElementsAre(infinity, -infinity, double{std::numeric_limits<float>::max()}));
}

TEST_P(EveryFormat, FloatStaysFloat) {
  Schema schema;
  schema.fields = {{.name = "a", .number = true, .dtype = DType::f32},
                   {.name = "b", .number = true, .dtype = DType::f64}};
  Batch batch;
  batch.rows = 3;
  batch.stride = 5;  // a part of a larger batch
  batch.numbers = {0.1F, nan, -1e38, 9, 9, 0.1, 2, nan, 9, 9};
  const auto writer = create_table(file("a"), schema, {});
  writer->write(batch);
  writer->finish();
  const Content content = read_all(file("a"));
  EXPECT_EQ(content.schema.fields[0].dtype, DType::f32);
  EXPECT_EQ(content.schema.fields[1].dtype, DType::f64);
  EXPECT_EQ(content.numbers[0][0], double{0.1F});
  EXPECT_EQ(content.numbers[0][2], double{-1e38F});
  EXPECT_TRUE(std::isnan(content.numbers[0][1]));
  EXPECT_EQ(content.numbers[1][0], 0.1);
  EXPECT_TRUE(std::isnan(content.numbers[1][2]));
}

TEST_P(EveryFormat, ATableWithoutRowsKeepsItsColumns) {
  copy_table(folder_.write("a.csv", "x,y\n"), file("a"));
  copy_table(file("a"), file("b"));
  const Content content = read_all(file("b"));
  ASSERT_EQ(content.schema.fields.size(), 2U);
  EXPECT_EQ(content.schema.fields[1].name, "y");
  EXPECT_TRUE(content.rows.empty());
  EXPECT_EQ(content.schema.rows, 0);
}

TEST_P(EveryFormat, NothingIsSeenBeforeTheEnd) {
  const std::string path = file("a");
  Schema schema;
  schema.fields = {{.name = "a", .number = true, .dtype = DType::f64}};
  folder_.write("a." + std::string(GetParam()), "what was there");
  Batch batch;
  batch.rows = batch.stride = 1000;
  batch.numbers.assign(1000, 1.5);
  {
    const auto writer = create_table(path, schema, {});
    for (int i = 0; i < 100; ++i) writer->write(batch);
    EXPECT_EQ(read_text(path), "what was there");
  }
  EXPECT_EQ(read_text(path), "what was there");
}

TEST_P(EveryFormat, AFileCutShortIsAnError) {
  std::string text = "x,label\n";
  for (int i = 0; i < 3000; ++i) text += std::to_string(i) + ".5,row\n";
  ReadOptions options;
  options.batch_rows = 500;
  copy_table(folder_.write("a.csv", text), file("a"), options);
  const std::string whole = read_text(file("a"));
  for (const double share : {0.999, 0.9, 0.5, 0.1, 0.01}) {
    const auto bytes = static_cast<std::size_t>(share * static_cast<double>(whole.size()));
    const std::string cut = folder_.write("cut." + std::string(GetParam()), whole.substr(0, bytes));
    EXPECT_THAT(message_of<UsageError>([&] { read_all(cut); }), HasSubstr("cut.")) << share;
  }
}

TEST_P(EveryFormat, ChangedBytesNeverCrash) {
  std::string text = "x,label\n";
  for (int i = 0; i < 300; ++i) text += std::to_string(i) + ".5,row " + std::to_string(i) + "\n";
  copy_table(folder_.write("a.csv", text), file("a"));
  const std::string whole = read_text(file("a"));
  int errors = 0;
  for (std::size_t at = 0; at < whole.size(); at += 1 + whole.size() / 500) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x5a);
    const std::string path = folder_.write("changed." + std::string(GetParam()), changed);
    try {
      read_all(path);  // what it holds may be other numbers: neither format has sums to check
    } catch (const std::exception& error) {
      EXPECT_THAT(error.what(), HasSubstr("changed."));
      ++errors;
    }
  }
  EXPECT_GT(errors, 0);
}

TEST_P(EveryFormat, WhatIsNoSuchFileIsAnError) {
  for (const char* const content : {"", "x", "x,y\n1,2\n", "PAR1", "ARROW1", "PAR1abcdefghPAR1"}) {
    const std::string path = folder_.write("a." + std::string(GetParam()), content);
    EXPECT_THAT(message_of<UsageError>([&] { read_all(path); }), HasSubstr("a.")) << content;
  }
  EXPECT_THROW(read_all(file("nothing here")), std::system_error);
  std::filesystem::create_directory(file("folder"));
  EXPECT_THROW(read_all(file("folder")), std::system_error);
}

TEST_P(EveryFormat, AColumnOfTextIsNoNumbers) {
  copy_table(folder_.write("a.csv", "x,label\n1,one\n"), file("a"));
  const std::vector<std::size_t> label = {1};
  EXPECT_THAT(message_of<UsageError>([&] { read_all(file("a"), {}, &label); }),
              AllOf(HasSubstr("column \"label\" holds string")));
}

TEST_P(EveryFormat, OnlyWhatIsAskedForIsRead) {
  copy_table(folder_.write("a.csv", "x,label,y,z\n1,one,2,3\n4,two,5,6\n"), file("a"));
  ReadOptions options;
  options.others = false;
  const std::vector<std::size_t> select = {0, 3};
  const Content content = read_all(file("a"), options, &select);
  EXPECT_THAT(content.numbers, ElementsAre(ElementsAre(1, 4), ElementsAre(3, 6)));
  EXPECT_TRUE(content.others.empty());
  EXPECT_FALSE(content.schema.fields[2].number);
}

TEST_P(EveryFormat, TextHasToBeUtf8) {
  const std::string csv = folder_.write("a.csv", "x,label\n1,fine\n2,\xff\xfe\n");
  EXPECT_THAT(message_of<UsageError>([&] { copy_table(csv, file("a")); }),
              AllOf(HasSubstr("row 2"), HasSubstr("\"label\""), HasSubstr("UTF-8")));
  EXPECT_FALSE(std::filesystem::exists(file("a")));
}

TEST_P(EveryFormat, IsNotCompressedTwice) {
  const std::string csv = folder_.write("a.csv", "x\n1\n");
  EXPECT_THAT(message_of<UsageError>([&] { copy_table(csv, file("a") + ".gz"); }),
              HasSubstr("compressed inside"));
}

#endif

}  // namespace
}  // namespace omninorm::cli

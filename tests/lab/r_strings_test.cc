#include "lab/data/r_strings.h"

#include <gmock/gmock.h>

#include "omninorm/error.h"
#include "tests/lab/r_database.h"
#include "tests/lab/temp_folder.h"

namespace omninorm::lab {
namespace {

using omninorm::testing::append_word;
using omninorm::testing::block;
using omninorm::testing::message_of;
using omninorm::testing::serialise;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::vector<std::string>> read(const std::string& database) {
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(database.data());
  return read_r_string_vectors({bytes, database.size()});
}

std::string error(const std::string& database) {
  return message_of<Error>([&] { read(database); });
}

TEST(RStrings, ReadsEveryBlock) {
  const std::string database =
      block(serialise({"one", "", "two\xc2\xa3"})) + block(serialise({"old"}, 2));
  EXPECT_THAT(read(database),
              ElementsAre(ElementsAre("one", "", "two\xc2\xa3"), ElementsAre("old")));
  EXPECT_TRUE(read("").empty());
}

TEST(RStrings, AMissingStringIsEmpty) {
  std::string content = serialise({});
  content[content.size() - 1] = 1;  // one string
  append_word(content, 9);
  append_word(content, 0xffffffff);
  EXPECT_THAT(read(block(content)), ElementsAre(ElementsAre("")));
}

TEST(RStrings, EveryTruncationIsAnError) {
  const std::string database = block(serialise({"some", "strings", "of", "text"}));
  for (std::size_t size = 1; size < database.size(); ++size) {
    EXPECT_THAT(error(database.substr(0, size)), HasSubstr("damaged")) << size;
  }
  const std::string content = serialise({"some", "strings"});
  for (std::size_t size = 0; size < content.size(); ++size) {
    EXPECT_THAT(error(block(content.substr(0, size))), HasSubstr("damaged")) << size;
  }
}

TEST(RStrings, EveryFlippedByteIsAnErrorOrLeavesReadableStrings) {
  // zlib's checksum guards the packed bytes; the content's own fields are flipped before packing.
  const std::string database = block(serialise({"some", "strings"}));
  for (std::size_t at = 0; at < database.size(); ++at) {
    std::string broken = database;
    broken[at] = static_cast<char>(broken[at] ^ 0x55);
    EXPECT_THAT(error(broken), HasSubstr("damaged")) << at;
  }
  const std::string content = serialise({"some", "strings"});
  int refused = 0;
  for (std::size_t at = 0; at < content.size(); ++at) {
    std::string broken = content;
    broken[at] = static_cast<char>(broken[at] ^ 0x80);
    try {
      read(block(broken));
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 20);
}

TEST(RStrings, ClaimsThatCannotBeTrueAreRefusedBeforeMemoryIsTaken) {
  std::string huge;
  append_word(huge, 0xffffffff);
  EXPECT_THAT(error(huge), HasSubstr("a block of 4294967295 bytes"));
  std::string many = serialise({});
  many[many.size() - 4] = 0x7f;  // two thousand million strings
  EXPECT_THAT(error(block(many)), HasSubstr("strings"));
}

TEST(RStrings, OtherObjectsAreRefused) {
  std::string content = serialise({"a"});
  content.push_back(0);
  EXPECT_THAT(error(block(content)), HasSubstr("bytes after its end"));
  std::string list = serialise({});
  list[list.size() - 5] = 19;  // a list
  EXPECT_THAT(error(block(list)), HasSubstr("an object with flags 0x13"));
}

}  // namespace
}  // namespace omninorm::lab

#include "lab/data/text.h"

#include <gmock/gmock.h>

#include "lab/data/sha256.h"
#include "omninorm/error.h"
#include "tests/lab/temp_folder.h"

namespace omninorm::lab {
namespace {

namespace fs = std::filesystem;

using omninorm::testing::message_of;
using omninorm::testing::ScopedVariable;
using omninorm::testing::TempFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string as_string(const std::vector<std::uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

TEST(Sha256, GivesTheStandardsExamples) {
  // FIPS 180-4's examples.
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::vector<std::uint8_t> a = {'a'}, none, bc = {'b', 'c'};
  EXPECT_EQ(sha256_hex({a, none, bc}), sha256_hex("abc"));
}

TEST(LoadText, OfOneFileTheLastTenthIsValidation) {
  TempFolder temp;
  std::string text;
  for (int line = 0; line < 1000; ++line) text += "0123456 8\n";
  const TextData data = load_text({temp.write("book.txt", text)});
  EXPECT_EQ(data.train.size(), 9000u);
  EXPECT_EQ(data.valid.size(), 1000u);
  EXPECT_EQ(as_string(data.train) + as_string(data.valid), text);
  EXPECT_EQ(data.name, "book.txt");
  EXPECT_EQ(data.sha256, sha256_hex(text));
}

TEST(LoadText, TheCutMovesBackToALinesBeginning) {
  TempFolder temp;
  const std::string text = std::string(880, 'a') + "\n" + std::string(119, 'b');
  const TextData data = load_text({temp.write("t", text)});
  EXPECT_EQ(data.train.size(), 881u);
  const TextData flat = load_text({temp.write("u", std::string(1000, 'a'))});
  EXPECT_EQ(flat.train.size(), 900u) << "no line begins nearby";
}

TEST(LoadText, AnyBytesAreText) {
  TempFolder temp;
  std::string bytes;
  for (int i = 0; i < 512; ++i) bytes += static_cast<char>(i);
  const TextData data = load_text({temp.write("b", bytes)});
  EXPECT_EQ(as_string(data.train) + as_string(data.valid), bytes);
}

TEST(LoadText, OfSeveralTheLastWholeFilesAreValidation) {
  TempFolder temp;
  const auto a = temp.write("a", std::string(800, 'a')), b = temp.write("b", std::string(150, 'b')),
             c = temp.write("c", std::string(50, 'c'));
  const TextData data = load_text({a, b, c});
  EXPECT_EQ(as_string(data.valid), std::string(150, 'b') + std::string(50, 'c'));
  EXPECT_THAT(data.train_documents, ElementsAre("a"));
  EXPECT_THAT(data.valid_documents, ElementsAre("b", "c"));
  const TextData tiny = load_text({temp.write("x", "x"), temp.write("y", "y")});
  EXPECT_EQ(as_string(tiny.train) + as_string(tiny.valid), "xy");
  EXPECT_THAT(tiny.valid_documents, ElementsAre("y")) << "one at least is validation";
  const TextData two = load_text({c, a});
  EXPECT_THAT(two.train_documents, ElementsAre("c")) << "one at least is left to train on";
}

TEST(LoadText, FilesThatCannotServeAreRefused) {
  TempFolder temp;
  const auto error = [](const std::vector<fs::path>& files) {
    return message_of<Error>([&] { load_text(files); });
  };
  const auto good = temp.write("good", "text");
  EXPECT_THAT(error({temp.path() / "none"}), AllOf(HasSubstr("none"), HasSubstr("no such file")));
  EXPECT_THAT(error({temp.write("empty", "")}), HasSubstr("it is empty"));
  EXPECT_THAT(error({temp.path()}), HasSubstr("a folder; name the files in it"));
  fs::create_symlink(temp.path() / "gone", temp.path() / "link");
  EXPECT_THAT(error({temp.path() / "link"}), HasSubstr("a link to a file that is not there"));
  EXPECT_THAT(error({"/dev/zero"}), HasSubstr("not a regular file"));
  EXPECT_THAT(error({good / "below"}), HasSubstr("expected a readable file"));
  EXPECT_THAT(error({good, temp.path() / "." / "good"}), HasSubstr("which are one"));
  EXPECT_THAT(error({}), HasSubstr("at least one file"));
  // Mode bits bind nobody who is root: /proc/self/mem is a file that opens and cannot be read.
  EXPECT_THAT(error({"/proc/self/mem"}), HasSubstr("Input/output error"));
}

TEST(CheckLength, EachSplitHoldsABatch) {
  TextData data;
  data.name = "x.txt";
  data.train.resize(8 * 129);
  data.valid.resize(8 * 129);
  EXPECT_NO_THROW(check_length(data, 8, 128));
  data.valid.pop_back();
  EXPECT_THAT(message_of<Error>([&] { check_length(data, 8, 128); }),
              AllOf(HasSubstr("at least 1032 bytes of validation text"), HasSubstr("got 1031"),
                    HasSubstr("--batch or --context")));
  data.train.clear();
  EXPECT_THAT(message_of<Error>([&] { check_length(data, 8, 128); }), HasSubstr("training text"));
}

TEST(LoadData, GoesByTheSettings) {
  TempFolder temp;
  Settings settings;
  settings.data = "text";
  settings.text = {temp.write("t", std::string(50, 'x')).string()};
  EXPECT_THAT(message_of<Error>([&] { load_data(settings); }), HasSubstr("at least 1032 bytes"));
  settings.batch = 1;
  settings.context = 4;
  EXPECT_EQ(load_data(settings).train.size(), 45u);
}

TEST(CacheFolder, IsNamedByTheEnvironment) {
  const ScopedVariable home("HOME", "/h");
  const ScopedVariable no_xdg("XDG_CACHE_HOME", "");
  const ScopedVariable none("OMNINORM_CACHE", "");
  EXPECT_EQ(cache_folder(), "/h/.cache/omninorm");
  const ScopedVariable xdg("XDG_CACHE_HOME", "/x");
  EXPECT_EQ(cache_folder(), "/x/omninorm");
  const ScopedVariable own("OMNINORM_CACHE", "/o");
  EXPECT_EQ(cache_folder(), "/o");
}

}  // namespace
}  // namespace omninorm::lab

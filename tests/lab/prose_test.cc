#include "lab/data/prose.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "lab/data/sha256.h"
#include "lab/data/text.h"
#include "omninorm/error.h"
#include "tests/lab/r_database.h"
#include "tests/lab/temp_folder.h"

namespace omninorm::lab {
namespace {

namespace fs = std::filesystem;

using omninorm::testing::block;
using omninorm::testing::message_of;
using omninorm::testing::read_text;
using omninorm::testing::ScopedVariable;
using omninorm::testing::serialise;
using omninorm::testing::TempFolder;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kDatabase = "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb";

// A root with six short novels, out of order.
void write_novels(const TempFolder& root) {
  std::string database;
  for (const char* title : {"SENSE AND SENSIBILITY", "EMMA", "MANSFIELD PARK", "NORTHANGER ABBEY",
                            "Persuasion", "PRIDE AND PREJUDICE"}) {
    database += block(serialise({title, "", "It was a novel."}));
  }
  root.write(kDatabase, database);
}

// The cache and the novels in folders of the test's own; the Bible is the real one.
class ProseTest : public ::testing::Test {
 protected:
  ProseTest() { write_novels(root_); }

  TextData load() {
    notes_.clear();
    return load_prose([this](const std::string& line) { notes_.push_back(line); });
  }

  TempFolder root_, cache_;
  ScopedVariable root_variable_{"OMNINORM_JANEAUSTENR", root_.path().string()};
  ScopedVariable cache_variable_{"OMNINORM_CACHE", cache_.path().string()};
  fs::path prepared_ = cache_.path() / "prose-1";
  std::vector<std::string> notes_;
};

TEST_F(ProseTest, NovelsComeInTheOrderOfTheirTitles) {
  const auto novels = read_novels(root_.path());
  ASSERT_EQ(novels.size(), 6u);
  EXPECT_EQ(novels[0].name, "Emma");
  EXPECT_EQ(novels[0].text, "EMMA\n\nIt was a novel.\n");
  EXPECT_EQ(novels[5].name, "Sense and Sensibility");
}

TEST_F(ProseTest, MissingOrIncompleteNovelsNameThePackage) {
  const TempFolder empty;
  EXPECT_THAT(message_of<Error>([&] { read_novels(empty.path()); }),
              AllOf(HasSubstr("apt-get install r-cran-janeaustenr"), HasSubstr("--text FILE")));
  empty.write(kDatabase, "");
  EXPECT_THAT(message_of<Error>([&] { read_novels(empty.path()); }),
              HasSubstr("does not hold 'Emma'"));
  empty.write(kDatabase, "\x01\x02");
  EXPECT_THAT(message_of<Error>([&] { read_novels(empty.path()); }), HasSubstr("damaged"));
}

TEST_F(ProseTest, TheBibleIsWholeAndWithoutReferences) {
  const auto books = read_bible();
  ASSERT_EQ(books.size(), 66u);
  EXPECT_EQ(books[0].name, "Genesis");
  EXPECT_THAT(books[0].text, ::testing::StartsWith(
                                 "In the beginning God created the heaven and the earth.\nAnd "));
  EXPECT_EQ(books[7].name, "Ruth");
  EXPECT_THAT(books[7].text, HasSubstr("Naomi"));
  EXPECT_EQ(books[65].name, "Revelation");
  EXPECT_TRUE(books[65].text.ends_with("Amen.\n"));
  for (const Document& book : books) {
    EXPECT_EQ(book.text.find_first_of("0123456789"), std::string::npos) << book.name;
  }
}

// A `bible` of the test's own in front of the real one.
std::string error_with_bible(const std::string& script) {
  TempFolder bin;
  const auto file = bin.write("bible", "#!/bin/sh\n" + script + "\n");
  ::chmod(file.c_str(), 0755);
  const ScopedVariable path("PATH", bin.path().string() + ":" + std::getenv("PATH"));
  return message_of<Error>([] { read_bible(); });
}

TEST(Bible, ACtrlCWhileItIsReadIsNoMissingPackage) {
  for (const char* script : {"kill -INT $$", "exit 130"}) {
    const TempFolder bin;
    const auto file = bin.write("bible", std::string("#!/bin/sh\n") + script + "\n");
    fs::permissions(file, fs::perms::owner_all);
    const ScopedVariable path("PATH", bin.path().string() + ":" + std::getenv("PATH"));
    EXPECT_THROW(read_bible(), Interrupted) << script;
  }
}

TEST_F(ProseTest, ABibleThatFailsNamesThePackages) {
  EXPECT_THAT(error_with_bible("exit 3"),
              AllOf(HasSubstr("bible-kjv bible-kjv-text"), HasSubstr("ended with status")));
  EXPECT_THAT(error_with_bible("exit 127"), HasSubstr("there is no command 'bible'"));
  EXPECT_THAT(error_with_bible("echo 'Ge1:1 In the beginning'"),
              HasSubstr("printed 1 books and 1 verses, not 66 and 31102"));
  EXPECT_THAT(error_with_bible("PATH=${PATH#*:}; bible \"$@\" | sed 5d"),
              HasSubstr("printed 66 books and 31101 verses"));
  EXPECT_THAT(error_with_bible("echo something else"), HasSubstr("printed 'something else'"));
  EXPECT_THAT(error_with_bible(":"), HasSubstr("printed 0 books"));
}

TEST_F(ProseTest, IsSplitByBookAndPreparedOnce) {
  const TextData first = load();
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("preparing the text, once")));
  EXPECT_THAT(first.valid_documents,
              ElementsAre("Persuasion", "Ruth", "Job", "Daniel", "Acts", "Romans"));
  EXPECT_EQ(first.train_documents.size(), 66u);
  EXPECT_EQ(first.sha256, sha256_hex({first.train, first.valid}));
  const std::string valid(first.valid.begin(), first.valid.end());
  const std::string train(first.train.begin(), first.train.end());
  EXPECT_THAT(valid, HasSubstr("There was a man in the land of Uz"));
  EXPECT_EQ(train.find("There was a man in the land of Uz"), std::string::npos);

  const ScopedVariable no_novels("OMNINORM_JANEAUSTENR", "/nowhere");
  const TextData second = load();
  EXPECT_THAT(notes_, IsEmpty());
  EXPECT_EQ(second.train, first.train);
  EXPECT_EQ(second.valid, first.valid);
  EXPECT_EQ(second.sha256, first.sha256);
  EXPECT_EQ(second.train_documents, first.train_documents);
}

TEST_F(ProseTest, ADamagedCacheIsPreparedAgain) {
  const TextData good = load();
  const auto expect_mended = [&](const char* what) {
    const TextData again = load();
    EXPECT_EQ(again.train, good.train) << what;
    EXPECT_THAT(notes_, ElementsAre(AllOf(HasSubstr("damaged"), HasSubstr(what))));
    EXPECT_EQ(load().sha256, good.sha256);
    EXPECT_THAT(notes_, IsEmpty()) << "mended";
  };
  std::string train = read_text(prepared_ / "train.txt");
  train[1000] = train[1000] == 'x' ? 'y' : 'x';
  cache_.write("prose-1/train.txt", train);
  expect_mended("the checksum does not fit");
  cache_.write("prose-1/valid.txt", "");
  expect_mended("the checksum does not fit");
  fs::remove(prepared_ / "train.txt");
  expect_mended("train.txt cannot be read");
  cache_.write("prose-1/manifest.json", "{\"sha256\"");
  expect_mended("manifest.json cannot be read");
  cache_.write("prose-1/manifest.json", "[]");
  expect_mended("manifest.json cannot be read");
}

TEST_F(ProseTest, ACacheThatCannotBeWrittenStopsNothing) {
  const ScopedVariable cache("OMNINORM_CACHE", "/dev/null/cache");
  const TextData data = load();
  EXPECT_GT(data.train.size(), 3'000'000u);
  EXPECT_THAT(notes_,
              ElementsAre(HasSubstr("preparing"), HasSubstr("the prepared text is not kept")));
}

TEST_F(ProseTest, SeveralAtOncePrepareItOnce) {
  std::vector<std::string> notes, sums;
  std::mutex mutex;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        const TextData data = load_prose([&](const std::string& line) {
          const std::scoped_lock lock(mutex);
          notes.push_back(line);
        });
        const std::scoped_lock lock(mutex);
        sums.push_back(data.sha256);
      });
    }
  }
  EXPECT_EQ(notes.size(), 1u);
  ASSERT_EQ(sums.size(), 4u);
  EXPECT_EQ(std::ranges::count(sums, sums[0]), 4);
}

TEST(Prose, TheRealTextIsWhatItWas) {
  const char* const root = std::getenv("OMNINORM_JANEAUSTENR");
  if (!fs::exists(fs::path(root == nullptr ? "/" : root) / kDatabase)) {
    // ./dev fetches the package; a plain ctest on a machine without it has only the tests above.
    GTEST_SKIP() << "r-cran-janeaustenr is not here; OMNINORM_JANEAUSTENR can name its root";
  }
  const TempFolder cache;
  const ScopedVariable variable("OMNINORM_CACHE", cache.path().string());
  const TextData data = load_prose();
  EXPECT_EQ(data.train.size(), 7'346'855u);
  EXPECT_EQ(data.valid.size(), 816'024u);
  EXPECT_EQ(data.sha256, "7934ed34164b28e19de5dc3d73690f1ecd90fe1a2014785607902fc268b88eeb");
}

}  // namespace
}  // namespace omninorm::lab

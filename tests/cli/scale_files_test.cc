// omninorm scale: where tables come from and go to.
#include <sys/resource.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "cli/scale/common.h"
#include "tests/cli/scale.h"

namespace omninorm::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ScaleFiles : public Scale {
 protected:
  void SetUp() override {
    write("a.csv", "x,y\n0,10\n2,30\n");
    out("fit a.csv -o s.json");
  }
  // "x,y" and rows of 0,10 and 2,30 in turn, as lines.
  std::string rows(int count) const {
    std::string table = "x,y\n";
    for (int i = 0; i < count; ++i) table += i % 2 == 0 ? "0,10\n" : "2,30\n";
    return table;
  }
};

constexpr const char* kScaled = "x,y\n-1,-1\n1,1\n";

TEST_F(ScaleFiles, StandardInputAndOutput) {
  EXPECT_EQ(shell("cat a.csv | '" OMNINORM_BINARY "' scale transform s.json -").out, kScaled);
  EXPECT_EQ(shell("'" OMNINORM_BINARY "' scale fit - <a.csv | '" OMNINORM_BINARY
                  "' scale transform - a.csv -o -")
                .out,
            kScaled);
  const Outcome full = run("transform s.json a.csv >/dev/full");
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.err, HasSubstr("cannot write standard output: No space left on device"));
}

TEST_F(ScaleFiles, GzipAndZstdInAndOut) {
  const std::string table = rows(100000);
  write("big.csv", table);
  for (const std::string end : {".gz", ".zst"}) {
    const std::string unpack = end == ".gz" ? "gzip -dc " : "zstd -dcq ";
    out("transform s.json big.csv -o scaled.csv" + end);
    EXPECT_LT(read("scaled.csv" + end).size(), table.size() / 20);
    out("inverse s.json scaled.csv" + end + " -o back.csv");
    EXPECT_TRUE(read("back.csv") == table) << end;
    // Known by its bytes too.
    shell("mv scaled.csv" + end + " scaled.csv");
    EXPECT_TRUE(out("inverse s.json scaled.csv") == table) << end;
    if (shell("command -v " + unpack.substr(0, unpack.find(' '))).code != 0) continue;
    EXPECT_TRUE(shell(unpack + "<scaled.csv | head -c 14").out == kScaled) << end;
  }
}

TEST_F(ScaleFiles, PackedPartsPutTogetherAreOneTable) {
  write("b.csv", "2,30\n0,10\n");
  EXPECT_EQ(shell("gzip -c a.csv >ab.csv.gz; gzip -c b.csv >>ab.csv.gz; head -c 512 /dev/zero "
                  ">>ab.csv.gz")
                .code,
            0);
  EXPECT_EQ(out("transform s.json ab.csv.gz"), std::string(kScaled) + "1,1\n-1,-1\n");
  out("transform s.json a.csv -o one.csv.zst");
  write("twice.zst", read("one.csv.zst") + read("one.csv.zst"));
  EXPECT_THAT(refused("inverse s.json twice.zst"), HasSubstr("row 3 (line 4), column \"x\""));
}

TEST_F(ScaleFiles, DamagedAndShortPackedFilesAreRefused) {
  write("big.csv", rows(5000));
  for (const std::string end : {"gz", "zst"}) {
    const std::string file = "big.csv." + end;
    out("transform s.json big.csv -o " + file);
    const std::string whole = read(file);
    write("cut." + end, whole.substr(0, whole.size() - 3));
    EXPECT_THAT(refused("inverse s.json cut." + end + " -o back.csv"), HasSubstr("cut short"));
    std::string damaged = whole;
    for (std::size_t i = whole.size() / 2; i < whole.size() / 2 + 8; ++i) {
      damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    }
    write("bad." + end, damaged);
    const Outcome bad = run("inverse s.json bad." + end + " -o back.csv");
    EXPECT_EQ(bad.code, 2);
    EXPECT_FALSE(exists("back.csv"));
  }
  write("tail.gz", read("big.csv.gz") + "more");
  EXPECT_THAT(refused("inverse s.json tail.gz -o back.csv"),
              HasSubstr("bytes behind the end of the gzip data"));
}

// An .npy file of version 1 to 3.
std::string npy(const std::string& dictionary, const std::string& numbers, int version = 1) {
  std::string text = "\x93NUMPY";
  text += static_cast<char>(version);
  text += '\0';
  const std::string header = dictionary + "\n";
  text += static_cast<char>(header.size());
  text += '\0';
  if (version > 1) text += std::string(2, '\0');
  return text + header + numbers;
}

template <class T>
std::string bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

TEST_F(ScaleFiles, NpyOfEveryVersionTypeAndOrder) {
  const std::vector<double> c = {0, 10, 2, 30}, fortran = {0, 2, 10, 30}, scaled = {-1, -1, 1, 1};
  const std::vector<float> cf(c.begin(), c.end()), scaledf(scaled.begin(), scaled.end());
  for (const int version : {1, 2, 3}) {
    write("x.npy",
          npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }", bytes(c), version));
    out("transform s.json x.npy -o y.npy");
    const std::string y = read("y.npy");
    EXPECT_EQ(y.size(), 128u + 32u);
    EXPECT_THAT(y.substr(0, 128),
                HasSubstr("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }"));
    EXPECT_EQ(y.substr(128), bytes(scaled));
  }
  write("f.npy", npy("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2), }", bytes(fortran)));
  out("transform s.json f.npy -o y.npy");
  EXPECT_EQ(read("y.npy").substr(128), bytes(scaled));
  write("x4.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", bytes(cf)));
  const Outcome f4 = run("transform s.json x4.npy -o y4.npy");
  EXPECT_THAT(f4.err, HasSubstr("x4.npy: holds f32, the scaler was fitted on f64"));
  EXPECT_THAT(read("y4.npy").substr(0, 128), HasSubstr("'<f4'"));
  EXPECT_EQ(read("y4.npy").substr(128), bytes(scaledf));
  out("fit x4.npy -o s4.json");
  EXPECT_EQ(json("s4.json").at("fitted_on").at("dtype"), "f32");
  EXPECT_EQ(state("s4.json").at("columns"), state("s.json").at("columns"));
  EXPECT_EQ(out("transform s4.json x4.npy --to csv"), "-1,-1\n1,1\n");
  // Through pipes and packed; from text, which is counted first.
  EXPECT_EQ(shell("'" OMNINORM_BINARY "' scale transform s.json - <x.npy").out, read("y.npy"));
  out("transform s.json x.npy -o y.npy.gz");
  EXPECT_EQ(out("inverse s.json y.npy.gz --to csv"), "0,10\n2,30\n");
  out("transform s.json a.csv -o y.npy");
  EXPECT_THAT(read("y.npy").substr(0, 128), HasSubstr("'shape': (2, 2), }"));
  EXPECT_EQ(read("y.npy").substr(128), bytes(scaled));
  EXPECT_THAT(refused("transform s.json a.csv --to npy"), HasSubstr("number of rows in front"));
  EXPECT_THAT(refused("transform s.json a.csv -o z.npy.gz"), HasSubstr("number of rows in front"));
  EXPECT_FALSE(exists("z.npy.gz"));
}

TEST_F(ScaleFiles, NpyFilesThatCannotBeAreRefused) {
  const auto refuse = [&](const std::string& dictionary, const std::string& numbers = {}) {
    write("x.npy", npy(dictionary, numbers));
    return refused("fit x.npy");
  };
  const std::string tail = ", 'fortran_order': False, 'shape': (2, 2), }";
  EXPECT_THAT(refuse("{'descr': '<f8'" + tail, std::string(31, '\0')),
              HasSubstr("cut short: expected 2 rows"));
  for (const char* type : {"'>f8'", "'<i8'", "'<f2'", "'|u1'", "'<c16'"}) {
    EXPECT_THAT(refuse(std::string("{'descr': ") + type + tail),
                AllOf(HasSubstr("expected '<f4' or '<f8'"), HasSubstr(type)));
  }
  EXPECT_THAT(refuse("{'descr': [('a', '<f8')]" + tail),
              HasSubstr("expected numbers of type f4 or f8"));
  EXPECT_THAT(refuse("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }"),
              AllOf(HasSubstr("got 1 dimension;"), HasSubstr("reshape(-1, 1)")));
  EXPECT_THAT(refuse("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 0), }"),
              HasSubstr("at least one column"));
  EXPECT_THAT(
      refuse("{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 9), }"),
      HasSubstr("expected at most"));
  EXPECT_THAT(refuse("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }"),
              HasSubstr("expected fortran_order and shape"));
  EXPECT_THAT(refuse("{'descr"), HasSubstr("x.npy: expected"));
  write("x.npy", "\x93NUMPY\x01");
  EXPECT_THAT(refused("fit x.npy"), HasSubstr("the NPY header is cut short"));
  write("x.npy", "no numbers at all");
  EXPECT_THAT(refused("fit x.npy"), HasSubstr("expected an NPY file"));
  write("x.npy", std::string("\x93NUMPY\x04\0\x01\0 ", 11));
  EXPECT_THAT(refused("fit x.npy"), HasSubstr("expected version 1, 2 or 3 of NPY, got 4.0"));
  write("f.npy",
        npy("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2), }", std::string(32, '\0')));
  EXPECT_EQ(shell("cat f.npy | '" OMNINORM_BINARY "' scale fit -").code, 2);
}

TEST_F(ScaleFiles, NpyHoldsNumbersAlone) {
  write("b.csv", "x,y,city\n0,10,Rome\n");
  EXPECT_THAT(refused("transform s.json b.csv -o y.npy --quiet"),
              HasSubstr("npy holds numbers alone, and column \"city\""));
  EXPECT_FALSE(exists("y.npy"));
  // Columns of an npy that were not fitted stay numbers.
  write("x.npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }",
                     bytes(std::vector<double>{0, 0.1, 10, 2, 0.2, 30})));
  out("fit x.npy --columns 0,2 -o n.json");
  EXPECT_EQ(out("transform n.json x.npy --to csv"), "-1,0.1,-1\n1,0.2,1\n");
  out("transform n.json x.npy -o y.npy");
  EXPECT_EQ(read("y.npy").substr(128), bytes(std::vector<double>{-1, 0.1, -1, 1, 0.2, 1}));
}

TEST_F(ScaleFiles, WhatIsNoFileIsTold) {
  for (const char* verb : {"fit nowhere.csv", "transform s.json nowhere.csv", "fit ."}) {
    const Outcome outcome = run(verb);
    EXPECT_EQ(outcome.code, 1) << verb;
    EXPECT_THAT(outcome.err, HasSubstr("omninorm: cannot read "));
  }
  const Outcome folder = run("transform s.json a.csv -o nowhere/b.csv");
  EXPECT_EQ(folder.code, 1);
  EXPECT_THAT(folder.err, HasSubstr("cannot write nowhere/b.csv: No such file or directory"));
  EXPECT_THAT(refused("fit a.csv --from xlsx"), HasSubstr("no table format 'xlsx'"));
  write("t.json.d", "");
  EXPECT_THAT(refused("transform s.json a.csv --to xlsx"), HasSubstr("no table format 'xlsx'"));
}

TEST_F(ScaleFiles, TheOutputMayBeTheInput) {
  shell("chmod 640 a.csv && ln -s a.csv link.csv");
  out("transform s.json link.csv -o link.csv");
  EXPECT_EQ(read("a.csv"), kScaled);
  EXPECT_EQ(shell("stat -c %a a.csv && test -L link.csv").out, "640\n");
}

TEST_F(ScaleFiles, AnOutputNeverTakesThePlaceOfWhatIsRead) {
  const std::string table = read("a.csv"), state = read("s.json");
  EXPECT_EQ(shell("ln -s a.csv link.csv").code, 0);
  for (const char* wrong :
       {"fit a.csv -o a.csv", "fit a.csv -o ./link.csv", "fit - -o a.csv <a.csv",
        "transform s.json a.csv -o s.json", "transform - a.csv -o s.json <s.json",
        "show s.json --data a.csv --html a.csv", "show s.json --data a.csv --html s.json"}) {
    EXPECT_THAT(refused(wrong), HasSubstr("which is read, got ")) << wrong;
    EXPECT_EQ(read("a.csv"), table) << wrong;
    EXPECT_EQ(read("s.json"), state) << wrong;
  }
  out("fit a.csv --append s.json -o s.json");
  EXPECT_EQ(json("s.json").at("fitted_on").at("rows"), 4);
}

TEST_F(ScaleFiles, NamesOfDescriptorsAreWrittenToAsTheyAre) {
  const std::string transform = "'" OMNINORM_BINARY "' scale transform s.json a.csv ";
  for (const char* name : {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}) {
    EXPECT_EQ(shell(transform + "-o " + name + " --to csv | cat").out, kScaled) << name;
    // Behind what is there; the file stays the same one.
    EXPECT_EQ(shell("rm -f log hard; echo head >log; ln log hard; " + transform + "-o " + name +
                    " --to csv >>log; cat hard")
                  .out,
              std::string("head\n") + kScaled)
        << name;
    EXPECT_EQ(
        shell("{ echo one; " + transform + "-o " + name + " --to csv; echo two; } >log; cat log")
            .out,
        std::string("one\n") + kScaled + "two\n")
        << name;
  }
  EXPECT_EQ(shell(transform + "-o /dev/fd/7 --to csv 7>seven; cat seven").out, kScaled);
  const Outcome closed = shell(transform + "-o /dev/fd/7 --to csv");
  EXPECT_EQ(closed.code, 1);
  EXPECT_THAT(closed.err, HasSubstr("cannot write /dev/fd/7: Bad file descriptor"));
  EXPECT_EQ(shell("'" OMNINORM_BINARY "' scale fit a.csv -o /dev/stdout | '" OMNINORM_BINARY
                  "' scale transform - a.csv")
                .out,
            kScaled);
}

TEST_F(ScaleFiles, NamesInCapitalsAreCompressedToo) {
  out("transform s.json a.csv -o A.CSV.GZ");
  EXPECT_EQ(read("A.CSV.GZ").substr(0, 2), "\x1f\x8b");
  out("transform s.json a.csv -o A.CSV.ZST");
  EXPECT_EQ(read("A.CSV.ZST").substr(0, 4), "\x28\xb5\x2f\xfd");
}

TEST_F(ScaleFiles, WhatF32CannotHoldIsAnInfinity) {
  write("wide.csv", "x,y\n-1e39,0\n1e39,1\n");
  out("fit wide.csv --kind min_max -o wide.json");
  write("x.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }",
                     bytes(std::vector<float>{0, 0, 1, 1})));
  const float infinity = std::numeric_limits<float>::infinity();
  out("inverse wide.json x.npy -o y.npy");
  EXPECT_EQ(read("y.npy").substr(128), bytes(std::vector<float>{-infinity, 0, infinity, 1}));
  EXPECT_EQ(out("inverse wide.json x.npy --to csv"), "-inf,0\ninf,1\n");
}

TEST_F(ScaleFiles, AnErrorLeavesTheOldFileAndNoOther) {
  write("bad.csv", rows(200000) + "1,word\n");
  write("out.csv", "precious");
  EXPECT_THAT(refused("transform s.json bad.csv -o out.csv"), HasSubstr("bad.csv row 200001"));
  const Outcome full = run("transform s.json bad.csv -o out.csv", "ulimit -f 100;");
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.err, HasSubstr("cannot write out.csv: File too large"));
  EXPECT_EQ(read("out.csv"), "precious");
  EXPECT_EQ(shell("ls").out, "a.csv\nbad.csv\nout.csv\ns.json\n");
}

// Feeds 300,000 rows, waits until some have been written, and then sends the signal.
std::string killed(const std::string& signal) {
  return "mkfifo feed; ( cat big.csv; sleep 60 ) >feed & feeder=$!; "
         "env --default-signal=INT,TERM,HUP '" OMNINORM_BINARY
         "' scale transform s.json - -o out.csv <feed & pid=$!; "
         "for i in $(seq 600); do test -n \"$(find . -name 'out.csv.*' -size +100k)\" && break; "
         "sleep 0.05; done; find . -name 'out.csv.*' -size +100k | wc -l; kill -" +
         signal + " $pid; wait $pid; code=$?; kill $feeder; exit $code";
}

TEST_F(ScaleFiles, KillNineLeavesTheOldFileWhole) {
  write("big.csv", rows(300000));
  write("out.csv", "precious");
  const Outcome outcome = shell(killed("KILL"));
  EXPECT_EQ(outcome.out, "1\n") << "was not writing when it was killed";
  EXPECT_EQ(outcome.code, 128 + 9);
  EXPECT_EQ(read("out.csv"), "precious");
}

TEST_F(ScaleFiles, CtrlCLeavesTheOldFileAndNoOther) {
  write("big.csv", rows(300000));
  write("out.csv", "precious");
  for (const auto& [signal, code] : {std::pair{"INT", 130}, std::pair{"TERM", 143}}) {
    const Outcome outcome = shell(killed(signal) + "; rm feed");
    EXPECT_EQ(outcome.out, "1\n") << "was not writing when it was stopped";
    EXPECT_EQ(outcome.code, code);
    EXPECT_THAT(outcome.err, HasSubstr("omninorm: interrupted\n"));
    EXPECT_EQ(read("out.csv"), "precious");
    EXPECT_EQ(shell("rm feed; ls").out, "a.csv\nbig.csv\nout.csv\ns.json\n");
  }
}

// What is over 20 MB as text takes hardly more memory than what is 3 MB.
TEST_F(ScaleFiles, MemoryDoesNotGrowWithRows) {
  const auto peak = [&](const std::string& arguments) {
    // What is freed counts as free: ASan keeps 256 MB of it by itself.
    const Outcome outcome = run(arguments, "ASAN_OPTIONS=\"$ASAN_OPTIONS:quarantine_size_mb=1\"");
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    rusage usage{};
    ::getrusage(RUSAGE_CHILDREN, &usage);
    return usage.ru_maxrss;  // of the largest child so far, in KiB
  };
  write("small.csv", rows(600000));
  write("big.csv", rows(4500000));
  const auto small = peak("transform s.json small.csv -o small_out.csv.zst");
  EXPECT_LT(peak("transform s.json big.csv -o big_out.csv.zst"), small + 6144);
  EXPECT_LT(peak("fit big.csv -o big.json"), small + 6144);
  // A long cell in each batch, each time in another row. By awk, as a child's peak begins with what
  // its parent had.
  ASSERT_EQ(shell("awk 'BEGIN { long = \"a\"; while (length(long) < 2^21) long = long long; "
                  "print \"x,y,text\"; for (i = 0; i < 50; ++i) for (row = 0; row < 2^16; ++row) "
                  "print \"0,10,\" (row == i ? long : \"\") }' >long.csv")
                .code,
            0);
  EXPECT_LT(peak("transform s.json long.csv --quiet -o long_out.csv.zst"), small + (64 << 10));
}

TEST_F(ScaleFiles, ProgressIsForTerminals) {
  write("big.csv", rows(400000));
  EXPECT_THAT(run("fit big.csv -o b.json").err, IsEmpty());
  // Debian always has it (bsdutils is essential), so there this always runs; others may not.
  if (shell("command -v script").code != 0) GTEST_SKIP() << "no script(1), which makes a terminal";
  // The feed stops for a while, so that a line is due whatever the machine's speed.
  const std::string shown =
      shell(
          "mkfifo feed; ( head -c 900000 big.csv; sleep 0.3; tail -c +900001 big.csv ) >feed & "
          "TERM=xterm script -qec \"'" OMNINORM_BINARY "' scale fit feed -o b.json\" /dev/null")
          .out;
  EXPECT_THAT(shown, AllOf(HasSubstr("MB/s  feed"), ::testing::EndsWith("\r\x1b[K")));
  const std::string quiet =
      shell(
          "( head -c 900000 big.csv; sleep 0.3; tail -c +900001 big.csv ) >feed & TERM=xterm "
          "script -qec \"'" OMNINORM_BINARY "' scale fit feed --quiet -o b.json\" /dev/null")
          .out;
  EXPECT_THAT(quiet, IsEmpty());
}

TEST(ScaleProgress, TheLineSaysWhatFits) {
  using cli::progress_line;
  EXPECT_EQ(progress_line("data.csv", 450000000, 1000000000, 3, 100),
            "[=============                 ]  45% of 1.0 GB  0:04 left  150 MB/s  data.csv");
  EXPECT_EQ(progress_line("data.csv", 450000000, 1000000000, 3, 30), " 45% of 1.0 GB  0:04 left");
  EXPECT_EQ(progress_line("standard input", 5000, 0, 1, 80), "5 kB  5 kB/s  standard input");
  for (int width = 0; width < 100; ++width) {
    EXPECT_LE(progress_line("data.csv", 450000000, 1000000000, 3, width).size(),
              static_cast<std::size_t>(width));
  }
}

}  // namespace
}  // namespace omninorm::testing

// omninorm scale: tables as text, and which of their columns are meant.
#include <cstddef>

#include "tests/cli/scale.h"

namespace omninorm::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ScaleCsv : public Scale {
 protected:
  // A min_max scaler of 0 to 1 on these columns leaves the numbers of a table as they are.
  void fit_identity(const std::string& header, const std::string& flags = "") {
    std::string zeros, ones;
    for (const char c : header) {
      if (c != ',') continue;
      zeros += ",0";
      ones += ",1";
    }
    write("identity.csv", header + "\n0" + zeros + "\n1" + ones + "\n");
    out("fit identity.csv --kind min_max -o i.json " + flags);
  }
  // What the table is when it is written again.
  std::string again(const std::string& table, const std::string& flags = "") {
    write("t.csv", table);
    return out("transform i.json t.csv " + flags);
  }
};

TEST_F(ScaleCsv, QuotedCellsHoldDelimitersQuotesAndLines) {
  fit_identity("x");
  const std::string table =
      "x,\"a, b\"\n1,\"one,two\"\n2,\"say \"\"hi\"\"\"\n3,\"two\nlines\"\n4,\"\r\n\"\n";
  EXPECT_EQ(again(table), table);
}

TEST_F(ScaleCsv, SpacesBelongToTextAndNotToNumbers) {
  fit_identity("x");
  EXPECT_EQ(again("x,y\n 1 ,  a \n\"\t2\",b\t\n"), "x,y\n1,  a \n2,b\t\n");
}

TEST_F(ScaleCsv, LinesEndInAnyWayAndEmptyOnesAreNoRows) {
  fit_identity("x,y");
  for (const char* table : {"x,y\r\n1,2\r\n3,4\r\n", "x,y\n1,2\n3,4", "x,y\r1,2\r3,4\r",
                            "\n\nx,y\n\n1,2\n\r\n3,4\n\n\n", "\xef\xbb\xbfx,y\n1,2\n3,4\n",
                            "\xef\xbb\xbf\"x\",y\n1,2\n3,4\n"}) {
    EXPECT_EQ(again(table), "x,y\n1,2\n3,4\n");
  }
}

TEST_F(ScaleCsv, NumbersAreReadAsTheyAreWrittenAndWrittenShort) {
  fit_identity("x");
  EXPECT_EQ(again("x\n+1\n1e3\n1.50\n.5\n\"7\"\n0.1\n123456789\n1e-400\ninf\n-Infinity\n"),
            "x\n1\n1000\n1.5\n0.5\n7\n0.1\n123456789\n0\ninf\n-inf\n");
  for (const char* word :
       {"1,5", "1 2", "0x10", "1.2.3", "+-1", "--1", "1e", "nan(1)", "$5", "½", "+"}) {
    write("t.csv", "x\n\"" + std::string(word) + "\"\n");
    EXPECT_THAT(refused("transform i.json t.csv"), HasSubstr("expected a number, got \"")) << word;
  }
  write("t.csv", "x\n1\n1e999\n");
  EXPECT_THAT(refused("transform i.json t.csv"),
              HasSubstr("t.csv row 2 (line 3), column \"x\": \"1e999\" is beyond the range"));
}

// 17 digits and more: each reads back as the same double.
TEST_F(ScaleCsv, EveryDoubleComesBack) {
  fit_identity("x");
  const std::string table =
      "x\n0.30000000000000004\n5e-324\n1.7976931348623157e+308\n9007199254740993\n"
      "2.2250738585072011e-308\n";
  EXPECT_EQ(again(table),
            "x\n0.30000000000000004\n5e-324\n1.7976931348623157e+308\n"
            "9007199254740992\n2.225073858507201e-308\n");
}

TEST_F(ScaleCsv, MissingCellsAreIgnoredInFitAndKept) {
  write("a.csv", "x,y\n1,NA\n,5\nnan,?\n3,7\nNaN,\n");
  out("fit a.csv --na NA --na '?' -o s.json");
  EXPECT_EQ(json("s.json").at("columns")[0].at("count")[0], 2);
  EXPECT_EQ(out("transform s.json a.csv --na NA --na '?'"), "x,y\n-1,\n,-1\n,\n1,1\n,\n");
  EXPECT_THAT(refused("transform s.json a.csv --na NA"),
              HasSubstr("a.csv row 3 (line 4), column \"y\": expected a number, got \"?\""));
}

TEST_F(ScaleCsv, ATableOfOneColumnKeepsItsMissingRows) {
  fit_identity("x");
  EXPECT_EQ(again("x\n1\n\"\"\n2\n"), "x\n1\n\"\"\n2\n");
}

TEST_F(ScaleCsv, DelimitersAreByNameOrAsked) {
  write("a.tsv", "x\ty\n0\ta b\n2\tc,d\n");
  write("b.csv", "x;y\n0;\"a;b\"\n2;c,d\n");
  out("fit a.tsv -o s.json");
  EXPECT_EQ(out("transform s.json a.tsv"), "x\ty\n-1\ta b\n1\tc,d\n");
  EXPECT_EQ(out("transform s.json a.tsv --to csv"), "x,y\n-1,a b\n1,\"c,d\"\n");
  EXPECT_EQ(out("transform s.json b.csv --delimiter ';'"), "x;y\n-1;\"a;b\"\n1;c,d\n");
  write("c.txt", "x|y\n0|u\n2|v\n");
  EXPECT_EQ(out("transform s.json c.txt --delimiter '|'"), "x|y\n-1|u\n1|v\n");
  write("d.csv", "x y\n0 u\n2 v\n");
  EXPECT_EQ(out("transform s.json d.csv --delimiter space"), "x y\n-1 u\n1 v\n");
  for (const char* wrong : {"ab", "1", ".", "e", "-", "'\"'", "é"}) {
    EXPECT_THAT(refused(std::string("fit b.csv --delimiter ") + wrong),
                HasSubstr("--delimiter expected one character"));
  }
}

TEST_F(ScaleCsv, AWrongDelimiterIsGuessedAtInTheError) {
  write("a.csv", "x;y\n1;u\n2;v\n");
  EXPECT_THAT(refused("fit a.csv"), AllOf(HasSubstr("expected a column of numbers, got \"x;y\""),
                                          HasSubstr("is the --delimiter right")));
}

TEST_F(ScaleCsv, RaggedRowsAreShown) {
  fit_identity("x,y");
  write("short.csv", "x,y,z\n1,2,3\n\"a\nb\",2\n");
  EXPECT_THAT(refused("fit short.csv"),
              HasSubstr("short.csv row 2 (line 3): expected 3 cells, as in the first line, got 2; "
                        "column \"z\" is not there"));
  write("long.csv", "x,y\n1,2\n\n3,4,5\n");
  EXPECT_THAT(
      refused("transform i.json long.csv"),
      HasSubstr("long.csv row 2 (line 4): expected 2 cells, as in the first line, got more: "
                "\"5\" is beyond column \"y\""));
}

TEST_F(ScaleCsv, LinesAreCountedHoweverTheyEnd) {
  for (const char* table : {"x,y\n1,2\n\n\"3\n\",4\n5\n", "x,y\r\n1,2\r\n\r\n\"3\r\n\",4\r\n5\r\n",
                            "x,y\r1,2\r\r\"3\n\",4\r5\r"}) {
    write("t.csv", table);
    EXPECT_THAT(refused("fit t.csv --columns y"),
                HasSubstr("t.csv row 3 (line 6): expected 2 cells"));
  }
}

TEST_F(ScaleCsv, QuotesOutOfPlaceAreShown) {
  write("a.csv", "x,y\n1,2\n3,5\" pipe\n");
  EXPECT_THAT(refused("fit a.csv"),
              HasSubstr("a.csv row 2 (line 3): a quote in cell 2 is neither around the whole cell "
                        "nor doubled"));
  write("b.csv", "x,y\n1,2\n\"open,3\n4,5\n");
  EXPECT_THAT(refused("fit b.csv"),
              HasSubstr("b.csv row 2 (line 3): the quote that opens in cell 1 is never closed"));
  write("c.csv", "\"x\"y,z\n1,2\n");
  EXPECT_THAT(refused("fit c.csv"), HasSubstr("c.csv line 1: a quote in cell 1"));
}

TEST_F(ScaleCsv, AWordAmongNumbersIsAnErrorWhereverItStands) {
  write("first.csv", "id,price\n1,2.5\n2,n/a\n3,4\n");
  EXPECT_THAT(refused("fit first.csv"),
              AllOf(HasSubstr("first.csv row 2 (line 3), column \"price\": expected a number, got "
                              "\"n/a\""),
                    HasSubstr("--text"), HasSubstr("--na")));
  // Beyond the first batch, which has 2^16 rows.
  std::string table = "id,price\n";
  for (int i = 1; i < 70000; ++i) table += std::to_string(i) + ",1\n";
  write("late.csv", table + "70000,cheap\n");
  EXPECT_THAT(refused("fit late.csv"),
              HasSubstr("late.csv row 70000 (line 70001), column \"price\": expected a number, got "
                        "\"cheap\""));
  const Outcome text = run("fit first.csv --text price -o s.json");
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(json("s.json").at("fitted_on").at("column_names"), nlohmann::json({"id"}));
  out("fit first.csv --columns id -o s.json");
  out("fit first.csv --na n/a -o s.json");
  write("word.csv",
        "id,price\n1,\"a\tvery long text that would fill the whole terminal and more\"\n2,3\n");
  EXPECT_THAT(refused("fit word.csv"),
              HasSubstr("got \"a\\tvery long text that would fill the who...\""));
}

TEST_F(ScaleCsv, EmptyFilesAndOtherEncodingsAreRefused) {
  write("empty.csv", "");
  write("lines.csv", "\n\r\n\n");
  EXPECT_THAT(refused("fit empty.csv"),
              HasSubstr("empty.csv: expected a line of column names, got an empty file"));
  EXPECT_THAT(refused("fit lines.csv"), HasSubstr("got an empty file"));
  EXPECT_THAT(refused("fit empty.csv --no-header"), HasSubstr("expected rows, got an empty file"));
  write("latin1.csv",
        "gr\xf6\xdf"
        "e,x\n1,2\n");
  EXPECT_THAT(refused("fit latin1.csv"), HasSubstr("latin1.csv: expected column names in UTF-8"));
  out("fit latin1.csv --columns x -o s.json");
  EXPECT_EQ(out("transform s.json latin1.csv"),
            "gr\xf6\xdf"
            "e,x\n1,0\n");
  write("utf16.csv", std::string("\xff\xfex\0\n\0", 6));
  EXPECT_THAT(refused("fit utf16.csv"), AllOf(HasSubstr("got UTF-16"), HasSubstr("iconv")));
}

TEST_F(ScaleCsv, ColumnsAreMatchedByName) {
  write("fit.csv", "a,b,id\n0,10,1\n2,30,2\n");
  out("fit fit.csv --text id -o s.json");
  write("other.csv", "id,b,new,a\nk1,10,x,2\nk2,30,y,0\n");
  const Outcome moved = run("transform s.json other.csv");
  EXPECT_EQ(moved.out, "id,b,new,a\nk1,-1,x,1\nk2,1,y,-1\n");
  EXPECT_THAT(moved.err, HasSubstr("passed through, as they were not there in fit: \"new\""));
  write("missing.csv", "a,id\n1,1\n");
  EXPECT_THAT(refused("transform s.json missing.csv"),
              HasSubstr("missing.csv: expected the fitted column \"b\", got \"a\", \"id\""));
  write("twice.csv", "a,b,a\n1,1,1\n");
  EXPECT_THAT(refused("transform s.json twice.csv"), HasSubstr("one column \"a\", got several"));
  EXPECT_THAT(refused("fit twice.csv"), HasSubstr("names of their own, got \"a\" twice"));
  // Later files of fit, and merge.
  write("more.csv", "b,a,extra\n10,0,1\n30,2,2\n");
  const Outcome more = run("fit fit.csv more.csv --text id -o two.json");
  EXPECT_THAT(more.err,
              HasSubstr("more.csv: not fitted, as they were not there before: \"extra\""));
  EXPECT_EQ(json("two.json").at("columns")[1].at("mean"), nlohmann::json({20, 0}));
  EXPECT_THAT(refused("fit fit.csv missing.csv --text id"),
              HasSubstr("missing.csv: expected the fitted column \"b\""));
}

TEST_F(ScaleCsv, ColumnsCanBeChosen) {
  write("a.csv", "a,b,\"c,d\"\n0,10,5\n2,30,6\n");
  out("fit a.csv --columns 'c,d' --columns a -o s.json");
  EXPECT_EQ(json("s.json").at("fitted_on").at("column_names"), nlohmann::json({"a", "c,d"}));
  EXPECT_EQ(out("transform s.json a.csv"), "a,b,\"c,d\"\n-1,10,-1\n1,30,1\n");
  EXPECT_EQ(out("transform s.json a.csv --columns a"), "a,b,\"c,d\"\n-1,10,5\n1,30,6\n");
  write("alone.csv", "row,a\nu,1\n");
  EXPECT_EQ(out("inverse s.json alone.csv --columns a"), "row,a\nu,2\n");
  EXPECT_THAT(refused("fit a.csv --columns a,z"),
              HasSubstr("expected a column \"z\", got \"a\", \"b\""));
  EXPECT_THAT(refused("transform s.json a.csv --columns b"),
              HasSubstr("expected fitted columns, got \"b\""));
  out("fit a.csv --columns a,b -o ab.json");
  EXPECT_EQ(json("ab.json").at("fitted_on").at("column_names"), nlohmann::json({"a", "b"}));
}

TEST_F(ScaleCsv, WithoutNamesColumnsGoByPlace) {
  write("a.csv", "0,u,10\n2,v,30\n");
  out("fit a.csv --no-header -o s.json");
  EXPECT_EQ(json("s.json").at("fitted_on").at("column_names"), nlohmann::json({"0", "2"}));
  EXPECT_EQ(out("transform s.json a.csv --no-header"), "-1,u,-1\n1,v,1\n");
  // The fitted columns alone.
  write("b.csv", "2,10\n0,30\n");
  EXPECT_EQ(out("transform s.json b.csv --no-header"), "1,-1\n-1,1\n");
  write("c.csv", "2,u,10,7\n");
  EXPECT_THAT(refused("transform s.json c.csv --no-header"),
              HasSubstr("c.csv: without names to go by, expected 2 columns, as fitted, or the 3 of "
                        "the table that was fitted, got 4"));
  // Names that came later, of a table with as many columns.
  write("named.csv", "p,q,r\n2,u,10\n");
  EXPECT_EQ(out("transform s.json named.csv"), "p,q,r\n1,u,-1\n");
  // Names that are gone.
  write("n.csv", "p,q,r\n0,u,10\n2,v,30\n");
  out("fit n.csv -o n.json");
  EXPECT_EQ(out("transform n.json a.csv --no-header"), "-1,u,-1\n1,v,1\n");
  EXPECT_EQ(out("transform n.json a.csv --no-header --columns 2"), "0,u,-1\n2,v,1\n");
  EXPECT_THAT(refused("transform n.json a.csv --no-header --columns 1"),
              HasSubstr("expected fitted columns, got \"1\""));
  EXPECT_THAT(refused("transform n.json a.csv"),
              HasSubstr("expected the fitted columns \"p\", \"r\""));
}

// pandas calls columns 0, 1, ... where they have no names: these are names all the same.
TEST_F(ScaleCsv, NamesThatArePlacesAreNamesWhereOneIsThere) {
  write("a.csv", "0,1,2\n0,5,10\n2,7,30\n");
  EXPECT_THAT(run("fit a.csv -o s.json").err, IsEmpty());
  write("other.csv", "0,2,x\n0,10,5\n");
  EXPECT_THAT(refused("transform s.json other.csv"),
              HasSubstr("other.csv: expected the fitted column \"1\", got \"0\", \"2\", \"x\""));
  write("order.csv", "2,1,0\n10,5,0\n");
  EXPECT_EQ(out("transform s.json order.csv"), "2,1,0\n-1,-1,-1\n");
  write("named.csv", "p,q,r\n2,7,30\n");
  const Outcome named = run("transform s.json named.csv");
  EXPECT_EQ(named.out, "p,q,r\n1,1,1\n");
  const std::string by_place = "note: named.csv: columns go by place, not by name";
  EXPECT_THAT(named.err, HasSubstr(by_place));
  EXPECT_THAT(run("fit named.csv --append s.json -o t.json").err, HasSubstr(by_place));
}

TEST_F(ScaleCsv, ARowThatIsTakenForNamesIsTold) {
  write("a.csv", "0.5,7\n1,2\n3,4\n");
  EXPECT_THAT(run("fit a.csv -o s.json").err,
              AllOf(HasSubstr("a.csv: the names of all columns are numbers: \"0.5\""),
                    HasSubstr("--no-header")));
  EXPECT_THAT(run("fit a.csv --no-header -o s.json").err, IsEmpty());
  write("b.csv", "1,x\n1,2\n3,4\n");
  EXPECT_THAT(run("fit b.csv -o s.json").err, IsEmpty());
}

TEST_F(ScaleCsv, AFittedNameStandsOnceInTheTable) {
  write("a.csv", "x,y,x\n1,2,word\n3,4,word\n");
  EXPECT_THAT(run("fit a.csv").err, HasSubstr("names of their own, got \"x\" twice"));
  out("fit a.csv --columns y -o s.json");
  EXPECT_EQ(out("transform s.json a.csv"), "x,y,x\n1,-1,word\n3,1,word\n");
}

TEST_F(ScaleCsv, WeightsThatAreLeftOutLaterAreTold) {
  write("a.csv", "x,w\n0,3\n4,1\n");
  out("fit a.csv --weights w -o s.json");
  EXPECT_THAT(out("show s.json"), HasSubstr(", with weights\n"));
  EXPECT_THAT(run("fit a.csv --append s.json -o t.json").err,
              HasSubstr("note: s.json was fitted with --weights; without it"));
  EXPECT_THAT(run("fit a.csv --append s.json --weights w -o t.json").err, IsEmpty());
  out("fit a.csv --columns x -o u.json");
  EXPECT_THAT(run("fit a.csv --append u.json -o t.json").err, Not(HasSubstr("weights")));
}

TEST_F(ScaleCsv, WordsOfNaAreTrimmedAsCellsAre) {
  write("a.csv", "x\n1\n NA \n3\n");
  out("fit a.csv --na ' NA ' -o s.json");
  EXPECT_EQ(json("s.json").at("columns")[0].at("count")[0], 2);
}

TEST_F(ScaleCsv, TextThatBeginsLikeArrowCanBeReadAsCsv) {
  write("a", "PAR1,x\n1,2\n3,4\n");
  EXPECT_THAT(refused("fit a"),
              HasSubstr("(parquet by its first bytes; --from csv if it is text)"));
  out("fit a --from csv -o s.json");
  write("b", "ARROW1,x\n1,2\n3,4\n");
  EXPECT_THAT(refused("fit b"), HasSubstr("(arrow by its first bytes; --from csv if it is text)"));
}

TEST_F(ScaleCsv, AScalerWithoutNamesGoesByPlace) {
  write("a.csv", "x,y\n0,10\n2,30\n");
  out("fit a.csv -o s.json");
  std::string bare = read("s.json");
  for (const std::string names : {"[\"x\",\"y\"]", "[\"x\",\"y\"]"}) {
    bare.replace(bare.find(names), names.size(), "[]");
  }
  write("bare.json", bare);
  EXPECT_EQ(out("transform bare.json a.csv"), "x,y\n-1,-1\n1,1\n");
  write("b.csv", "x,y,z\n0,10,1\n");
  EXPECT_THAT(
      refused("transform bare.json b.csv"),
      HasSubstr("expected 2 columns, as fitted, got 3 (\"x\", \"y\", \"z\"); the scaler has "
                "no column names"));
  EXPECT_THAT(out("show bare.json"), HasSubstr("\n0           2"));
}

TEST_F(ScaleCsv, TablesMayBeWide) {
  std::string names, zeros, twos;
  for (int j = 0; j < 20000; ++j) {
    const std::string comma = j == 0 ? "" : ",";
    names += comma + "c" + std::to_string(j);
    zeros += comma + "0";
    twos += comma + "2";
  }
  std::string table = names + "\n", scaled = names + "\n";
  for (int row = 0; row < 20; ++row) {
    table += zeros + "\n" + twos + "\n";
    std::string low = zeros, high = twos;
    for (char& c : high) c = c == '2' ? '1' : c;
    std::size_t at = 0;
    while ((at = low.find('0', at)) != std::string::npos) low.replace(at, 1, "-1"), at += 2;
    scaled += low + "\n" + high + "\n";
  }
  write("wide.csv", table);
  out("fit wide.csv -o s.json");
  EXPECT_TRUE(out("transform s.json wide.csv") == scaled);
  out("transform s.json wide.csv -o scaled.csv");
  EXPECT_TRUE(out("inverse s.json scaled.csv") == table);
}

// The last bits do not depend on how the bytes arrive.
TEST_F(ScaleCsv, APipeAndAFileGiveTheSameBits) {
  std::string table = "x,y\n";
  for (int i = 0; i < 150000; ++i) table += std::to_string(1e9 + i % 977 / 7.0) + ",0.1\n";
  write("a.csv", table);
  out("fit a.csv -o file.json");
  EXPECT_EQ(
      shell("cat a.csv | dd bs=777 status=none | '" OMNINORM_BINARY "' scale fit - -o pipe.json")
          .code,
      0);
  EXPECT_EQ(state("file.json"), state("pipe.json"));
}

}  // namespace
}  // namespace omninorm::testing

// Reports on folders as they are found: whole, half-written, damaged, hostile.
#include "lab/report/report.h"

#include <sys/resource.h>

#include <csignal>
#include <system_error>

#include "omninorm/error.h"
#include "tests/report/fixture.h"

namespace omninorm::lab::report {
namespace {

namespace fs = std::filesystem;
using synthetic::SyntheticAxis;
using synthetic::write_experiment;
using synthetic::write_run;
using synthetic::write_text;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<SyntheticAxis> kPlacements = {{"placement", {"pre", "peri"}}};

class Report : public ReportFolder {
 protected:
  std::string page(const fs::path& file = {}) { return read(write_report(folder, file).file); }

  static nlohmann::json data_of(const std::string& page) {
    const std::string open = "<script type=\"application/json\" id=\"data\">";
    const std::size_t start = page.find(open) + open.size();
    return nlohmann::json::parse(page.substr(start, page.find("</script>", start) - start));
  }
};

TEST_F(Report, IsOneFileWithoutPlaceholdersOrNetwork) {
  write_experiment(folder, "default");
  const auto result = write_report(folder);
  EXPECT_EQ(result.file, folder / "report.html");
  const std::string text = read(result.file);
  EXPECT_THAT(text, HasSubstr(result.headline));
  EXPECT_THAT(text, HasSubstr("Chart.js v3"));
  EXPECT_THAT(text, Not(HasSubstr("{{title}}")));
  EXPECT_THAT(text, Not(HasSubstr("<script src")));
  EXPECT_THAT(text, Not(HasSubstr("<link rel=\"stylesheet")));
  EXPECT_LT(text.size(), 1'000'000u);
}

TEST_F(Report, GoesWhereItIsAskedTo) {
  write_experiment(folder, "single");
  const auto result = write_report(folder, folder / "elsewhere.html");
  EXPECT_EQ(result.file, folder / "elsewhere.html");
  EXPECT_TRUE(fs::exists(folder / "elsewhere.html"));
  EXPECT_FALSE(fs::exists(folder / "report.html"));
}

TEST_F(Report, SameFilesGiveTheSamePage) {
  write_experiment(folder, "default");
  EXPECT_EQ(page(), page());
}

TEST_F(Report, LongRunsStaySmallAndKeepTheirLastStep) {
  write_experiment(folder, "long");
  const std::string text = page();
  EXPECT_LT(text.size(), 3'000'000u);
  const auto data = data_of(text);
  for (const auto& run : data["runs"]) {
    EXPECT_LE(run["loss"]["x"].size(), 602u);
    EXPECT_EQ(run["loss"]["x"].back(), 20000);
    EXPECT_EQ(run["probes"]["step"].back(), 20000);
    EXPECT_LE(run["probes"]["step"].size(), 125u);
  }
  EXPECT_TRUE(data["sampled"]);
}

TEST_F(Report, UserTextIsNoMarkup) {
  write_experiment(folder, "hostile");
  const std::string text = page();
  EXPECT_THAT(text, Not(HasSubstr("<script>window.pwned")));
  EXPECT_THAT(text, Not(HasSubstr("<img")));
  EXPECT_THAT(text, Not(HasSubstr("<b>bold")));
  EXPECT_THAT(text, HasSubstr("&lt;b&gt;bold&lt;/b&gt; {{data}}"));
  EXPECT_EQ(data_of(text)["axes"][0]["values"][0], "</script><script>window.pwned=1</script>");
}

TEST_F(Report, ACutLastLineIsLeftOutAndSaid) {
  write_experiment(folder, "unfinished");
  const auto result = write_report(folder);
  EXPECT_THAT(result.notes, Contains(HasSubstr("cut")));
  EXPECT_THAT(result.notes, Contains(HasSubstr("has not finished")));
  EXPECT_THAT(read(result.file), HasSubstr("not started"));
}

TEST_F(Report, WithoutAPlanTheAxesComeFromTheRuns) {
  for (const char* placement : {"peri", "pre"})
    for (const char* lr : {"0.01", "0.003"}) write_run(folder, placed(placement, 1.7, lr));
  const Experiment experiment = load_experiment(folder);
  ASSERT_EQ(experiment.axes.size(), 2u);
  EXPECT_EQ(experiment.axes[0].name, "placement");  // as in the id, not by the alphabet
  EXPECT_EQ(experiment.variants.size(), 4u);
  EXPECT_THAT(write_report(folder).notes, Contains(HasSubstr("experiment.json is missing")));
}

TEST_F(Report, RunsOfAnotherCommandAreNotPooled) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6), second = placed("peri", 1.5, "", 2);
  const auto base = synthetic::run_json(pre)["settings"];
  write_run(folder, second);  // by an earlier command: not in the plan
  EXPECT_EQ(load(kPlacements, {pre, peri}, {{"base", base}}).runs.size(), 2u);
  EXPECT_THAT(write_report(folder).notes,
              Contains(HasSubstr("placement=peri,seed=2 is left out: experiment.json does not")));
  peri.layers = 2;  // same id, other settings
  EXPECT_EQ(load(kPlacements, {pre, peri}, {{"base", base}}).runs.size(), 1u);
  EXPECT_THAT(write_report(folder).notes,
              Contains(HasSubstr("placement=peri,seed=1 is left out: it was made with layers 2, "
                                 "the others with 6")));
}

TEST_F(Report, SizedRunsOfAnotherLengthAreNotPooled) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6);
  auto base = synthetic::run_json(pre)["settings"];
  base["steps"] = 0;
  peri.steps = peri.planned = 400;
  const Experiment experiment = load(kPlacements, {pre, peri}, {{"base", base}, {"steps", 200}});
  ASSERT_EQ(experiment.runs.size(), 1u);
  EXPECT_EQ(experiment.runs[0].steps, 200);
}

TEST_F(Report, WithoutAPlanMixedSettingsAreNotPooled) {
  for (const char* placement : {"peri", "pre"}) write_run(folder, placed(placement, 1.7));
  auto other = placed("post", 1.2);
  other.layers = 2;
  write_run(folder, other);
  EXPECT_EQ(load_experiment(folder).runs.size(), 2u);
  EXPECT_THAT(write_report(folder).notes,
              Contains(HasSubstr("placement=post,seed=1 is left out: it was made with other")));
}

TEST_F(Report, ADamagedPlanIsSaid) {
  write_experiment(folder, "single");
  for (const char* text :
       {"{\"axes\": [", "[]", "", "{\"axes\":[1,{\"name\":2}],\"variants\":7}"}) {
    write_text(folder / "experiment.json", text);
    EXPECT_NO_THROW(write_report(folder)) << text;
  }
}

TEST_F(Report, OneValueWrittenTwoWaysIsOneValue) {
  const Experiment experiment = load({{"lr", {"3e-3", "1e-2"}}}, [] {
    auto a = placed("pre", 1.7), b = placed("pre", 1.6);
    a.varied = {{"lr", "0.003"}}, b.varied = {{"lr", "0.01"}};
    return std::vector{a, b};
  }());
  EXPECT_EQ(experiment.axes[0].values, (std::vector<std::string>{"3e-3", "1e-2"}));
  EXPECT_EQ(experiment.variants.size(), 2u);
}

TEST_F(Report, RunsWithoutMetricsOrRunJson) {
  write_experiment(folder, "default");
  fs::remove(folder / "runs/placement=pre,lr=0.003,seed=1/metrics.jsonl");
  fs::remove(folder / "runs/placement=peri,lr=0.003,seed=1/run.json");
  write_text(folder / "runs/placement=output,lr=0.003,seed=1/run.json", "[1, 2]");
  const auto result = write_report(folder);
  EXPECT_THAT(result.notes, Contains(HasSubstr("placement=peri,lr=0.003,seed=1 is left out")));
  EXPECT_THAT(result.notes, Contains(HasSubstr("placement=output,lr=0.003,seed=1 is left out")));
  EXPECT_THAT(result.notes, Contains(HasSubstr("Pre at lr 0.003 has not finished")));
}

TEST_F(Report, OddRecordsDoNotStopIt) {
  write_experiment(folder, "single");
  write_text(folder / "runs/seed=1/metrics.jsonl",
             "{\"kind\":\"step\",\"step\":1,\"loss\":\"nan\",\"grad_norm\":\"inf\"}\n"
             "{\"kind\":\"step\",\"step\":\"two\",\"loss\":[]}\n"
             "{\"kind\":\"step\",\"step\":-4}\n"
             "{\"kind\":7,\"step\":1e300}\n"
             "{\"kind\":\"probe\",\"step\":1,\"layers\":[{},3,null],\"output\":5}\n"
             "{\"kind\":\"probe\",\"step\":2,\"layers\":\"none\"}\n"
             "{\"kind\":\"probe\",\"step\":3,\"layers\":[]}\n"
             "{\"kind\":\"valid\",\"step\":3,\"loss\":\"nan\"}\n"
             "{\"kind\":\"spike\",\"step\":3}\n"
             "{\"kind\":\"later invention\",\"step\":3}\n"
             "not json\n[]\n\n"
             "{\"kind\":\"end\",\"status\":\"done\",\"reason\":4}\n");
  const auto result = write_report(folder);
  EXPECT_THAT(result.notes, Contains(HasSubstr("4 records of an unknown kind")));
  EXPECT_EQ(result.headline, "No run finished.");
}

TEST_F(Report, AllLossesNotFinite) {
  auto run = placed("pre", 1.7);
  run.status = "diverged", run.steps = 1, run.probes = false;
  write_run(folder, run);
  const auto data = data_of(page());
  EXPECT_TRUE(data["runs"][0]["loss"]["y"][0].is_null());
}

TEST_F(Report, VariantsMayDifferInTheirDepth) {
  auto shallow = placed("pre", 1.7), deep = placed("peri", 1.6);
  shallow.varied = {{"layers", "2"}}, deep.varied = {{"layers", "12"}};
  shallow.layers = 2, deep.layers = 12;
  load({{"layers", {"2", "12"}}}, {shallow, deep});
  const auto data = data_of(page());
  EXPECT_EQ(data["runs"].size(), 2u);
  std::vector<std::size_t> depths;
  for (const auto& run : data["runs"]) depths.push_back(run["probes"]["grad_norm"][0].size());
  EXPECT_THAT(depths, ::testing::UnorderedElementsAre(2u, 12u));
}

TEST_F(Report, NoRunsIsAClearError) {
  try {
    write_report(folder);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("[report] expected runs in"));
    EXPECT_THAT(error.what(), HasSubstr("omninorm compare --out"));
  }
  EXPECT_THROW(write_report(folder / "nothing"), Error);
  write_text(folder / "file", "x");
  EXPECT_THROW(write_report(folder / "file"), Error);
}

TEST_F(Report, AFailedWriteLeavesTheOldReport) {
  write_experiment(folder, "single");
  const std::string old = page();
  // A limit on file size stands for a full disk: writes fail half-way in the same manner.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 100'000;
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(write_report(folder), std::system_error);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(read(folder / "report.html"), old);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder)) ++files;
  EXPECT_EQ(files, 3u);  // experiment.json, report.html, runs: no half a file beside them
}

}  // namespace
}  // namespace omninorm::lab::report

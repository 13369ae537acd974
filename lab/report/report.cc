#include "lab/report/report.h"

#include "lab/page/page.h"
#include "lab/report/analysis.h"
#include "lab/report/assets.h"
#include "lab/report/page.h"
#include "lab/report/summary.h"
#include "lab/report/words.h"
#include "src/core/atomic_file.h"

namespace omninorm::lab {
namespace {

std::string page_of(const report::Experiment& experiment, const report::Summary& summary) {
  using namespace report;
  const auto section = [](const std::string& open, const std::string& inner, const char* close) {
    return inner.empty() ? std::string() : open + inner + close;
  };
  return fill_page(template_html(),
                   {{"title", escape_html(summary.title)},
                    {"headline", rich_html(summary.headline)},
                    {"name", escape_html(experiment.name)},
                    {"facts", facts_html(summary.compared)},
                    {"warnings", section("<div class=\"warning\" role=\"note\">",
                                         paragraphs_html(summary.warnings), "</div>")},
                    {"findings", findings_html(summary.happened)},
                    {"limits", list_html(summary.limits)},
                    {"outcome", outcome_html(experiment)},
                    {"comparison", comparison_html(experiment)},
                    {"method", method_html(experiment)},
                    {"versions", versions_html(experiment)},
                    {"notes", section("<h3>Notes</h3><ul>", list_html(experiment.notes), "</ul>")},
                    {"css", std::string(template_css())},
                    {"data", script_json(page_data(experiment))},
                    {"charts_script", std::string(template_charts_js())},
                    {"script", std::string(template_js())}});
}

}  // namespace

ReportResult write_report(const std::filesystem::path& folder, const std::filesystem::path& file) {
  const report::Experiment experiment = report::load_experiment(folder);
  const report::Summary summary = report::summarise(experiment);
  ReportResult result;
  result.file = file.empty() ? folder / "report.html" : file;
  result.headline = summary.headline;
  result.notes = experiment.notes;
  for (const report::Run& run : experiment.runs)
    if (run.status == "unfinished")
      result.notes.push_back(report::run_title(experiment, run) + " has not finished");
  internal::write_file_atomically(result.file, page_of(experiment, summary));
  return result;
}

}  // namespace omninorm::lab

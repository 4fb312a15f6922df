#include "experiments/study_pages.h"

#include <set>

#include "absl/strings/str_format.h"
#include "common/base/text_table.h"

namespace consilium::experiments {
namespace {

Task TaskOf(const StudyResults& results) {
  for (const StudySeed& seed : results.seeds) {
    for (const StudyModel& model : seed.models) {
      if (!model.by_site.empty()) return model.by_site.begin()->second.task();
    }
  }
  return Task::kBinary;
}

// The study's own figure first, then what the task is judged by elsewhere.
std::vector<Figure> FiguresOf(const Study& study) {
  if (study.figure == Figure::kHeadline) return {Figure::kHeadline};
  return {study.figure, Figure::kHeadline};
}

std::string SeedsText(const StudyResults& results) {
  std::string text;
  for (const StudySeed& seed : results.seeds) {
    StrAppend(&text, text.empty() ? "" : ", ", seed.seed);
  }
  return text;
}

std::vector<std::string> NotesOf(const StudyResults& results) {
  std::vector<std::string> notes;
  std::set<std::string> seen;
  for (const StudySeed& seed : results.seeds) {
    for (const std::string& note : seed.notes) {
      if (seen.insert(note).second) notes.push_back(note);
    }
  }
  return notes;
}

constexpr std::string_view kHowToRead =
    "Each cell is the mean over the seeds, with the lowest and the highest in brackets where they "
    "differ. The interval is that of the test patients, its ends averaged over the seeds. A site's "
    "own model is trained on that site's rows alone; the pooled one on all sites' rows in one "
    "place, "
    "which a consortium without federated learning would have to collect.";

}  // namespace

report::Document StudyPage(const StudyResults& results, const Study& study) {
  report::Document page(
      std::string(study.title),
      StrCat("consilium-experiment ", results.program_version, ", seeds ", SeedsText(results)));
  for (const std::string& sentence : VerdictOf(results, study)) page.Paragraph(sentence);
  for (const Figure figure : FiguresOf(study)) {
    page.Heading(StrCat("Test ", TitleOf(figure, TaskOf(results))));
    const StudyTableText table = TableOf(results, figure);
    page.Table(table.header, table.rows);
  }
  page.Note(kHowToRead);
  page.Heading("Sites");
  std::vector<std::vector<std::string>> sites;
  for (const StudySeed& seed : results.seeds) {
    for (const StudySite& site : seed.sites) {
      sites.push_back({StrCat(seed.seed), site.name, site.description});
    }
  }
  page.Table({"seed", "site", "what it has"}, sites);
  page.List(NotesOf(results));
  page.Heading("Runs");
  std::vector<std::vector<std::string>> runs;
  for (const StudySeed& seed : results.seeds) {
    double seconds = 0;
    for (const auto& [part, taken] : seed.seconds) seconds += taken;
    const auto federation = seed.seconds.find("federation");
    runs.push_back(
        {StrCat(seed.seed), StrCat(seed.rounds), seed.model_id.substr(0, 12),
         absl::StrFormat("%.1f", federation == seed.seconds.end() ? 0.0 : federation->second),
         absl::StrFormat("%.1f", seconds)});
  }
  page.Table({"seed", "rounds", "model (SHA-256)", "federated training, s", "all, s"}, runs);
  page.Heading("Data");
  page.Paragraph(study.citations);
  page.Heading("To repeat it");
  page.Code(results.command);
  page.Heading("The plan");
  page.Code(results.plan_toml);
  return page;
}

std::string StudySummary(const StudyResults& results, const Study& study) {
  std::string text;
  for (const Figure figure : FiguresOf(study)) {
    const StudyTableText cells = TableOf(results, figure);
    TextTable table(cells.header);
    for (const std::vector<std::string>& row : cells.rows) table.AddRow(row);
    StrAppend(&text, "\nTest ", TitleOf(figure, TaskOf(results)),
              ", mean over seeds (lowest to highest)\n\n", table.ToString());
  }
  text += "\n";
  for (const std::string& sentence : VerdictOf(results, study)) StrAppend(&text, sentence, "\n");
  return text;
}

}  // namespace consilium::experiments

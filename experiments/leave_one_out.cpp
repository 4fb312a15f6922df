#include "experiments/leave_one_out.h"

#include <cstdio>

#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/base/version.h"
#include "experiments/study_pages.h"

namespace consilium::experiments {
namespace {

const std::vector<std::string> kHeader = {"held out", "federated", "pooled data",
                                          "one other site alone"};

// Those that could train, as the study itself makes them.
absl::StatusOr<std::vector<std::string>> TrainingSites(const StudyOptions& options,
                                                       const Study& study, const fs::path& out) {
  std::string toml(study.plan);
  if (!options.plan.empty()) {
    ASSIGN_OR_RETURN(toml, ReadTextFile(options.plan, 1 << 20));
  }
  ASSIGN_OR_RETURN(const plan::Plan plan, plan::ParsePlan(toml));
  const fs::path folder = out / "sites";
  RETURN_IF_ERROR(RemoveTree(folder));
  const StudyInput input{fs::absolute(options.data), {}, {}, 1};
  const auto prepared = study.prepare(input, plan, folder);
  RETURN_IF_ERROR(prepared.status());
  RETURN_IF_ERROR(RemoveTree(folder));
  std::vector<std::string> names;
  for (const StudySite& site : prepared->sites) {
    if (site.trains) names.push_back(site.name);
  }
  return names;
}

std::vector<std::vector<std::string>> Rows(const std::vector<LeftOut>& all, Figure figure) {
  std::vector<std::vector<std::string>> rows;
  for (const LeftOut& one : all) {
    const LeftOutRow row = RowOf(one, figure);
    rows.push_back(
        {row.site, row.federated.ToString(), row.pooled.ToString(), row.alone.ToString()});
  }
  return rows;
}

Task TaskOf(const Study& study) {
  const auto plan = plan::ParsePlan(study.plan);
  return plan.ok() ? plan->target.task : Task::kBinary;
}

absl::Status WritePages(const std::vector<LeftOut>& all, const Study& study,
                        const StudyOptions& options, const fs::path& out) {
  report::Document page(StrCat(study.title, ": each site left out"),
                        StrCat("consilium-experiment ", kVersion, ", ", options.seeds, " seeds"));
  page.Heading(StrCat(TitleOf(study.figure, TaskOf(study)), " at the site that did not train"));
  page.Table(kHeader, Rows(all, study.figure));
  page.Note(
      "Each cell is the mean over the seeds (and, of models of one site alone, over the sites), "
      "with the lowest and the highest in brackets. All of the site's patients are tested on.");
  std::vector<std::string> notes;
  for (const StudySeed& seed : all.front().results.seeds) {
    if (notes.empty()) notes = seed.notes;
  }
  page.List(notes);
  page.Heading("Data");
  page.Paragraph(study.citations);
  page.Heading("To repeat it");
  page.Code(StrCat("./experiments/study ", options.name, " --data ", options.data.string(),
                   " --leave-one-out --seeds ", options.seeds));
  RETURN_IF_ERROR(WriteFileDurably(out / "leave-one-out.md", page.Markdown(), 0644));
  return WriteFileDurably(out / "leave-one-out.html", page.Html(), 0644);
}

}  // namespace

LeftOutRow RowOf(const LeftOut& left_out, Figure figure) {
  LeftOutRow row{.site = left_out.site, .federated = {}, .pooled = {}, .alone = {}};
  for (const StudySeed& seed : left_out.results.seeds) {
    for (const StudyModel& model : seed.models) {
      const auto tested = model.by_site.find(left_out.site);
      if (tested == model.by_site.end()) continue;
      Spread& spread = model.kind == ModelKind::kFederated ? row.federated
                       : model.kind == ModelKind::kPooled  ? row.pooled
                                                           : row.alone;
      spread.Add(FigureOf(tested->second, figure));
    }
  }
  return row;
}

absl::Status RunLeaveOneOut(const StudyOptions& options) {
  ASSIGN_OR_RETURN(const Study* study, FindStudy(options.name));
  if (!options.held_out.empty() || !options.test.empty()) {
    return absl::InvalidArgumentError(
        "--leave-one-out holds out each site itself: give neither --held-out nor --test");
  }
  const fs::path out = OutOf(options);
  RETURN_IF_ERROR(EnsureFolder(out));
  ASSIGN_OR_RETURN(const std::vector<std::string> sites, TrainingSites(options, *study, out));
  std::vector<LeftOut> all;
  for (const std::string& site : sites) {
    std::printf("==== Without %s\n", site.c_str());
    StudyOptions without = options;
    without.held_out = {site};
    without.out = out / StrCat("without-", site);
    ASSIGN_OR_RETURN(StudyResults results, RunStudy(without));
    all.push_back({site, std::move(results)});
    RETURN_IF_ERROR(WritePages(all, *study, options, out));
  }
  TextTable table(kHeader);
  for (const auto& row : Rows(all, study->figure)) table.AddRow(row);
  std::printf("\n%s at the site that did not train\n\n%s\nPage      %s\n",
              std::string(TitleOf(study->figure, TaskOf(*study))).c_str(), table.ToString().c_str(),
              (out / "leave-one-out.html").c_str());
  return absl::OkStatus();
}

}  // namespace consilium::experiments

// consilium-dataset table: what the platform sees in a table, for the site's own operator.

#include "datasets/tables/command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/base/file.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/plan/plan.h"
#include "datasets/catalog.h"
#include "datasets/patient_split.h"
#include "datasets/tables/profile.h"
#include "datasets/tables/table_data.h"

namespace consilium::datasets::tables {
namespace {

constexpr std::uint64_t kLargestFile = 256ull << 20;

struct Arguments {
  fs::path file, plan, state;
  bool json = false;
};

void Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// The site's own, or without --state one of zeros, whose split of the patients is another.
absl::StatusOr<deidentification::Pseudonymiser> PseudonymsOf(const fs::path& state) {
  if (state.empty()) return deidentification::Pseudonymiser::Create(crypto::Secret(32));
  ASSIGN_OR_RETURN(const auto key,
                   deidentification::LoadSiteKey(Catalog::KeyFile(state / "catalog.db")));
  return deidentification::Pseudonymiser::Create(key);
}

std::string ColumnsAsRead(const plan::Plan& plan, const TableSummary& summary) {
  TextTable table({"column", "read as", "present", "missing", "beyond or unknown"});
  for (std::size_t i = 0; i < summary.columns.size(); ++i) {
    const plan::Column& column = plan.table.columns[i];
    const ColumnCounts& counts = summary.columns[i];
    const std::string as = column.kind == plan::ColumnKind::kNumber
                               ? StrCat("number ", column.minimum, " to ", column.maximum)
                               : StrCat("category of ", column.values.size());
    table.AddRow(
        {column.name, as, StrCat(counts.present), StrCat(counts.missing), StrCat(counts.outside)});
  }
  return table.ToString();
}

std::string SplitsAsRead(const plan::Plan& plan, const TableSummary& summary) {
  const bool yes_or_no = plan.target.task == Task::kBinary || plan.target.task == Task::kSurvival;
  std::vector<std::string> header = {"split", "patients", "rows"};
  if (yes_or_no) header.push_back(plan.target.task == Task::kBinary ? "positive" : "events");
  TextTable table(std::move(header));
  for (const Split split : {Split::kTrain, Split::kValidation, Split::kTest}) {
    const SplitCounts& counts = summary.Of(split);
    std::vector<std::string> row = {std::string(datasets::Name(split)), StrCat(counts.patients),
                                    StrCat(counts.examples)};
    if (yes_or_no) row.push_back(StrCat(counts.positives));
    table.AddRow(std::move(row));
  }
  return table.ToString();
}

nlohmann::ordered_json AsJson(const plan::Plan& plan, const TableSummary& summary) {
  nlohmann::ordered_json json = {{"name", plan.name}};
  for (const Split split : {Split::kTrain, Split::kValidation, Split::kTest}) {
    const SplitCounts& counts = summary.Of(split);
    json["splits"][std::string(datasets::Name(split))] = {{"patients", counts.patients},
                                                          {"rows", counts.examples}};
  }
  for (std::size_t i = 0; i < summary.columns.size(); ++i) {
    const ColumnCounts& counts = summary.columns[i];
    json["columns"].push_back({{"name", plan.table.columns[i].name},
                               {"present", counts.present},
                               {"missing", counts.missing},
                               {"outside", counts.outside}});
  }
  json["refused_rows"] = nlohmann::ordered_json::object();
  for (const auto& [reason, rows] : summary.refusals) {
    json["refused_rows"][std::string(Name(reason))] = rows;
  }
  return json;
}

absl::Status PrintJson(const Arguments& arguments, const std::optional<plan::Plan>& plan,
                       std::string_view csv, const std::string& profile) {
  auto json = nlohmann::ordered_json::parse(profile);
  absl::Status refused;
  if (plan) {
    ASSIGN_OR_RETURN(const auto pseudonyms, PseudonymsOf(arguments.state));
    const auto data = TableData::Parse(csv, *plan, pseudonyms);
    refused = data.status();
    json["plan"] = data.ok() ? AsJson(*plan, data->summary())
                             : nlohmann::ordered_json{{"name", plan->name},
                                                      {"refused", std::string(refused.message())}};
  }
  Print(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  return refused;
}

// What the plan would find.
absl::Status Try(const Arguments& arguments, const plan::Plan& plan, std::string_view csv) {
  ASSIGN_OR_RETURN(const auto pseudonyms, PseudonymsOf(arguments.state));
  const auto data = TableData::Parse(csv, plan, pseudonyms);
  if (!data.ok()) {
    return WithContext(data.status(), StrCat("the plan ", plan.name, " would be refused"));
  }
  const TableSummary& summary = data->summary();
  std::string text = StrCat("\nThe plan ", plan.name, " would read:\n\n",
                            ColumnsAsRead(plan, summary), "\n", SplitsAsRead(plan, summary));
  for (const auto& [reason, rows] : summary.refusals) {
    StrAppend(&text, rows, rows == 1 ? " row" : " rows", " left out: ", Phrase(reason), "\n");
  }
  if (arguments.state.empty()) {
    text += "The site's own key splits the patients in another way: --state STATE shows which.\n";
  }
  if (arguments.file.stem() != plan.table.name) {
    StrAppend(&text, "The plan reads ", plan.table.name,
              ".csv: call the file so in the site's "
              "data folder.\n");
  }
  if (summary.train.patients < plan.data.minimum_patients) {
    StrAppend(&text, "This site would decline: the plan asks for ", plan.data.minimum_patients,
              " patients to train on.\n");
  }
  Print(text);
  return absl::OkStatus();
}

absl::StatusOr<plan::Plan> ReadPlan(const fs::path& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, 1 << 20));
  ASSIGN_OR_RETURN(plan::Plan plan, plan::ParsePlan(text));
  if (plan.data.source != plan::Source::kTable) {
    return absl::InvalidArgumentError(StrCat("the plan ", plan.name, " reads no table"));
  }
  return plan;
}

absl::Status Run(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const std::string csv, ReadTextFile(arguments.file, kLargestFile));
  auto profile = Profile(csv);
  if (!profile.ok()) {
    return WithContext(profile.status(), arguments.file.filename().string());
  }
  std::optional<plan::Plan> plan;
  if (!arguments.plan.empty()) {
    ASSIGN_OR_RETURN(plan, ReadPlan(arguments.plan));
  }
  const std::string suggested =
      SuggestedColumns(*profile, plan ? plan->target.Columns() : std::vector<std::string>());
  if (arguments.json) return PrintJson(arguments, plan, csv, ToJson(*profile, suggested));
  Print(ToText(*profile));
  if (plan) return Try(arguments, *plan, csv);
  Print(StrCat(
      "\n# For a plan's [table]. Remove what is to be predicted, and what gives it away. The "
      "ranges are this\n# site's, rounded: widen them to what is plausible at any site, as "
      "what lies beyond is missing.\n\n",
      suggested));
  return absl::OkStatus();
}

}  // namespace

std::function<absl::Status()> AddTableCommand(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();  // shared: with the function that is given
  CLI::App* command = app.add_subcommand(
      "table",
      "What the platform sees in a CSV table: columns, kinds, gaps, and what a plan would "
      "find");
  command->add_option("file", arguments->file, "The table (CSV)")->required();
  command->add_option("--plan", arguments->plan, "Try this plan on it");
  command->add_option("--state", arguments->state,
                      "The site's state folder, for its own split of the patients");
  command->add_flag("--json", arguments->json, "The columns and the suggestion as JSON");
  return [arguments] { return Run(*arguments); };
}

}  // namespace consilium::datasets::tables

#include "site_agent/drift_command.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/local_sites.h"
#include "site_agent/site_state.h"

namespace consilium::site_agent {
namespace {

constexpr char kExamples[] = R"(Examples:
  consilium-site drift 3fa9c1 --record chest.record.json --state site --data images
  consilium-site drift 3fa9c1 --record chest.record.json --state site --data images \
    --since 2026-10-01 --json

The baseline is kept when a published model is first evaluated or looked at here (STATE/drift). New
are patients whose files came after it; of tables and recordings, patients who are not in it.)";

std::optional<std::int64_t> SecondsOf(const std::string& date) {
  absl::Time time;
  std::string error;
  for (const char* form : {"%Y-%m-%d", absl::RFC3339_full}) {
    if (absl::ParseTime(form, ForAbsl(date), &time, &error)) return absl::ToUnixSeconds(time);
  }
  return std::nullopt;
}

std::string DateOf(std::int64_t seconds) { return ToRfc3339(Time(std::chrono::seconds(seconds))); }

std::string Figure(double value) { return absl::StrFormat("%.3g", value); }

nlohmann::ordered_json QuantilesOf(const Feature& feature) {
  nlohmann::ordered_json quantiles = nlohmann::ordered_json::array();
  for (const double share : {0.05, 0.25, 0.5, 0.75, 0.95}) {
    quantiles.push_back(metrics::Quantile(feature.values, share));
  }
  return quantiles;
}

}  // namespace

std::int64_t SecondsNow() {
  return std::chrono::duration_cast<std::chrono::seconds>(SystemClock().Now().time_since_epoch())
      .count();
}

std::int64_t BaselineEnd(const PublishedModel& model, bool trained_here, std::int64_t now) {
  const auto published = SecondsOf(model.published);
  return trained_here && published ? *published : now;
}

std::string ToText(const DriftReport& report) {
  std::string text =
      StrCat("model ", report.model.Short(), ": ", report.new_patients, " new patients since ",
             DateOf(report.since), ", ", report.baseline_patients, " before\n\n");
  TextTable table({"", "median before", "median now", "PSI", "KS", "p", ""});
  for (const DriftReport::Line& line : report.lines) {
    std::vector<std::string> row = {
        line.now.name, Figure(metrics::Quantile(line.before.values, 0.5)),
        line.now.values.empty() ? "-" : Figure(metrics::Quantile(line.now.values, 0.5))};
    if (line.shift) {
      row.push_back(absl::StrFormat("%.2f", line.shift->stability_index));
      row.push_back(absl::StrFormat("%.2f", line.shift->distance));
      row.push_back(absl::StrFormat("%.4f", line.shift->p));
      row.push_back(line.shifted ? "shifted" : "");
    } else {
      row.insert(row.end(), {"-", "-", "-", "too few"});
    }
    table.AddRow(row);
  }
  StrAppend(&text, table.ToString(), "\n");
  if (!report.due) return StrCat(text, "Not to be told yet: ", report.why, ".\n");
  return StrCat(text, *report.due ? "A continual round is due: " : "No continual round is due: ",
                report.why, ".\n");
}

std::string ToJson(const DriftReport& report) {
  nlohmann::ordered_json json = {{"model", report.model.Hex()},
                                 {"since", DateOf(report.since)},
                                 {"baseline_patients", report.baseline_patients},
                                 {"new_patients", report.new_patients},
                                 {"due", nullptr},
                                 {"why", report.why}};
  if (report.due) json["due"] = *report.due;
  for (const DriftReport::Line& line : report.lines) {
    nlohmann::ordered_json one = {{"name", line.now.name},
                                  {"of", line.now.answer ? "answer" : "input"},
                                  {"shifted", line.shifted}};
    if (line.shift) {
      one["psi"] = line.shift->stability_index;
      one["psi_by_chance"] = line.shift->stability_index_by_chance;
      one["ks"] = line.shift->distance;
      one["p"] = line.shift->p;
      // Quantiles of few patients are nearly those patients.
      one["before"] = QuantilesOf(line.before);
      one["now"] = QuantilesOf(line.now);
    }
    json["features"].push_back(std::move(one));
  }
  return json.dump();
}

void AddDriftOptions(CLI::App& command, DriftCommand& arguments) {
  command.footer(kExamples);
  AddModelOptions(command, arguments.model, /*required=*/true);
  command.add_option("--state", arguments.state, "Folder that keeps this site's identity and work")
      ->required();
  command.add_option("--data", arguments.data, "Folder tree of DICOM files")->required();
  command.add_option("--since", arguments.since,
                     "Only patients that came after this day (2026-11-01)");
  command.add_option("--threads", arguments.threads, "Threads; 0: all cores")
      ->check(CLI::Range(0, 1024));
  command.add_flag("--json", arguments.json, "Print JSON for scripts");
}

absl::Status Run(const DriftCommand& command) {
  std::optional<std::int64_t> since;
  if (!command.since.empty()) {
    since = SecondsOf(command.since);
    if (!since) {
      return absl::InvalidArgumentError(
          StrCat("--since \"", command.since, "\" is no day: write it as 2026-11-01"));
    }
  }
  learning::ConfigureRuntime(command.threads);
  ASSIGN_OR_RETURN(const PublishedModel model, LoadPublishedModel(command.state, command.model));
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(command.state));
  TerminalProgress progress;
  ASSIGN_OR_RETURN(const auto sites,
                   IndexAll({command.data}, command.state, command.threads, progress));
  ASSIGN_OR_RETURN(
      const DriftBaseline baseline,
      EnsureBaseline(command.state, model, *sites.front(),
                     BaselineEnd(model, model.trained_here, since.value_or(SecondsNow())),
                     progress));
  ASSIGN_OR_RETURN(const DriftReport report,
                   LookForDrift(baseline, model, *sites.front(), since, progress));
  std::printf("%s", command.json ? (ToJson(report) + "\n").c_str() : ToText(report).c_str());
  return absl::OkStatus();
}

}  // namespace consilium::site_agent

#include "site_agent/predict_output.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/text_table.h"

namespace consilium::site_agent {
namespace {

using nlohmann::ordered_json;

ordered_json AboutModel(const PublishedModel& model) {
  const auto& about = model.description;
  ordered_json json = {{"model", about.id.Hex()},
                       {"name", about.name},
                       {"run", about.run},
                       {"federation", about.federation},
                       {"target", about.target}};
  json["personal"] = about.personal.empty() ? ordered_json() : ordered_json(about.personal);
  json["operating_point"] = nullptr;
  if (model.operating_point) {
    json["operating_point"] = {{"threshold", model.operating_point->threshold},
                               {"established", model.operating_point->established}};
  }
  return json;
}

}  // namespace

std::string InWords(const PredictionReport& report, const std::optional<SentResults>& sent) {
  TextTable table({"images", "files"});
  table.AddRow({"scored", StrCat(report.scored.size())});
  if (report.waiting > 0) {
    table.AddRow({"series that may not be whole yet", StrCat(report.waiting)});
  }
  if (report.before > 0) {
    table.AddRow({"scored before (--again scores them anew)", StrCat(report.before)});
  }
  for (const auto& [reason, count] : report.refused) {
    table.AddRow({StrCat("refused: ", datasets::Phrase(reason)), StrCat(count)});
  }
  table.AddRow({"results written", StrCat(report.results)});
  if (sent) {
    table.AddRow({"results sent", StrCat(sent->sent)});
    if (sent->before > 0) table.AddRow({"sent before", StrCat(sent->before)});
    for (const auto& [reason, count] : sent->refused) {
      table.AddRow({StrCat("refused by the archive: ", reason), StrCat(count)});
    }
  }
  return table.ToString();
}

std::string ToJson(const PublishedModel& model, const PredictionReport& report,
                   const std::optional<SentResults>& sent, const fs::path& data) {
  ordered_json json = AboutModel(model);
  json["files"] = report.files;
  json["scored"] = report.scored.size();
  json["before"] = report.before;
  json["waiting"] = report.waiting;
  json["refused"] = ordered_json::object();
  for (const auto& [reason, count] : report.refused) {
    json["refused"][std::string(datasets::Name(reason))] = count;
  }
  json["results"] = report.results;
  json["images"] = ordered_json::array();
  for (const Scored& image : report.scored) {
    ordered_json line = {{"file", image.file.lexically_relative(data).string()},
                         {"files", image.files},
                         {"scores", ordered_json::object()},
                         {"present", nullptr},
                         {"results", image.results.string()}};
    for (const auto& [name, score] : image.scores) line["scores"][name] = score;
    // Of a yes-or-no question, as before there were others.
    if (model.plan.target.task == Task::kBinary) line["score"] = image.scores.at(0).second;
    if (image.present) line["present"] = *image.present;
    for (const auto& [name, ml] : image.volumes_ml) line["volumes_ml"][name] = ml;
    json["images"].push_back(std::move(line));
  }
  if (sent) {
    json["sent"] = {{"sent", sent->sent}, {"before", sent->before}, {"refused", sent->refused}};
  }
  return json.dump(2) + "\n";
}

std::string Introduce(const PublishedModel& model) {
  const auto& about = model.description;
  return StrCat("model ", about.name, " ", about.id.Short(), " of run ", about.run,
                ", published by ", about.federation, ": verified\n");
}

std::string AnswersOf(const PublishedModel& model) {
  const auto& about = model.description;
  std::string text;
  if (!about.personal.empty()) {
    StrAppend(&text, "this site's own model ", about.id.Short(), ", by ", about.personal,
              ", answers in its place\n");
  }
  if (model.plan.target.task == Task::kSurvival) {
    StrAppend(&text, "it answers with a risk, larger is worse, and the chance to live beyond ",
              model.plan.target.intervals.size(), " intervals' ends (survival)\n");
  } else if (model.plan.target.task != Task::kBinary) {
    StrAppend(&text, "it answers for ", absl::StrJoin(model.plan.target.classes, ", "), " (",
              Name(model.plan.target.task), ")\n");
  } else if (model.operating_point) {
    absl::StrAppendFormat(&text, "%s is called present from a score of %.4f on (%s)\n",
                          about.target, model.operating_point->threshold,
                          model.operating_point->established);
  } else {
    StrAppend(&text, "no threshold is established for it: scores are given, and nothing is ",
              "called present or absent\n");
  }
  return text;
}

std::string InWords(const RowPredictions& predictions, const fs::path& file) {
  TextTable table({"rows", "number"});
  table.AddRow({"scored", StrCat(predictions.rows.size())});
  for (const auto& [reason, count] : predictions.refused) {
    table.AddRow({StrCat("refused: ", predictions.why.at(reason)), StrCat(count)});
  }
  return StrCat(table.ToString(), "written: ", file.string(), "\n");
}

std::string ToJson(const PublishedModel& model, const RowPredictions& predictions,
                   const fs::path& file) {
  ordered_json json = AboutModel(model);
  json["scored"] = predictions.rows.size();
  json["refused"] = predictions.refused;
  json["predictions"] = file.string();
  json["rows"] = ordered_json::array();
  for (const PredictedRow& row : predictions.rows) {
    ordered_json line = {{"patient_id", row.patient}};
    if (!row.file.empty()) line["file"] = row.file;
    for (std::size_t i = 0; i < row.answers.size(); ++i) {
      line["answers"][predictions.answers[i]] = row.answers[i];
    }
    if (row.present) line["present"] = *row.present;
    json["rows"].push_back(std::move(line));
  }
  return json.dump(2) + "\n";
}

}  // namespace consilium::site_agent

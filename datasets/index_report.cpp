#include "datasets/index_report.h"

#include <nlohmann/json.hpp>

#include "common/base/text.h"
#include "common/base/text_table.h"

namespace consilium::datasets {
namespace {

std::string Advice(Refusal reason) {
  switch (reason) {
    case Refusal::kUnsupportedTransferSyntax:
      return "convert the files, for example with gdcmconv --raw";
    case Refusal::kMissingLabel:
      return "add rows to labels.csv";
    case Refusal::kConflictingLabels:
      return "keep one value for each key in labels.csv";
    case Refusal::kBurnedInAnnotation:
      return "blank the text (consilium-dataset deidentify), or burned_in = \"accept\" in "
             "policy.toml";
    case Refusal::kDuplicateInstance:
      return "the first by path is used";
    case Refusal::kUnreadable:
      return "check the permissions";
    default:
      return "";
  }
}

// The commonest detail is worth a look in the summary; with all files, each has its own.
std::string ExampleDetail(const IndexReport& report, Refusal reason) {
  for (const FileRefusal& file : report.refused) {
    if (file.refused.reason == reason && !file.refused.detail.empty()) return file.refused.detail;
  }
  return "";
}

}  // namespace

std::string ToText(const IndexReport& report, bool all) {
  std::string text =
      StrCat(report.files, " files: ", report.read, " read, ", report.unchanged, " unchanged; ",
             report.removed, " gone\n", report.accepted, " images of ", report.patients,
             " patients accepted, ", report.refused.size(), " files refused\n");
  if (report.erased > 0) {
    StrAppend(&text,
              "The catalog that was there was erased, and all files were read anew: an "
              "earlier version of this program had made it, with identifiers, or the key beside it "
              "is another one.\n");
  }
  if (!report.by_reason.empty()) {
    TextTable table({"refused because", "files", "for example", "what to do"});
    for (const auto& [reason, count] : report.by_reason) {
      table.AddRow({std::string(Phrase(reason)), StrCat(count), ExampleDetail(report, reason),
                    Advice(reason)});
    }
    StrAppend(&text, "\n", table.ToString());
  }
  if (all && !report.refused.empty()) {
    TextTable table({"file", "refused because", "detail"});
    for (const FileRefusal& file : report.refused) {
      table.AddRow({file.path, std::string(Phrase(file.refused.reason)), file.refused.detail});
    }
    StrAppend(&text, "\n", table.ToString());
  } else if (!report.refused.empty()) {
    StrAppend(&text, "\n--all lists the files.\n");
  }
  if (!report.has_labels) {
    StrAppend(&text,
              "\nNo labels: there is no labels.csv in the folder, and --labels names none.\n");
  } else if (report.labels_without_image > 0) {
    StrAppend(&text, "\nwarning: ", report.labels_without_image, " keys (", report.label_key,
              ") of the labels match no image\n");
  }
  return text;
}

std::string ToJson(const IndexReport& report) {
  nlohmann::json json = {
      {"files", report.files},         {"read", report.read},
      {"unchanged", report.unchanged}, {"removed", report.removed},
      {"erased", report.erased},       {"accepted", report.accepted},
      {"patients", report.patients},   {"label_key", report.label_key},
      {"targets", report.targets},     {"labels_without_image", report.labels_without_image}};
  json["refused_by_reason"] = nlohmann::json::object();
  for (const auto& [reason, count] : report.by_reason) {
    json["refused_by_reason"][std::string(Name(reason))] = count;
  }
  json["refused"] = nlohmann::json::array();
  for (const FileRefusal& file : report.refused) {
    json["refused"].push_back({{"file", file.path},
                               {"reason", std::string(Name(file.refused.reason))},
                               {"detail", file.refused.detail}});
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace consilium::datasets

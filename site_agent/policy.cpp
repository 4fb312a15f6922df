#include "site_agent/policy.h"

#include <algorithm>

#include <toml++/toml.h>

#include "common/base/status.h"

namespace consilium::site_agent {
namespace {

using Words = std::optional<std::vector<std::string>>;

absl::Status Refuse(const toml::node& node, std::string_view key, std::string_view allowed) {
  return absl::InvalidArgumentError(
      StrCat("policy.toml line ", node.source().begin.line, ": ", key, " must be ", allowed));
}

absl::Status ReadWords(const toml::node& node, std::string_view key, Words* words) {
  const toml::array* array = node.as_array();
  if (array == nullptr) return Refuse(node, key, "a list of texts");
  words->emplace();
  for (const toml::node& element : *array) {
    const auto word = element.value_exact<std::string>();
    if (!word) return Refuse(element, key, "a list of texts");
    (*words)->push_back(*word);
  }
  return absl::OkStatus();
}

absl::Status ReadFlag(const toml::node& node, std::string_view key, bool* flag) {
  const auto value = node.value_exact<bool>();
  if (!value) return Refuse(node, key, "true or false");
  *flag = *value;
  return absl::OkStatus();
}

absl::StatusOr<std::uint32_t> ReadCount(const toml::node& node, std::string_view key,
                                        std::int64_t least) {
  const auto value = node.value_exact<std::int64_t>();
  if (!value || *value < least || *value > 1'000'000) {
    return Refuse(node, key, StrCat("a whole number from ", least, " to 1000000"));
  }
  return static_cast<std::uint32_t>(*value);
}

absl::Status ReadKey(std::string_view key, const toml::node& node, Policy* policy) {
  for (const auto& [name, flag] : {std::pair{"enabled", &Policy::enabled},
                                   {"sealed_updates", &Policy::sealed_updates},
                                   {"describe", &Policy::describe},
                                   {"recordings", &Policy::recordings}}) {
    if (key == name) return ReadFlag(node, key, &(policy->*flag));
  }
  for (const auto& [name, words] : {std::pair{"researchers", &Policy::researchers},
                                    {"plans", &Policy::plans},
                                    {"targets", &Policy::targets},
                                    {"modalities", &Policy::modalities},
                                    {"tables", &Policy::tables},
                                    {"columns", &Policy::columns},
                                    {"architectures", &Policy::architectures}}) {
    if (key == name) return ReadWords(node, key, &(policy->*words));
  }
  if (key == "decide") {
    const auto value = node.value_exact<std::string>();
    if (value != "rules" && value != "ask") return Refuse(node, key, "\"rules\" or \"ask\"");
    policy->decide = value == "ask" ? DecideBy::kAsk : DecideBy::kRules;
    return absl::OkStatus();
  }
  if (key == "minimum_cohort") {
    ASSIGN_OR_RETURN(policy->minimum_cohort, ReadCount(node, key, 2));
    return absl::OkStatus();
  }
  if (key == "maximum_rounds") {
    ASSIGN_OR_RETURN(policy->maximum_rounds, ReadCount(node, key, 1));
    return absl::OkStatus();
  }
  if (key == "deidentification") return absl::OkStatus();  // read by ParseIndexPolicy
  return absl::InvalidArgumentError(StrCat(
      "policy.toml line ", node.source().begin.line, ": unknown key \"", key,
      "\"; known are enabled, decide, researchers, plans, targets, modalities, tables, columns, "
      "recordings, architectures, minimum_cohort, sealed_updates, maximum_rounds, describe and the "
      "table deidentification"));
}

absl::Status CheckListed(const Words& allowed, std::string_view what, std::string_view value) {
  if (!allowed || std::find(allowed->begin(), allowed->end(), value) != allowed->end()) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      StrCat("the site's policy does not allow ", what, " \"", value, "\""));
}

}  // namespace

absl::Status Policy::Check(const plan::Plan& plan, std::string_view researcher) const {
  if (!enabled) {
    return absl::PermissionDeniedError("the site's operator has switched its participation off");
  }
  RETURN_IF_ERROR(CheckListed(researchers, "plans of researcher", researcher));
  RETURN_IF_ERROR(CheckListed(plans, "plan", plan.name));
  if (plan.describe && !describe) {
    return absl::PermissionDeniedError(
        "the site's policy does not let it tell what its images are (describe = true would)");
  }
  RETURN_IF_ERROR(CheckData(plan));
  if (!plan.describe) {
    RETURN_IF_ERROR(
        CheckListed(architectures, "architecture", plan::Name(plan.model.architecture)));
  }
  return CheckRounds(plan);
}

absl::Status Policy::CheckData(const plan::Plan& plan) const {
  std::vector<std::string> asked = plan.target.Columns();
  if (TaughtByMasks(plan.target.task) || asked.empty()) asked = {plan.target.name};
  for (const std::string& target : asked) {
    if (plan.describe && target.empty()) continue;
    RETURN_IF_ERROR(CheckListed(targets, "target", target));
  }
  for (const std::string& modality : plan.data.modalities) {
    RETURN_IF_ERROR(CheckListed(modalities, "modality", modality));
  }
  if (!plan.table.name.empty()) {
    RETURN_IF_ERROR(CheckListed(tables, "table", plan.table.name));
    for (const plan::Column& column : plan.table.columns) {
      RETURN_IF_ERROR(CheckListed(columns, "column", column.name));
    }
  }
  if (plan.data.source == plan::Source::kAudio && !recordings) {
    return absl::PermissionDeniedError(
        "the site's policy does not allow plans of recordings (recordings = true would)");
  }
  for (const plan::Retain retain : plan.deidentification.retain) {
    if (deidentification.retain.contains(retain)) continue;
    return absl::PermissionDeniedError(StrCat("the plan asks to retain \"", plan::Name(retain),
                                              "\", the site's policy does not "
                                              "(deidentification.retain)"));
  }
  return absl::OkStatus();
}

absl::Status Policy::CheckRounds(const plan::Plan& plan) const {
  if (plan.aggregation.updates == plan::Updates::kSealed && !sealed_updates) {
    return absl::PermissionDeniedError(
        "the plan's updates are only sealed, so that the coordinator sees this site's own; the "
        "site's policy asks for masked ones (sealed_updates = true would allow it)");
  }
  if (plan.cohort.minimum_sites < minimum_cohort) {
    return absl::PermissionDeniedError(
        StrCat("the plan counts a round on ", plan.cohort.minimum_sites,
               " sites, the site's policy asks for at least ", minimum_cohort));
  }
  if (maximum_rounds && plan.stop.rounds > *maximum_rounds) {
    return absl::PermissionDeniedError(StrCat("the plan has ", plan.stop.rounds,
                                              " rounds, the site's policy allows at most ",
                                              *maximum_rounds));
  }
  return absl::OkStatus();
}

absl::StatusOr<Policy> ParsePolicy(std::string_view text) try {
  const toml::table table = toml::parse(text);
  Policy policy;
  for (const auto& [key, node] : table) RETURN_IF_ERROR(ReadKey(key.str(), node, &policy));
  ASSIGN_OR_RETURN(policy.deidentification, datasets::ParseIndexPolicy(text));
  return policy;
} catch (const toml::parse_error& error) {
  return absl::InvalidArgumentError(StrCat("policy.toml line ", error.source().begin.line, ": ",
                                           std::string_view(error.description())));
}

absl::StatusOr<Policy> LoadPolicy(const fs::path& file) {
  absl::StatusOr<std::string> text = ReadTextFile(file, 1 << 20);
  if (absl::IsNotFound(text.status())) return Policy{};
  if (!text.ok()) return text.status();
  return ParsePolicy(*text);
}

}  // namespace consilium::site_agent

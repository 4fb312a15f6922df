#include "datasets/index_policy.h"

#include <array>
#include <string>

#include <toml++/toml.h>

#include "common/base/status.h"

namespace consilium::datasets {
namespace {

constexpr std::array<plan::Retain, 3> kAllRetain = {plan::Retain::kPatientCharacteristics,
                                                    plan::Retain::kDeviceIdentity,
                                                    plan::Retain::kInstitutionIdentity};

absl::Status Fault(const toml::node& node, std::string_view what) {
  return absl::InvalidArgumentError(
      StrCat("policy.toml line ", node.source().begin.line, ": ", what));
}

absl::Status ReadRetain(const toml::node& node, std::set<plan::Retain>* retain) {
  constexpr std::string_view kWhat =
      "deidentification.retain must be a list of \"patient_characteristics\", \"device_identity\", "
      "\"institution_identity\"";
  const toml::array* words = node.as_array();
  if (words == nullptr) return Fault(node, kWhat);
  retain->clear();
  for (const toml::node& element : *words) {
    const auto word = element.value_exact<std::string>();
    const auto before = retain->size();
    for (const plan::Retain known : kAllRetain) {
      if (word && *word == plan::Name(known)) retain->insert(known);
    }
    if (retain->size() == before) return Fault(element, StrCat(kWhat, ", each once"));
  }
  return absl::OkStatus();
}

absl::Status ReadRule(std::string_view key, const toml::node& node, PixelRule* rule) {
  const auto word = node.value_exact<std::string>();
  if (word == "clean") {
    return Fault(node, StrCat("deidentification.", key,
                              " = \"clean\" is not done while training: clean the files with "
                              "consilium-dataset deidentify and index what it writes, or say "
                              "\"refuse\" or \"accept\""));
  }
  if (word != "refuse" && word != "accept") {
    return Fault(node, StrCat("deidentification.", key, " must be \"refuse\" or \"accept\""));
  }
  *rule = word == "accept" ? PixelRule::kAccept : PixelRule::kRefuse;
  return absl::OkStatus();
}

absl::Status ReadKey(std::string_view key, const toml::node& node, IndexPolicy* policy) {
  if (key == "retain") return ReadRetain(node, &policy->retain);
  if (key == "burned_in") return ReadRule(key, node, &policy->burned_in);
  if (key == "faces") return ReadRule(key, node, &policy->faces);
  return Fault(node, StrCat("unknown key \"deidentification.", key,
                            "\"; known are retain, burned_in and faces"));
}

}  // namespace

absl::StatusOr<IndexPolicy> ParseIndexPolicy(std::string_view policy_toml) try {
  const toml::table file = toml::parse(policy_toml);
  IndexPolicy policy;
  const toml::node* node = file.get("deidentification");
  if (node == nullptr) return policy;
  const toml::table* table = node->as_table();
  if (table == nullptr) return Fault(*node, "deidentification must be a table");
  for (const auto& [key, value] : *table) RETURN_IF_ERROR(ReadKey(key.str(), value, &policy));
  return policy;
} catch (const toml::parse_error& error) {
  return absl::InvalidArgumentError(StrCat("policy.toml line ", error.source().begin.line, ": ",
                                           std::string_view(error.description())));
}

absl::StatusOr<IndexPolicy> LoadIndexPolicy(const fs::path& policy_toml) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(policy_toml, 1 << 20));
  return ParseIndexPolicy(text);
}

}  // namespace consilium::datasets

#include "coordinator/researcher/who_took_part.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "common/base/text.h"
#include "common/base/text_table.h"

namespace consilium::researcher {
namespace {

using nlohmann::json;

struct Part {
  int asked = 0, trained = 0, uploaded = 0, counted = 0, evaluated = 0;
};

const json& At(const json& object, const char* key) {
  static const json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(key);
  return found == object.end() ? kNothing : *found;
}

std::string Text(const json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::uint64_t Number(const json& value) {
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

bool True(const json& value) { return value.is_boolean() && value.get<bool>(); }

// By site, over the rounds of training.
std::map<std::string, Part> PartsOf(const json& rounds) {
  std::map<std::string, Part> parts;
  for (const json& round : rounds) {
    if (Number(At(round, "round")) == 0) continue;
    for (const json& site : At(round, "sites")) {
      Part& part = parts[Text(At(site, "site"))];
      part.asked += True(At(site, "asked"));
      part.trained += At(site, "trained").is_object() || True(At(site, "uploaded"));
      part.uploaded += True(At(site, "uploaded"));
      part.counted += True(At(site, "counted"));
      part.evaluated += True(At(site, "evaluated"));
    }
  }
  return parts;
}

std::string Refused(const json& participant) {
  std::vector<std::pair<std::uint64_t, std::string>> reasons;
  const json& refusals = At(participant, "refusals");
  if (refusals.is_object()) {
    for (const auto& [reason, files] : refusals.items()) {
      if (Number(files) > 0) reasons.emplace_back(Number(files), reason);
    }
  }
  std::stable_sort(reasons.begin(), reasons.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text = StrCat(Number(At(participant, "refused_files")));
  std::string why;
  for (const auto& [files, reason] : reasons) {
    StrAppend(&why, why.empty() ? "" : ", ", reason, " ", files);
  }
  return why.empty() ? text : StrCat(text, ": ", why);
}

}  // namespace

std::string WhoTookPart(std::string_view run_json) {
  const json run = json::parse(run_json.begin(), run_json.end(), nullptr, false);
  const json& participants = At(run, "participants");
  if (!participants.is_array() || participants.empty()) return {};
  const std::map<std::string, Part> parts = PartsOf(At(run, "rounds"));
  TextTable table({"site", "answer", "patients", "images", "asked", "trained", "uploaded",
                   "counted", "evaluated", "files refused"});
  for (const json& participant : participants) {
    const std::string site = Text(At(participant, "site"));
    const auto found = parts.find(site);
    const Part part = found == parts.end() ? Part{} : found->second;
    const std::string invite = Text(At(participant, "invite"));
    const std::string reason = Text(At(participant, "reason"));
    table.AddRow({site, invite == "declined" ? StrCat("declined: ", reason) : invite,
                  StrCat(Number(At(participant, "train_patients"))),
                  StrCat(Number(At(participant, "train_examples"))), StrCat(part.asked),
                  StrCat(part.trained), StrCat(part.uploaded), StrCat(part.counted),
                  StrCat(part.evaluated), Refused(participant)});
  }
  return StrCat("\nwho took part, in rounds:\n", table.ToString());
}

}  // namespace consilium::researcher

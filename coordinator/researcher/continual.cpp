#include "coordinator/researcher/continual.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/base/text.h"

namespace consilium::researcher {
namespace {

using nlohmann::json;

constexpr std::string_view kWord = "\"published\"";

std::string_view Trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

// Where the word stands, as the value of [model] initial.
std::optional<std::size_t> PlaceOfWord(std::string_view toml) {
  bool in_model = false;
  for (std::size_t begin = 0; begin < toml.size();) {
    const std::size_t end = std::min(toml.find('\n', begin), toml.size());
    const std::string_view whole = toml.substr(begin, end - begin);
    const std::string_view line = Trimmed(whole.substr(0, whole.find('#')));
    if (line.starts_with('[')) in_model = line == "[model]";
    const std::size_t equals = line.find('=');
    if (in_model && equals != line.npos && Trimmed(line.substr(0, equals)) == "initial" &&
        Trimmed(line.substr(equals + 1)) == kWord) {
      return begin + whole.find(kWord);
    }
    begin = end + 1;
  }
  return std::nullopt;
}

// "chest-opacity" of "chest-opacity-0003".
std::string_view PlanOf(std::string_view run) { return run.substr(0, run.rfind('-')); }

}  // namespace

bool BeginsWithPublished(std::string_view plan_toml) { return PlaceOfWord(plan_toml).has_value(); }

std::string WithInitial(std::string_view plan_toml, const ModelId& model) {
  std::string text(plan_toml);
  if (const auto place = PlaceOfWord(plan_toml)) {
    text.replace(*place, kWord.size(), StrCat("\"", model.Hex(), "\""));
  }
  return text;
}

absl::StatusOr<ModelId> NewestPublished(std::string_view models_json, std::string_view plan) {
  const json models = json::parse(models_json, nullptr, /*allow_exceptions=*/false);
  if (!models.is_array()) return absl::DataLossError("the coordinator's answer is not a JSON list");
  std::string newest, created;
  for (const json& model : models) {
    const auto text = [&](const char* key) {
      const auto found = model.find(key);
      return found != model.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    if (!model.is_object() || text("stage") != "published" || PlanOf(text("run")) != plan) continue;
    if (text("created") < created) continue;  // RFC 3339 in UTC: by the alphabet
    newest = text("model");
    created = text("created");
  }
  if (newest.empty()) {
    return absl::NotFoundError(
        StrCat("model.initial = \"published\": no run of the plan \"", plan,
               "\" has published a model yet; leave the line out for the first run"));
  }
  return ModelId::FromHex(newest);
}

}  // namespace consilium::researcher
